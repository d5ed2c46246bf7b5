"""Files that share their blocks until one of them is written: XFS and btrfs have it, ext4 has not."""

import contextlib
import fcntl
import os
import uuid
from pathlib import Path

from breezeblock.drivers.directory import durable

FICLONE = 0x40049409


def clone_file(source: Path, target: Path) -> None:
    """Make `target` a new file that shares all blocks of `source`, and sync it. Raises `OSError` where it cannot."""
    reading = os.open(source, os.O_RDONLY)
    try:
        writing = durable.create_file(target)
        try:
            fcntl.ioctl(writing, FICLONE, reading)
            os.fsync(writing)
        except BaseException:
            durable.remove_file(target)
            raise
        finally:
            os.close(writing)
    finally:
        os.close(reading)


def is_shared_by(directory: Path) -> bool:
    """Whether the filesystem of `directory` can do it, tried with a small file."""
    probe = directory / f"probe.{uuid.uuid4().hex}"
    copy = probe.with_suffix(".copy")
    durable.write_file(probe, bytes(4096))
    try:
        with contextlib.suppress(OSError):
            clone_file(probe, copy)
            return True
        return False
    finally:
        durable.remove_file(probe)
        durable.remove_file(copy)
