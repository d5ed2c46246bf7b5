"""Reading ahead: what comes next is fetched in a thread of its own while what came is worked on."""

import queue
import threading
from collections.abc import Callable, Iterator

_PIECES = 8
_LOOK_SECONDS = 0.2
_FAREWELL_SECONDS = 1.0


class ReadAhead:
    """The items of an iterator, up to eight of them ahead. A context manager: at its end the reading stops.

    While the next item is not there, `waiting()` is called a few times a second; what it raises stops the waiting.
    """

    def __init__(self, items: Iterator[bytes], waiting: Callable[[], None]) -> None:
        self._items = items
        self._waiting = waiting
        self._queue: queue.Queue[bytes | BaseException | None] = queue.Queue(_PIECES)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._read, name="read-ahead", daemon=True)

    def __enter__(self) -> "ReadAhead":
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stopped.set()
        # one that waits for the network ends by that one's own time limit
        self._thread.join(_FAREWELL_SECONDS)

    def __iter__(self) -> Iterator[bytes]:
        while True:
            try:
                item = self._queue.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                self._waiting()
                continue
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item

    def _read(self) -> None:
        try:
            for item in self._items:
                if not self._put(item):
                    break
            else:
                self._put(None)
        except BaseException as error:
            self._put(error)
        finally:
            close = getattr(self._items, "close", None)
            if close is not None:
                close()

    def _put(self, item: bytes | BaseException | None) -> bool:
        """False once nobody waits for more."""
        while not self._stopped.is_set():
            try:
                self._queue.put(item, timeout=_LOOK_SECONDS)
                return True
            except queue.Full:
                continue
        return False
