"""Servers that tests start: real programs on free loopback ports that never outlive the test run."""

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from tests.nursery import Child, Nursery

LOG_TAIL = 4000


class ServerFailed(Exception):
    """A program that a test needs ended, or never answered; the message has the end of its log."""


class Server:
    """A running program with its output in a file; a context manager that ends it. A nursery has the environment already.

    It ends with the test run's process in any case, however that ends.
    """

    def __init__(
        self,
        argv: Sequence[str | Path],
        log: Path,
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        nursery: Nursery | None = None,
    ) -> None:
        self.name = Path(argv[0]).name
        self.log = log
        self._process: subprocess.Popen[bytes] | Child
        if nursery is not None:
            self._process = nursery.start(argv, log)
            return
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", *argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                cwd=cwd,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The program's process id."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether the program has ended, by itself or not."""
        return self._process.poll() is not None

    def wait_for(self, url: str, seconds: float = 120) -> None:
        """Wait until `url` answers with any HTTP status below 500. Raises `ServerFailed`, the program being ended."""
        deadline = time.monotonic() + seconds
        while not _answers(url):
            if self._process.poll() is not None:
                raise ServerFailed(f"{self.name} ended with {self._process.returncode}:\n{self.tail()}")
            if time.monotonic() > deadline:
                self.kill()
                raise ServerFailed(f"{self.name} does not answer at {url} after {seconds:.0f} s:\n{self.tail()}")
            time.sleep(0.05)

    def wait(self, seconds: float = 60) -> int:
        """How the program ended, by itself: its exit code, or less than zero for a signal. Raises `TimeoutExpired`."""
        code = self._process.wait(seconds)
        assert code is not None, "a nursery keeps no exit codes"
        return code

    def kill(self) -> None:
        """End the program by SIGKILL, as a crash would."""
        self._end(signal.SIGKILL, 10)

    def stop(self, seconds: float = 30) -> None:
        """End the program by SIGTERM. Raises `ServerFailed` where it has to be killed after `seconds`."""
        self._end(signal.SIGTERM, seconds)

    def tail(self) -> str:
        """The end of what the program printed."""
        return self.log.read_text(errors="replace")[-LOG_TAIL:]

    def _end(self, how: signal.Signals, seconds: float) -> None:
        if self._process.poll() is None:
            self._process.send_signal(how)
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise ServerFailed(f"{self.name} did not end within {seconds:.0f} s of a {how.name}") from None


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and is not waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def listener_of(path: Path) -> int | None:
    """The process that listens at a Unix socket."""
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        return int.from_bytes(client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 4), "little")


def files_of(pid: int) -> set[str]:
    """The names of what a process holds open, but for what it closes while they are read."""
    found = set()
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.add(os.readlink(file))
    return found


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10):
            return True
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code < 500
    except OSError:
        return False
