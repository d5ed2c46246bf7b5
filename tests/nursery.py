"""`breezeblock` started by a process that has its modules read already: a test that kills a thousand of them saves that time.

What starts is a process of its own that runs the program from its first line; only the imports are done.
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_LONGEST = 1 << 16


class Nursery:
    """The process that has read the modules; it ends with this one."""

    def __init__(self, env: dict[str, str]) -> None:
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", sys.executable, "-m", "tests.nursery", str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            env={**os.environ, **env},
            pass_fds=[theirs.fileno()],
        )
        theirs.close()

    def start(self, argv: Sequence[str | Path], log: Path) -> "Child":
        """Run `breezeblock ARGUMENTS…`, with its output at the end of `log`."""
        self._ours.send(json.dumps({"argv": [str(one) for one in argv], "log": str(log)}).encode())
        told, handles, _, _ = socket.recv_fds(self._ours, _LONGEST, 1)
        if not told:
            raise ChildProcessError("The nursery has ended.")
        return Child(int(told), handles[0])

    def close(self) -> None:
        """End it, and what it started with it."""
        self._ours.close()
        self._process.wait()


class Child:
    """A process that a nursery started, in the terms of `subprocess.Popen`; its exit code is the nursery's alone."""

    returncode = None

    def __init__(self, pid: int, handle: int) -> None:
        self.pid = pid
        self._handle = handle
        self._ended = False

    def poll(self) -> bool | None:
        """True where it has ended, else None."""
        return True if self._ended or self._look(0) else None

    def wait(self, timeout: float | None = None) -> None:
        """Wait for its end. Raises `TimeoutExpired`."""
        if not self._ended and not self._look(timeout):
            raise subprocess.TimeoutExpired("breezeblock", timeout or 0)

    def send_signal(self, number: int) -> None:
        """Send it a signal; one that has ended gets none."""
        if not self._ended:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, number)

    def kill(self) -> None:
        """End it by SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _look(self, seconds: float | None) -> bool:
        poll = select.poll()
        poll.register(self._handle, select.POLLIN)
        if poll.poll(None if seconds is None else seconds * 1000):
            self._ended = True
            os.close(self._handle)
        return self._ended


def _next(control: socket.socket) -> dict[str, str] | None:
    """Start a process for each request; in the process it is what to run, and None when there are no more."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks for exit codes, so the kernel clears up
    while request := control.recv(_LONGEST):
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(writing)
            os.read(reading, 1)  # not before it is known to the test
            os.close(reading)
            control.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            told: dict[str, str] = json.loads(request)
            return told
        os.close(reading)
        handle = os.pidfd_open(pid)
        socket.send_fds(control, [str(pid).encode()], [handle])
        os.close(handle)
        os.close(writing)
    return None


def _run(told: dict[str, str]) -> None:
    from breezeblock.cli.main import main

    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    output = os.open(told["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for standard in (1, 2):
        os.dup2(output, standard)
    os.close(output)
    sys.argv = list(told["argv"])
    main()


if __name__ == "__main__":
    import breezeblock.cli.api
    import breezeblock.cli.worker
    import breezeblock.worker  # noqa: F401

    with socket.socket(fileno=int(sys.argv[1])) as control:
        request = _next(control)
    if request is not None:
        _run(request)
