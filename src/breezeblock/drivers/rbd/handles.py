"""Images that stay open between calls, to be read or written, or until they are closed behind the answer."""

import itertools
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

IN_FLIGHT = 32 << 20
"""Bytes that are written to an image and not yet known to be on the cluster."""
CLOSERS = 4

LOG = logging.getLogger(__name__)


class Handles:
    """The open images of a process, by number."""

    def __init__(self, open_image: Callable[..., Any]) -> None:
        self._open_image = open_image
        self._numbers = itertools.count(1)
        self._open: dict[int, _Handle] = {}

    def open(self, name: str, snapshot: str | None, writable: bool) -> tuple[int, int]:
        """Open an image; its number, and its size in bytes."""
        image = self._open_image(name, snapshot, writable=writable)
        number = next(self._numbers)
        self._open[number] = _Handle(image)
        return number, image.size()

    def close(self, number: int) -> None:
        """Give an image back."""
        self._open.pop(number).close()

    def read(self, number: int, length: int, offset: int) -> bytes:
        """Exactly these bytes, of which none may be behind the end."""
        data: bytes = self._open[number].image.read(offset, length)
        return data

    def write(self, number: int, offset: int, data: bytes = b"") -> None:
        """Begin to write; what fails is told by a later call."""
        if data:
            self._open[number].write(offset, data)

    def zero(self, number: int, offset: int, length: int) -> None:
        """Have these bytes read as zeros, holes where that is possible."""
        self._open[number].zero(offset, length)

    def flush(self, number: int) -> None:
        """All that was written is on stable storage."""
        self._open[number].flush()

    def extents(self, number: int, offset: int, length: int) -> list[tuple[int, int]]:
        """Where data lies (offset, length) between these bytes, in order; all else reads as zeros."""
        found: list[tuple[int, int]] = []

        def add(start: int, run: int, exists: bool) -> None:
            if not exists:
                return
            if found and found[-1][0] + found[-1][1] == start:
                found[-1] = (found[-1][0], found[-1][1] + run)
            else:
                found.append((start, run))

        self._open[number].image.diff_iterate(offset, length, None, add, include_parent=True, whole_object=False)
        return found

    def changes(
        self, number: int, since: str, offset: int, length: int, exact: bool = False
    ) -> list[tuple[int, int, bool]]:
        """Where an image differs from its snapshot `since` between these bytes: offset, length, and whether there are data
        now. By whole objects, and the object map alone where the image has fast-diff; or by bytes (`exact`)."""
        found: list[tuple[int, int, bool]] = []

        def add(start: int, run: int, exists: bool) -> None:
            found.append((start, run, exists))

        self._open[number].image.diff_iterate(offset, length, since, add, include_parent=True, whole_object=not exact)
        return found


class Closing:
    """Closes images behind the answers of the calls that had them open: to give back a lock and a watch takes a while."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(CLOSERS)
        self._begun: dict[str, Future[None]] = {}

    def begin(self, name: str, image: Any) -> None:
        """Have an image closed that was opened by a name."""
        self._begun[name] = closing = self._threads.submit(self._close, name, image)
        closing.add_done_callback(lambda _: self._begun.pop(name, None))

    def _close(self, name: str, image: Any) -> None:
        try:
            image.close()
        except Exception:  # nobody waits for the answer; what was done with the image was told to be done already
            LOG.exception("%s could not be closed.", name)

    def wait(self, name: str) -> None:
        """Until an image of that name is closed, if one is to be."""
        begun = self._begun.get(name)
        if begun is not None:
            begun.result()

    def end(self) -> None:
        """Until all are closed; no other can be."""
        self._threads.shutdown()


class _Handle:
    """An open image, and what is being written to it."""

    def __init__(self, image: Any) -> None:
        self.image = image
        self._changed = threading.Condition()
        self._in_flight: dict[int, int] = {}
        self._failed = 0

    def write(self, offset: int, data: bytes) -> None:
        length = len(data)
        with self._changed:
            while self._in_flight and (self._overlaps(offset, length) or self._bytes() + length > IN_FLIGHT):
                self._changed.wait()
            self._check()
            self._in_flight[offset] = length

        def written(completion: Any) -> None:
            self._end(offset, completion.get_return_value())

        try:
            self.image.aio_write(data, offset, written)
        except BaseException:
            self._end(offset, 0)
            raise

    def zero(self, offset: int, length: int) -> None:
        with self._changed:
            while self._overlaps(offset, length):
                self._changed.wait()
        self.image.write_zeroes(offset, length)

    def _overlaps(self, offset: int, length: int) -> bool:
        """Whether some of these bytes are being written: of two writes at once the first may be the last to arrive."""
        return any(at < offset + length and offset < at + size for at, size in self._in_flight.items())

    def _bytes(self) -> int:
        return sum(self._in_flight.values())

    def _end(self, offset: int, result: int) -> None:
        with self._changed:
            del self._in_flight[offset]
            self._failed = self._failed or min(0, result)
            self._changed.notify_all()

    def flush(self) -> None:
        self._settle()
        self._check()
        self.image.flush()

    def close(self) -> None:
        self._settle()
        self.image.close()

    def _settle(self) -> None:
        with self._changed:
            while self._in_flight:
                self._changed.wait()

    def _check(self) -> None:
        if self._failed:
            raise OSError(-self._failed, "a write failed")
