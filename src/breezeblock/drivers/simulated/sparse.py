"""Sparse files as block devices: what was never written takes no room and reads as zeros."""

import errno
import heapq
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from breezeblock.drivers import copying
from breezeblock.drivers.contract import Extent
from breezeblock.errors import BackendOutOfSpace, DriverError

GRAIN = 64 << 10
"""Bytes that are compared at once."""

COPY_BYTES = 64 << 20
"""Most bytes copied by one system call, so that a copy can be interrupted."""


class SparseFile:
    """An open file that is a `BlockSource` and a `BlockTarget`. `room` is how many bytes it may take up, if limited."""

    kept: bytes | None = None

    def __init__(self, fd: int, size: int, uri: str, room: int | None = None) -> None:
        self.fd = fd
        self.size = size
        self.uri = uri
        self.room = room

    @property
    def allocated(self) -> int:
        """Bytes that it takes up."""
        return os.fstat(self.fd).st_blocks * 512

    def extents(self) -> Iterator[Extent]:
        """Runs of data and of holes, in order, up to `size`."""
        at = 0
        while at < self.size:
            start = self._next(at, os.SEEK_DATA)
            if start > at:
                yield Extent(at, start - at, data=False)
            at = self._next(start, os.SEEK_HOLE) if start < self.size else start
            if at > start:
                yield Extent(start, at - start, data=True)

    def pread(self, length: int, offset: int) -> bytes:
        """Exactly `length` bytes, less only at the end."""
        pieces = []
        length = min(length, self.size - offset)
        while length > 0 and (piece := os.pread(self.fd, length, offset)):
            pieces.append(piece)
            length -= len(piece)
            offset += len(piece)
        return b"".join(pieces)

    def pwrite(self, data: bytes | memoryview, offset: int) -> None:
        """Write all of `data`. Raises `BackendOutOfSpace` beyond the room, `DriverError` beyond the size."""
        view = memoryview(data).cast("B")
        if offset < 0 or offset + len(view) > self.size:
            raise DriverError(f"Bytes {offset} to {offset + len(view)} do not fit into {self.size} bytes.")
        self.check_room(len(view))
        with errors_in_kinds():
            while view:
                written = os.pwrite(self.fd, view, offset)
                view = view[written:]
                offset += written

    def copy_from(self, source: "SparseFile") -> None:
        """Copy the data of `source`, leaving its holes holes; the filesystem shares the blocks where it can."""
        self.check_room(source.allocated)
        with errors_in_kinds():
            for extent in source.extents():
                done = 0 if extent.data else extent.length
                while done < extent.length:
                    at = extent.offset + done
                    copied = os.copy_file_range(source.fd, self.fd, min(extent.length - done, COPY_BYTES), at, at)
                    if not copied:
                        raise DriverError(f"{source.uri} became shorter while it was copied.")
                    done += copied
                    copying.tell(at + copied, self.size)

    def keep(self, note: bytes) -> None:
        """Nothing is kept: a fill that is killed begins anew."""

    def check_room(self, more: int = 0) -> None:
        """Raise `BackendOutOfSpace` when it takes, or would take with `more` bytes, more than its room."""
        if self.room is not None and self.allocated + more > self.room:
            raise BackendOutOfSpace

    def _next(self, offset: int, whence: int) -> int:
        try:
            return min(os.lseek(self.fd, offset, whence), self.size)
        except OSError as error:
            if error.errno != errno.ENXIO:  # no data after here
                raise
            return self.size


def differences(before: SparseFile, now: SparseFile) -> Iterator[Extent]:
    """Where `now` reads otherwise than `before`, in whole grains; both are read where either has data."""
    begin = end = 0
    data = False
    for at in _grains(before, now):
        old, new = before.pread(GRAIN, at), now.pread(GRAIN, at)
        if old.ljust(len(new), b"\0")[: len(new)] == new:
            continue
        has_data = new != bytes(len(new))
        if begin == end or at != end or has_data != data:
            if end > begin:
                yield Extent(begin, end - begin, data)
            begin, data = at, has_data
        end = at + len(new)
    if end > begin:
        yield Extent(begin, end - begin, data)


def _grains(before: SparseFile, now: SparseFile) -> Iterator[int]:
    """The offsets of the grains of `now` in which either file has data, in order."""
    runs = heapq.merge(
        *(((one.offset, one.offset + one.length) for one in file.extents() if one.data) for file in (before, now))
    )
    at = 0
    for start, stop in runs:
        at = max(at, start // GRAIN * GRAIN)
        while at < min(stop, now.size):
            yield at
            at += GRAIN


@contextmanager
def open_sparse(path: Path, size: int) -> Iterator[SparseFile]:
    """Open a file to be read."""
    with errors_in_kinds():
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield SparseFile(fd, size, str(path))
    finally:
        os.close(fd)


@contextmanager
def errors_in_kinds() -> Iterator[None]:
    """What the operating system says, in the kinds of the driver contract."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise BackendOutOfSpace from error
        raise DriverError(f"The storage failed: {error}") from error
