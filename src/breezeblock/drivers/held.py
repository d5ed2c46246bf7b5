"""Locks by name, so that two threads never change the same object at once."""

import contextlib
import threading
from collections.abc import Iterator


class Held:
    """As many locks as names are held; a thread may hold a name twice."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[str, tuple[threading.RLock, int]] = {}

    @contextlib.contextmanager
    def hold(self, *names: str) -> Iterator[None]:
        """Hold all the names; waits until they are free. They are taken in order, so that nobody waits in a ring."""
        with contextlib.ExitStack() as stack:
            for name in sorted(set(names)):
                stack.enter_context(self._hold(name))
            yield

    @contextlib.contextmanager
    def _hold(self, name: str) -> Iterator[None]:
        with self._guard:
            lock, holders = self._locks.get(name, (threading.RLock(), 0))
            self._locks[name] = (lock, holders + 1)
        try:
            with lock:
                yield
        finally:
            with self._guard:
                lock, holders = self._locks.pop(name)
                if holders > 1:
                    self._locks[name] = (lock, holders - 1)
