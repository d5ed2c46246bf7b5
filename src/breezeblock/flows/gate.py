"""Keeps everybody else off a backend's storage while one flow has it change its place."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Gate:
    """Open for all, or closed for all but one flow. What it says is forgotten with the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside: set[str] = set()
        self._keeper: str | None = None

    @contextmanager
    def passing(self, who: str) -> Iterator[bool]:
        """Be at the storage, in the block, unless the gate is closed: whether one is."""
        with self._lock:
            may = self._keeper in (None, who)
            if may:
                self._inside.add(who)
        try:
            yield may
        finally:
            if may:
                with self._lock:
                    self._inside.discard(who)

    def close(self, keeper: str) -> None:
        """Let in nobody but this flow. Who is inside is to leave soon."""
        with self._lock:
            self._keeper = keeper

    def open(self) -> None:
        """Let everybody in again."""
        with self._lock:
            self._keeper = None

    def is_closed_for(self, who: str) -> bool:
        """Whether this flow has to leave, or may not come in."""
        return self._keeper not in (None, who)

    def is_empty_but_for(self, who: str) -> bool:
        """Whether nobody else is at the storage."""
        with self._lock:
            return not self._inside - {who}
