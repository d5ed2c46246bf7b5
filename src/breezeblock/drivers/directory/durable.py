"""Changes of files that are still there after a power cut: file, then name, then directory, each put on the disk."""

import contextlib
import ctypes
import errno
import functools
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from breezeblock import killpoints
from breezeblock.errors import BackendNotFound, BackendOutOfSpace, DriverError

OUT_OF_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})


@contextlib.contextmanager
def storage_errors(doing: str) -> Iterator[None]:
    """Turns an `OSError` into the contract's kinds. `doing` ends the sentence "The storage could not …"."""
    try:
        yield
    except OSError as error:
        if error.errno in OUT_OF_SPACE:
            raise BackendOutOfSpace(f"The storage is full; it could not {doing}.") from error
        if error.errno == errno.ENOENT:
            raise BackendNotFound(f"The storage could not {doing}: {error.filename} is not there.") from error
        raise DriverError(f"The storage could not {doing}: {error}") from error


def make_directory(path: Path) -> None:
    """Make a directory for this user alone, with its parents; it may be there already."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


def sync_directory(path: Path) -> None:
    """Put the names in a directory on the disk."""
    sync_file(path, os.O_DIRECTORY)


def sync_file(path: Path, flags: int = 0) -> None:
    """Put a file's content and size on the disk."""
    fd = os.open(path, os.O_RDONLY | flags)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def create_file(path: Path, size: int = 0) -> int:
    """Make a new sparse file of `size` bytes for this user alone, and return it open for reading and writing."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.ftruncate(fd, size)
    except BaseException:
        os.close(fd)
        raise
    return fd


def write_file(path: Path, data: bytes) -> None:
    """Make a file, or a new content of one, and put it on the disk. Not atomic: for files nobody reads yet."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        write_all(fd, data, 0)
        os.fsync(fd)
    finally:
        os.close(fd)


def patch_file(path: Path, data: bytes) -> None:
    """Write over the beginning of a file that nobody else has open, and put it on the disk."""
    fd = os.open(path, os.O_WRONLY)
    try:
        write_all(fd, data, 0)
        os.fsync(fd)
    finally:
        os.close(fd)


def write_all(fd: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of `data` at `offset`, however many calls that takes."""
    view = memoryview(data)
    while view:
        done = os.pwrite(fd, view, offset)
        view, offset = view[done:], offset + done


_SYNC_FILE_RANGE_WRITE_AND_WAIT = 7


def leave_memory(fd: int, offset: int, length: int) -> None:
    """Have the kernel put these bytes on the disk and forget them, so that a later fsync finds less to do, and their memory
    is free. Promises nothing: a failure is that fsync's to tell, through another descriptor than `fd`."""
    call = _sync_file_range()
    if call is not None:
        call(fd, ctypes.c_int64(offset), ctypes.c_int64(length), _SYNC_FILE_RANGE_WRITE_AND_WAIT)
        forget(fd, offset, length)


def forget(fd: int, offset: int = 0, length: int = 0) -> None:
    """Free the memory of what is on the disk of these bytes, up to the end by default."""
    with contextlib.suppress(OSError):  # advice that is not taken is no failure
        os.posix_fadvise(fd, offset, length, os.POSIX_FADV_DONTNEED)


@functools.cache
def _sync_file_range() -> Callable[..., int] | None:
    """The C library's, which sets the interpreter free meanwhile; None where there is none."""
    return getattr(ctypes.CDLL(None), "sync_file_range", None)


def replace_file(path: Path, data: bytes, *, sync_name: bool = True) -> None:
    """Give a file a new content by one atomic act. Its name may go to the disk later, with its whole directory."""
    new = path.with_name(f"{path.name}.new")
    try:
        write_file(new, data)
    except OSError:
        remove_file(new)
        raise
    killpoints.reached("before_publish")
    os.rename(new, path)
    killpoints.reached("after_publish")
    if sync_name:
        sync_directory(path.parent)


def move(source: Path, target: Path, *, visible: Path) -> None:
    """Rename within one filesystem, and put on the disk the one of the two directories that counts."""
    killpoints.reached("before_publish")
    os.rename(source, target)
    killpoints.reached("after_publish")
    sync_directory(visible)


def remove_file(path: Path) -> None:
    """Remove a file; gone is done. The removal reaches the disk when its directory does."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def remove_tree(path: Path) -> None:
    """Remove a directory with all in it; gone is done."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path)
