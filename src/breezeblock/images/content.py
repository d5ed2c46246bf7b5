"""The bytes of an image, wherever they lie: read at any place, or from one end to the other.

The header gate and the tables of a format are read here and there, the disk itself in one pass. An image that lies on
this machine is read in place; another one by ranges of the image service, never twice where that can be helped.
"""

import errno
import os
import tempfile
from collections import OrderedDict
from collections.abc import Generator, Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Protocol

from breezeblock.errors import BackendOutOfSpace, ImageUnacceptable
from breezeblock.images import files
from breezeblock.images.catalog import ImageCatalog, RangesUnsupported
from breezeblock.model.image import Image

HEAD_SIZE = 4 << 20
"""Bytes of an image's beginning that are kept: they tell its format and hold most of its tables."""

_BLOCK = 128 << 10
_BLOCKS = 256
_MOST_AT_ONCE = 9
"""Blocks of a MiB that begins within one."""


class ImageContent(Protocol):
    """An image's stored bytes."""

    size: int
    """Bytes."""

    def pread(self, length: int, offset: int) -> bytes:
        """Exactly `length` bytes at `offset`, less only at the end."""

    def pieces(self, offset: int = 0) -> Generator[bytes, None, None]:
        """All bytes from `offset` on, in pieces of about a MiB."""


class FileContent:
    """An open file; whoever opened it closes it."""

    def __init__(self, fd: int) -> None:
        self.size = os.fstat(fd).st_size
        self.fd = fd

    def pread(self, length: int, offset: int) -> bytes:
        """Exactly `length` bytes, less only at the end of the file."""
        parts = []
        while length > 0 and (part := os.pread(self.fd, length, offset)):
            parts.append(part)
            length, offset = length - len(part), offset + len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def pieces(self, offset: int = 0) -> Generator[bytes, None, None]:
        """From `offset` on; holes are not read, they are zeros."""
        return files.read_pieces(self.fd, offset)


@contextmanager
def open_file(path: Path) -> Iterator[FileContent]:
    """The content of a file, which may not be a symbolic link."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        yield FileContent(fd)
    finally:
        os.close(fd)


class RemoteContent:
    """An image that its service sends by ranges. Its beginning is fetched once, as a part of the whole where that is on its
    way already; a few blocks are remembered."""

    def __init__(self, catalog: ImageCatalog, image: Image) -> None:
        self.size = image.size or 0
        self._catalog = catalog
        self._id = image.id
        self._head: Future[bytes] | None = None
        self._blocks: OrderedDict[int, bytes] = OrderedDict()

    def pread(self, length: int, offset: int) -> bytes:
        """By ranges. Raises `RangesUnsupported` where the service has none."""
        end = min(offset + length, self.size)
        if offset < HEAD_SIZE and end <= len(head := self._beginning()):
            return head[offset:end]
        first, last = offset // _BLOCK, -(-end // _BLOCK)
        if last - first > _MOST_AT_ONCE:
            return self._catalog.read(self._id, end - offset, offset)
        self._fetch_missing(first, last)
        joined = b"".join(self._blocks[number] for number in range(first, last))
        return joined[offset - first * _BLOCK : end - first * _BLOCK]

    def pieces(self, offset: int = 0) -> Generator[bytes, None, None]:
        """From `offset` on, as one stream that begins behind what is here already. The first one of the whole image brings
        the beginning, for which others wait from now on: it has to be read."""
        if offset == 0 and self._head is None:
            self._head = Future()
            return self._from_the_first(self._head)
        return self._behind_the_beginning(offset)

    def _beginning(self) -> bytes:
        if self._head is None:
            data = self._fetched_beginning()
            self._head = Future()
            self._head.set_result(data)
        return self._head.result()

    def _fetched_beginning(self) -> bytes:
        try:
            return self._catalog.read(self._id, min(HEAD_SIZE, self.size), 0)
        except RangesUnsupported:
            with self._catalog.open(self._id) as pieces:
                return self._judged_by_length(_first_of(pieces))

    def _from_the_first(self, head: Future[bytes]) -> Generator[bytes, None, None]:
        try:
            with self._catalog.open(self._id) as pieces:
                held = _first_of(pieces)
                head.set_result(self._judged_by_length(held))
                yield from held
                yield from pieces
        except BaseException as error:
            if not head.done():
                head.set_exception(error)
            raise

    def _judged_by_length(self, first: list[bytes]) -> bytes:
        came = b"".join(first)
        if len(came) > self.size:
            raise ImageUnacceptable(f"The image service sent more than the image's {self.size} bytes.")
        if len(came) < min(HEAD_SIZE, self.size):
            raise ImageUnacceptable(f"The image service sent {len(came)} of the image's {self.size} bytes.")
        return came[:HEAD_SIZE]

    def _behind_the_beginning(self, offset: int) -> Generator[bytes, None, None]:
        head = self._beginning() if self._head is not None and offset < HEAD_SIZE else b""
        if offset < len(head):
            yield head[offset:]
            offset = len(head)
        if offset == 0 or offset < self.size:
            with self._catalog.open(self._id, offset) as pieces:
                yield from pieces

    def _fetch_missing(self, first: int, last: int) -> None:
        """Remember these blocks; those that are not are fetched by one range, from the first to the last of them."""
        missing = [number for number in range(first, last) if number not in self._blocks]
        if missing:
            begin, end = missing[0] * _BLOCK, min((missing[-1] + 1) * _BLOCK, self.size)
            data = self._catalog.read(self._id, end - begin, begin)
            for number in range(missing[0], missing[-1] + 1):
                self._blocks[number] = data[number * _BLOCK - begin : (number + 1) * _BLOCK - begin]
        for number in range(first, last):
            self._blocks.move_to_end(number)
        while len(self._blocks) > _BLOCKS:
            self._blocks.popitem(last=False)


def _first_of(pieces: Iterator[bytes]) -> list[bytes]:
    """The first pieces, up to the end of the beginning that is kept."""
    held: list[bytes] = []
    while sum(map(len, held)) < HEAD_SIZE and (piece := next(pieces, None)) is not None:
        held.append(piece)
    return held


@contextmanager
def spooled(pieces: Generator[bytes, None, None], size: int | None, directory: Path) -> Iterator[int]:
    """A descriptor of a file with these bytes that has no name, so that nothing can be left of it.

    Raises:
        BackendOutOfSpace: `directory` has no room for `size` bytes.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    room = os.statvfs(directory)
    free = room.f_bavail * room.f_frsize
    if size is not None and size > free:
        raise BackendOutOfSpace(f"The image has {size} bytes and {directory} room for {free}; free some there.")
    with tempfile.TemporaryFile(dir=directory, buffering=0) as file, closing(pieces):
        for piece in pieces:
            _write_all(file.fileno(), piece, directory)
        yield file.fileno()


def _write_all(fd: int, piece: bytes, directory: Path) -> None:
    view = memoryview(piece)
    try:
        while view:
            view = view[os.write(fd, view) :]
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise BackendOutOfSpace(f"{directory} became full while an image was put there.") from error
        raise
