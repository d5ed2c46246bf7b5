"""A lock that one process holds, and that the kernel drops with it."""

import fcntl
import os
from pathlib import Path

from breezeblock.errors import Conflict

EXIT_LOST_SLOT = 75
"""The exit code of a worker that has lost its slot (EX_TEMPFAIL of sysexits.h): start it again, to stand by."""


class LockFile:
    """A lock file in the run directory; the kernel drops it with the process. No child inherits it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def take(self) -> None:
        """Take the lock. Raises `Conflict`, naming the process that holds it."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(file, 32, 0).decode().strip() or "unknown"
            os.close(file)
            raise Conflict(f"{self._path} is held by process {holder}; stop it first.") from None
        os.ftruncate(file, 0)
        os.pwrite(file, str(os.getpid()).encode(), 0)
        self._file = file

    def release(self) -> None:
        """Give it back."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
