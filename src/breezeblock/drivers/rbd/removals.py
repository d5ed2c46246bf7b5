"""Images that nobody sees any more are removed behind the verbs, one after the other.

A death cuts that short, and whoever owns the pool next finds them by their names (`names.GONE`).
"""

import logging
import queue
import threading
from collections.abc import Callable

from breezeblock.drivers import copying
from breezeblock.errors import BackendInUse, BackendTransient

LOG = logging.getLogger(__name__)

AGAIN_SECONDS = 5.0
"""After which a removal is tried again that somebody or something stood in the way of."""
END_SECONDS = 5.0
"""What is left at the end has so long; the rest is for the next owner."""


class _Ended(Exception):
    """Nobody waits for removals any more."""


class Removals:
    """A thread that removes images by their names, from the first one on; `remove` is what it calls."""

    def __init__(self, remove: Callable[[str], None]) -> None:
        self._remove = remove
        self._names: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._guard = threading.Lock()
        self._thread: threading.Thread | None = None
        self._ending = threading.Event()

    def begin(self, name: str) -> None:
        """Have an image removed."""
        with self._guard:
            self._names.put(name)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="rbd removals", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Remove what can be removed within `END_SECONDS`, and end; what is begun later begins anew."""
        thread = self._thread
        if thread is None:
            return
        self._names.put(None)
        thread.join(END_SECONDS)
        self._ending.set()
        thread.join()
        self._ending.clear()
        with self._guard:
            self._thread = None

    def _run(self) -> None:
        with copying.told_to(self._tell):
            while (name := self._names.get()) is not None and not self._ending.is_set():
                self._try(name)
            # what was begun by these removals comes behind the end
            while not self._ending.is_set() and not self._names.empty():
                if (name := self._names.get()) is not None:
                    self._try(name)

    def _try(self, name: str) -> None:
        try:
            self._remove(name)
        except _Ended:
            LOG.info("%s is removed after the next start.", name)
        except (BackendInUse, BackendTransient) as error:
            LOG.info("%s is removed later: %s", name, error)
            timer = threading.Timer(AGAIN_SECONDS, self._names.put, (name,))
            timer.daemon = True
            timer.start()
        except Exception:  # the thread lives on: others wait for it
            LOG.exception("%s is not removed before the next start.", name)

    def _tell(self, done: int, total: int | None) -> None:
        if self._ending.is_set():
            raise _Ended
