"""The files of the local image store: written whole or not at all, sparse, and never filled by two at once."""

import errno
import fcntl
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from breezeblock.errors import OverQuota

_PIECE = 1 << 20


@contextmanager
def owned(path: Path, flags: int) -> Iterator[int | None]:
    """The file, open and locked for as long as this lasts; None while another process or thread fills or removes it.

    The kernel drops the lock with the process, so a file that is not locked is filled by nobody.
    """
    fd = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mine = path.exists() and os.path.samestat(os.fstat(fd), path.stat())
        except BlockingIOError:
            mine = False
        yield fd if mine else None
    finally:
        os.close(fd)


def read_pieces(fd: int, offset: int) -> Generator[bytes, None, None]:
    """The file from `offset` on in pieces of a MiB; holes are not read, they are zeros."""
    end, zeros = os.fstat(fd).st_size, bytes(_PIECE)
    while offset < end:
        try:
            data = os.lseek(fd, offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            data = end  # a hole up to the end
        hole = min(_PIECE, data - offset)
        piece = os.pread(fd, _PIECE, offset) if hole < _PIECE and data < end else zeros[: min(hole, end - offset)]
        offset += len(piece)
        yield piece


def write_pieces(fd: int, pieces: Iterable[bytes], seen: Callable[[bytes], None]) -> None:
    """Make these bytes the file's content, on stable storage; pieces of zeros become holes."""
    os.ftruncate(fd, 0)
    size, zeros = 0, bytes(_PIECE)
    for piece in pieces:
        seen(piece)
        view = memoryview(piece)
        if piece == zeros or not piece.strip(b"\0"):  # to compare is sixty times as fast as to strip
            view = view[:0]
        size += len(piece) - len(view)
        while view:
            written = os.pwrite(fd, view, size)
            view, size = view[written:], size + written
    os.ftruncate(fd, size)
    os.fsync(fd)


def sync_directory(directory: Path) -> None:
    """Put the names of a directory on stable storage."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def reporting_full(directory: Path) -> Iterator[None]:
    """Turn a full filesystem into `OverQuota`."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise OverQuota(f"The image store {directory} has no room for this image.") from error
        raise
