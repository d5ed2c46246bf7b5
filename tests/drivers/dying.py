"""Processes that die or fall silent in the midst of a storage's work."""

import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from breezeblock.drivers.directory.driver import DirectoryDriver
from breezeblock.errors import BackendTransient
from tests.drivers.directory_storage import opened

T = TypeVar("T")

CHANGES = ("fsync", "rename", "link", "unlink", "mkdir", "pwrite")
"""What a driver changes the disk by."""


def killed(
    directory: Path,
    after: int,
    act: Callable[[DirectoryDriver], object],
    changes: Sequence[str] = CHANGES,
    **options: Any,
) -> None:
    """Do it in another process, which ends by SIGKILL once it has made so many `changes` (of `os`), or is done.

    `options` are the driver's.
    """
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    left = after

    def counting(real: Callable[..., Any]) -> Callable[..., Any]:
        def change(*arguments: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **named)

        return change

    try:
        driver = opened(directory, **options)
        for name in changes:
            setattr(os, name, counting(getattr(os, name)))
        act(driver)
    finally:
        os.kill(os.getpid(), signal.SIGKILL)


def answered(ask: Callable[[], T]) -> T:
    """The answer of a daemon that is not asked again at once after it was silent."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return ask()
        except BackendTransient:
            assert time.monotonic() < deadline
            time.sleep(0.05)
