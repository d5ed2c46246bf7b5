"""The bytes of a volume or snapshot: read through its chain of files, copied sparsely, and written by a fill."""

import errno
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Literal

import msgspec

from breezeblock.drivers import copying
from breezeblock.drivers.contract import REWRITTEN_BYTES, Extent, Rewrite
from breezeblock.drivers.directory import durable
from breezeblock.drivers.directory.qcow2 import Qcow2File, Run
from breezeblock.errors import DriverError

COPY_BYTES = 4 << 20
LEAVE_BYTES = 16 << 20
"""As much is written before the kernel is told to put it on the disk and forget it."""
CANNOT_SHARE = frozenset({errno.EXDEV, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS})


Format = Literal["raw", "qcow2"]


class Link(msgspec.Struct, frozen=True):
    """One file of a chain: raw or qcow2."""

    path: Path
    format: Format
    passing: bool = False
    """Whether another file that reads alike will take its place."""


class Piece(msgspec.Struct, frozen=True):
    """Guest bytes that lie in one piece of one file; `level` None: they are zeros."""

    offset: int
    length: int
    level: int | None = None
    position: int = 0
    compressed: bool = False


class RawFile:
    """A sparse raw file, open for reading."""

    def __init__(self, path: Path) -> None:
        self.fd = os.open(path, os.O_RDONLY)
        self.length = os.fstat(self.fd).st_size

    def close(self) -> None:
        """Give the file back."""
        os.close(self.fd)

    def runs(self, start: int, end: int) -> Iterator[Run]:
        """Data and holes from `start` to `end`; beyond the file's end there are zeros."""
        inside = min(end, self.length)
        while start < inside:
            data = self._seek(start, os.SEEK_DATA, inside)
            if data > start:
                yield Run("zero", start, data - start)
            hole = self._seek(data, os.SEEK_HOLE, inside) if data < inside else inside
            if hole > data:
                yield Run("data", data, hole - data, data)
            start = hole
        if start < end:
            yield Run("zero", start, end - start)

    def _seek(self, offset: int, whence: int, limit: int) -> int:
        try:
            return min(os.lseek(self.fd, offset, whence), limit)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return limit
            raise


class ChainSource:
    """A `BlockSource` over a chain of files, the topmost first. Reads as zeros beyond the chain, up to `size`."""

    def __init__(self, links: Sequence[Link], size: int) -> None:
        self.size = size
        self._files: list[RawFile | Qcow2File] = []
        self._unpacked: tuple[int, int, bytes] | None = None
        with ExitStack() as stack:
            for link in links:
                file = Qcow2File(link.path) if link.format == "qcow2" else RawFile(link.path)
                stack.callback(file.close)
                self._files.append(file)
            self._stack = stack.pop_all()

    def __enter__(self) -> "ChainSource":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def extents(self) -> Iterator[Extent]:
        """The whole of it in order, as runs of data and of zeros."""
        offset = length = 0
        data = False
        for piece in self.pieces(0, self.size):
            if length and (piece.level is not None) == data:
                length += piece.length
                continue
            if length:
                yield Extent(offset, length, data)
            offset, length, data = piece.offset, piece.length, piece.level is not None
        if length:
            yield Extent(offset, length, data)

    def pread(self, length: int, offset: int) -> bytes:
        """Exactly `length` bytes, less only at the end."""
        end = min(offset + length, self.size)
        return b"".join(self.read(piece) for piece in self.pieces(offset, end)) if end > offset else b""

    def pieces(self, start: int, end: int, level: int = 0) -> Iterator[Piece]:
        """Where the bytes from `start` to `end` lie, in order."""
        if level == len(self._files):
            yield Piece(start, end - start)
            return
        for run in self._files[level].runs(start, end):
            if run.kind == "absent":
                yield from self.pieces(run.offset, run.offset + run.length, level + 1)
            elif run.kind == "zero":
                yield Piece(run.offset, run.length)
            else:
                yield Piece(run.offset, run.length, level, run.position, run.kind == "compressed")

    def read(self, piece: Piece) -> bytes:
        """The bytes of a piece."""
        if piece.level is None:
            return bytes(piece.length)
        file = self._files[piece.level]
        if piece.compressed:
            assert isinstance(file, Qcow2File)
            skip = piece.offset % file.cluster
            return self._unpack(file, piece.level, piece.position)[skip : skip + piece.length]
        parts, position, missing = [], piece.position, piece.length
        while missing:
            part = os.pread(file.fd, missing, position)
            if not part:
                # a file written by others may end inside its last cluster; the rest of that reads as zeros
                parts.append(bytes(missing))
                break
            parts.append(part)
            position, missing = position + len(part), missing - len(part)
        return b"".join(parts)

    def _unpack(self, file: Qcow2File, level: int, entry: int) -> bytes:
        if self._unpacked is None or self._unpacked[:2] != (level, entry):
            self._unpacked = (level, entry, file.decompress(entry))
        return self._unpacked[2]

    def identity(self, piece: Piece) -> tuple[int, int]:
        """The device and inode of the file that a piece lies in."""
        assert piece.level is not None
        found = os.fstat(self._files[piece.level].fd)
        return found.st_dev, found.st_ino

    def descriptor(self, piece: Piece) -> int | None:
        """The file that holds a piece as it is; None for zeros and compressed clusters."""
        return None if piece.level is None or piece.compressed else self._files[piece.level].fd


def copy_chain(links: Sequence[Link], size: int, path: Path, new_size: int, rewrite: Rewrite | None = None) -> None:
    """Make and sync a raw file of `new_size` bytes with the first `size` bytes of a chain, its beginning rewritten."""
    target = durable.create_file(path, new_size)
    try:
        with ChainSource(links, size) as source:
            copy_sparsely(source, target)
            if rewrite is not None:
                durable.write_all(target, rewritten(source, rewrite), 0)
                os.fsync(target)
    finally:
        os.close(target)


def rewritten(source: ChainSource, rewrite: Rewrite) -> bytes:
    """What a copy of `source` begins with."""
    return rewrite(source.pread(REWRITTEN_BYTES, 0))


def copy_sparsely(
    source: ChainSource, target: int, start: int = 0, tell: Callable[[int, int | None], None] = copying.tell
) -> None:
    """Write the content of `source` from `start` on into an open file that reads as zeros there, holes staying holes, and
    sync it.

    The kernel copies what lies plainly, by shared extents where the filesystem has them. `tell` is called after each piece.
    """
    with closing(_Leaving(target)) as leaving:
        for piece in source.pieces(start, source.size):
            for part in _parts(piece):
                fd = source.descriptor(part)
                if part.level is not None and (fd is None or not _copy_range(fd, target, part)):
                    durable.write_all(target, source.read(part), part.offset)
                if part.level is not None:
                    leaving.written(part.offset, part.length)
                tell(part.offset + part.length, source.size)
    os.fsync(target)
    durable.forget(target)


def _parts(piece: Piece) -> Iterator[Piece]:
    if piece.level is None or piece.compressed:
        yield piece
        return
    for done in range(0, piece.length, COPY_BYTES):
        length = min(COPY_BYTES, piece.length - done)
        yield Piece(piece.offset + done, length, piece.level, piece.position + done)


def _copy_range(source: int, target: int, piece: Piece) -> bool:
    done = 0
    while done < piece.length:
        try:
            copied = os.copy_file_range(source, target, piece.length - done, piece.position + done, piece.offset + done)
        except OSError as error:
            if error.errno in CANNOT_SHARE:
                return False
            raise
        if not copied:
            return False
        done += copied
    return True


class RawTarget:
    """A `ReadableTarget`: a raw volume file that is being filled. `note` writes down how far that is."""

    def __init__(self, path: Path, size: int, kept: bytes | None, note: Callable[[bytes], None]) -> None:
        self.size = size
        self.kept = kept
        self._note = note
        self.uri = str(path)
        self._fd = os.open(path, os.O_RDWR)
        self._reading = threading.Lock()
        self._closed = False
        self._leaving = _Leaving(self._fd)

    def close(self) -> None:
        """Give the file back without syncing it."""
        self._leaving.close()
        with self._reading:
            self._closed = True
            os.close(self._fd)

    def pread(self, length: int, offset: int) -> bytes:
        """Exactly `length` bytes, less only at the end. Raises `DriverError` once it is closed."""
        with self._reading, durable.storage_errors("read a volume"):
            if self._closed:
                raise DriverError("This volume is not being filled any more.")
            return os.pread(self._fd, length, offset)

    def pwrite(self, data: bytes | memoryview, offset: int) -> None:
        """Write all of `data`; raises `BackendOutOfSpace` when the storage is full."""
        if offset < 0 or offset + len(data) > self.size:
            raise DriverError(f"Bytes {offset} to {offset + len(data)} are outside of a volume of {self.size} bytes.")
        with durable.storage_errors("write a volume"):
            durable.write_all(self._fd, data, offset)
        self._leaving.written(offset, len(data))

    def keep(self, note: bytes) -> None:
        """Put what is written on the disk, then the note."""
        self.sync()
        with durable.storage_errors("write a volume"):
            self._note(note)

    def sync(self) -> None:
        """Put everything written on the disk, by whomever. Raises `DriverError` if the file was made longer."""
        with durable.storage_errors("write a volume"):
            length = os.fstat(self._fd).st_size
            if length > self.size:
                raise DriverError(f"What filled a volume of {self.size} bytes wrote {length} bytes.")
            os.ftruncate(self._fd, self.size)
            os.fsync(self._fd)
        durable.forget(self._fd)


class _Leaving:
    """Has what is written to a file leave the page cache for the disk meanwhile, in a thread of its own.

    So little is left to be synced at the end. And a volume is larger than what anybody reads of it soon: kept in memory, it
    drives out what is read, and takes memory that a virtual machine's host may have to find first, which costs more than
    to write (1.4 s of a processor for 441 MB, 0.2 s in memory that is used over and over).
    """

    def __init__(self, fd: int) -> None:
        # an error of the disk is told once to whoever opened the file: who syncs it in the end must be told too
        self._fd = os.open(f"/proc/self/fd/{fd}", os.O_RDWR)
        self._begin = self._end = self._written = 0
        self._thread: ThreadPoolExecutor | None = None
        self._pending: Future[None] | None = None

    def written(self, offset: int, length: int) -> None:
        """Count bytes; what has come together leaves unless the last part is still on its way."""
        if not self._written:
            self._begin, self._end = offset, offset + length
        self._begin, self._end = min(self._begin, offset), max(self._end, offset + length)
        self._written += length
        if self._written < LEAVE_BYTES or (self._pending is not None and not self._pending.done()):
            return
        self._thread = self._thread or ThreadPoolExecutor(1, "leaving")
        self._pending = self._thread.submit(durable.leave_memory, self._fd, self._begin, self._end - self._begin)
        self._written = 0

    def close(self) -> None:
        """The file is about to be closed."""
        if self._thread is not None:
            self._thread.shutdown()
        os.close(self._fd)
