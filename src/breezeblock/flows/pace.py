"""How fast the copies of a backend may be together, shared evenly: the option `volume_copy_bps_limit`."""

import threading
import time
from collections.abc import Callable

from breezeblock.drivers.contract import BlockTarget

QUANTUM = 256 << 10
"""Bytes that are written at once where there is a limit."""

LOOK_SECONDS = 0.2
BURST_SECONDS = 0.1
"""How much time that nobody used may be made up for: sleeping is not exact."""


class Pace:
    """So many bytes a second for all copies together. Each that wants more gets as much as the others; what one leaves
    the others have.

    Start-time fair queueing (Goyal, Vin and Chen, SIGCOMM 1996): each piece has a start tag, in bytes, at which a copy
    alone would begin it, and the waiting piece with the least one is next. `now` tells the time in seconds.
    """

    def __init__(self, bytes_per_second: int, now: Callable[[], float] = time.monotonic) -> None:
        self._bytes_per_second = bytes_per_second
        self._now = now
        self._free_at = 0.0
        self._virtual = 0
        self._waiting: dict[str, int] = {}
        self._ends: dict[str, int] = {}
        self._changed = threading.Condition()

    def wait(self, copy: str, size: int, look: Callable[[], None]) -> None:
        """Return when this copy may move its next `size` bytes. `look` is called often meanwhile, and may raise."""
        try:
            while True:
                with self._changed:
                    seconds = self.ask(copy, size)
                    if not seconds:
                        self._changed.notify_all()
                        return
                    self._changed.wait(min(seconds, LOOK_SECONDS))
                look()
        except BaseException:
            self.leave(copy)
            raise

    def ask(self, copy: str, size: int) -> float:
        """0 where the copy may move its next `size` bytes now, which are counted; else seconds after which to ask again."""
        now = self._now()
        if copy not in self._waiting:
            self._waiting[copy] = max(self._virtual, self._ends.get(copy, 0))
        first = min(self._waiting, key=lambda one: self._waiting[one])
        if now < self._free_at or first != copy:
            return max(self._free_at - now, LOOK_SECONDS if first != copy else 0.0)
        self._virtual = self._waiting.pop(copy)
        self._ends[copy] = self._virtual + size
        self._free_at = max(self._free_at, now - BURST_SECONDS) + size / self._bytes_per_second
        return 0.0

    def leave(self, copy: str) -> None:
        """Forget a copy that has ended."""
        with self._changed:
            self._waiting.pop(copy, None)
            self._ends.pop(copy, None)
            self._changed.notify_all()


class PacedTarget:
    """A `BlockTarget` whose writer waits, by `wait(size)`, before each of its pieces."""

    def __init__(self, target: BlockTarget, wait: Callable[[int], None]) -> None:
        self.size = target.size
        self.uri = target.uri
        self.kept = target.kept
        self._target = target
        self._wait = wait

    def pwrite(self, data: bytes | memoryview, offset: int) -> None:
        """As `BlockTarget.pwrite`."""
        view = memoryview(data)
        for start in range(0, len(view), QUANTUM):
            piece = view[start : start + QUANTUM]
            self._wait(len(piece))
            self._target.pwrite(piece, offset + start)

    def keep(self, note: bytes) -> None:
        """As `BlockTarget.keep`."""
        self._target.keep(note)
