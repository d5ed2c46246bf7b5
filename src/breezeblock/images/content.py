"""The bytes of an image, wherever they lie: read at any place, or from one end to the other.

The header gate and the tables of a format are read here and there, the disk itself in one pass. An image that lies on
this machine is read in place; another one by ranges of the image service, never twice where that can be helped.
"""

import errno
import os
import tempfile
from collections import OrderedDict
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Protocol

from breezeblock.errors import BackendOutOfSpace
from breezeblock.images import files
from breezeblock.images.catalog import ImageCatalog
from breezeblock.model.image import Image

HEAD_SIZE = 4 << 20
"""Bytes of an image's beginning that are kept: they tell its format and hold most of its tables."""

_BLOCK = 128 << 10
_BLOCKS = 256


class ImageContent(Protocol):
    """An image's stored bytes."""

    size: int
    """Bytes."""

    def pread(self, length: int, offset: int) -> bytes:
        """Exactly `length` bytes at `offset`, less only at the end."""

    def pieces(self, offset: int = 0) -> Iterator[bytes]:
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

    def pieces(self, offset: int = 0) -> Iterator[bytes]:
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
    """An image that its service sends by ranges. The beginning is fetched once; a few blocks are remembered."""

    def __init__(self, catalog: ImageCatalog, image: Image) -> None:
        self.size = image.size or 0
        self._catalog = catalog
        self._id = image.id
        self._head = b""
        self._blocks: OrderedDict[int, bytes] = OrderedDict()

    def pread(self, length: int, offset: int) -> bytes:
        """By ranges. Raises `RangesUnsupported` where the service has none."""
        end = min(offset + length, self.size)
        if offset < HEAD_SIZE and not self._head:
            self._head = self._catalog.read(self._id, min(HEAD_SIZE, self.size), 0)
        if end <= len(self._head):
            return self._head[offset:end]
        first, last = offset // _BLOCK, -(-end // _BLOCK)
        if last - first > 8:
            return self._catalog.read(self._id, end - offset, offset)
        joined = b"".join(map(self._block, range(first, last)))
        return joined[offset - first * _BLOCK : end - first * _BLOCK]

    def pieces(self, offset: int = 0) -> Iterator[bytes]:
        """From `offset` on, as one stream that begins behind what is here already."""
        if offset < len(self._head):
            yield self._head[offset:]
            offset = len(self._head)
        if offset == 0 or offset < self.size:
            with self._catalog.open(self._id, offset) as pieces:
                yield from pieces

    def _block(self, number: int) -> bytes:
        if number in self._blocks:
            self._blocks.move_to_end(number)
            return self._blocks[number]
        offset = number * _BLOCK
        data = self._catalog.read(self._id, min(_BLOCK, self.size - offset), offset)
        self._blocks[number] = data
        if len(self._blocks) > _BLOCKS:
            self._blocks.popitem(last=False)
        return data


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
