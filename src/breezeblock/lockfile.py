"""A lock that one process holds, and that the kernel drops with it."""

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path

from breezeblock.errors import Conflict

EXIT_LOST_SLOT = 75
"""The exit code of a worker that has lost its slot (EX_TEMPFAIL of sysexits.h): start it again, to stand by."""


LOOK_SECONDS = 0.02


class LockFile:
    """A lock file in the run directory; the kernel drops it with the process.

    No child inherits it, unless it is `inherited`: then all children hold it too, and it is dropped with the last of them.
    """

    def __init__(self, path: Path, *, inherited: bool = False) -> None:
        self._path = path
        self._inherited = inherited
        self._file: int | None = None

    def take(self) -> None:
        """Take the lock. Raises `Conflict`, naming the process that holds it."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(file, 200, 0).decode().strip() or "unknown"
            os.close(file)
            raise Conflict(f"{self._path} is held by process {holder}; stop it first.") from None
        os.set_inheritable(file, self._inherited)
        self._file = file
        self.name_holder(str(os.getpid()))

    def take_within(self, seconds: float, waiting: Callable[[str], None]) -> None:
        """Take the lock from one who is about to end; `waiting(why)` is called once where it has to be waited for.

        Raises `Conflict` when it is still held after so long.
        """
        deadline, told = time.monotonic() + seconds, False
        while True:
            try:
                return self.take()
            except Conflict as held:
                if time.monotonic() >= deadline:
                    raise
                if not told:
                    waiting(held.message)
                told = True
                time.sleep(LOOK_SECONDS)

    def name_holder(self, name: str) -> None:
        """Say who holds it, for those who have to wait."""
        assert self._file is not None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, name.encode(), 0)

    def release(self) -> None:
        """Give it back."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
