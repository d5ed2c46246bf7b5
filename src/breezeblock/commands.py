"""The only place that runs programs: argument lists, a time limit, no shell, and a sandbox for hostile input.

A program dies with the thread's process (`setpriv --pdeathsig`), inherits no file but the ones named, and sees no
secret on its argument list, since every user of the machine can read that. Only what `start_daemon` starts lives on.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from breezeblock.errors import CommandFailed

POLL_SECONDS = 0.2
PARENT = "BREEZEBLOCK_PARENT"
_PR_SET_PDEATHSIG = 1
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}

_daemons: list[int] = []
os.register_at_fork(after_in_child=_daemons.clear)  # they are the parent's children
"""Process ids of what `start_daemon` started, to be collected when it has ended."""
_collecting = threading.Lock()


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a program that reads hostile input may use. Bytes and seconds."""

    address_space: int = 1 << 30
    cpu_seconds: int = 60
    open_files: int = 64
    file_size: int | None = None
    network: bool = False
    user: int | None = 65534
    """Runs as this user id (and group) where the service itself is root; None keeps the user."""


class Completed(msgspec.Struct, frozen=True):
    """What a program that ended well printed."""

    stdout: bytes
    stderr: bytes


def find(program: str, package: str) -> str:
    """The path of a program; raises `CommandFailed` naming the Debian package that has it."""
    path = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        raise CommandFailed(f"The program {program} is not installed; it is in the Debian package {package}.")
    return path


def _wrapped(argv: Sequence[str], limits: Limits | None) -> list[str]:
    wrapped = ["setpriv", "--pdeathsig", "KILL"]
    if limits is None:
        return [*wrapped, *argv]
    root = os.geteuid() == 0
    if limits.user is not None and root:
        uid = str(limits.user)
        wrapped += ["--reuid", uid, "--regid", uid, "--clear-groups"]
    wrapped += ["--no-new-privs", "prlimit", f"--as={limits.address_space}", f"--cpu={limits.cpu_seconds}"]
    wrapped += [f"--nofile={limits.open_files}", "--core=0"]
    if limits.file_size is not None:
        wrapped.append(f"--fsize={limits.file_size}")
    if not limits.network and root:
        # the namespace is entered before privileges fall
        return ["unshare", "--net", *wrapped, "--", *argv]
    return [*wrapped, "--", *argv]


def run(
    argv: Sequence[str],
    *,
    timeout: float,
    limits: Limits | None = None,
    stdin: bytes | None = None,
    pass_fds: Sequence[int] = (),
    while_running: Callable[[], None] | None = None,
) -> Completed:
    """Run a program to its end. `while_running` is called about five times a second and may raise to stop it.

    Raises:
        CommandFailed: it ended with an error, by a signal, or not within `timeout` seconds.
        Cancelled: whatever `while_running` raised, after the program was killed.
    """
    with _input(stdin) as source:
        process = subprocess.Popen(
            _wrapped(argv, limits),
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=pass_fds,
            env=ENVIRONMENT,
        )
    try:
        stdout, stderr = _watch(process, argv[0], timeout, while_running)
    except BaseException:
        process.kill()
        process.communicate()
        raise
    if process.returncode < 0:
        name = signal.Signals(-process.returncode).name
        raise CommandFailed(f"{os.path.basename(argv[0])} was ended by {name}. {_tail(stderr)}".strip())
    if process.returncode:
        raise CommandFailed(f"{os.path.basename(argv[0])} failed ({process.returncode}): {_tail(stderr)}")
    return Completed(stdout, stderr)


def _watch(
    process: "subprocess.Popen[bytes]", program: str, timeout: float, while_running: Callable[[], None] | None
) -> tuple[bytes, bytes]:
    waited, step = 0.0, POLL_SECONDS if while_running else timeout
    while True:
        try:
            return process.communicate(timeout=step)
        except subprocess.TimeoutExpired:
            waited += step
        if waited >= timeout:
            raise CommandFailed(f"{program} did not end within {timeout:.0f} s and was killed.")
        if while_running:
            while_running()


@contextmanager
def running(argv: Sequence[str], *, limits: Limits, pass_fds: Sequence[int]) -> Iterator[Callable[[], str]]:
    """Have a program run beside the block, and killed at its end; answers what tells its last words once it has ended.

    Raises:
        CommandFailed: the program is not there or may not be run.
    """
    try:
        process = subprocess.Popen(
            _wrapped(argv, limits),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=pass_fds,
            env=ENVIRONMENT,
        )
    except OSError as error:
        raise CommandFailed(f"{argv[0]} could not be started: {error}") from error
    with process:
        try:
            yield lambda: _last_words(process)
        finally:
            process.kill()


def _last_words(process: "subprocess.Popen[bytes]") -> str:
    process.kill()
    return _tail(process.communicate()[1] or b"")


@contextmanager
def _input(data: bytes | None) -> Iterator[int]:
    """A file in memory that a program reads its input from: a pipe cannot be filled and watched at the same time."""
    if data is None:
        yield subprocess.DEVNULL
        return
    with os.fdopen(os.memfd_create("stdin", os.MFD_CLOEXEC), "w+b", buffering=0) as file:
        view = memoryview(data)
        while view:
            view = view[file.write(view) :]
        file.seek(0)
        yield file.fileno()


def _tail(stderr: bytes) -> str:
    return stderr.decode(errors="replace").strip()[-500:]


def start_daemon(argv: Sequence[str], log: Path) -> int:
    """Start a program that outlives this process, in a session of its own; returns its process id at once.

    What it prints is appended to `log`. It inherits no open file, and only its user may open the files it makes.
    Once it has ended it stays a zombie until the next daemon is started: watch it by a pidfd, not by its id.

    Raises:
        CommandFailed: the program is not there or may not be run.
    """
    with _collecting:
        _daemons[:] = [pid for pid in _daemons if os.waitpid(pid, os.WNOHANG) == (0, 0)]
    try:
        with open(log, "ab", opener=lambda path, flags: os.open(path, flags, 0o600)) as output:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                env=ENVIRONMENT,
                start_new_session=True,
                umask=0o077,
            )
    except OSError as error:
        raise CommandFailed(f"{argv[0]} could not be started: {error}") from error
    process.returncode = 0  # nobody waits for it: else it would be warned of when this process ends before it
    with _collecting:
        _daemons.append(process.pid)
    return process.pid


def start_beside(argv: Sequence[str], pass_fds: Sequence[int]) -> "subprocess.Popen[bytes]":
    """Start a program of ours that writes to our standard error, and is killed when the calling thread or its process ends.

    The caller waits for its end. Raises `CommandFailed` where it is not there or may not be run.
    """
    try:
        return subprocess.Popen(
            _wrapped(argv, None),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=pass_fds,
            env=ENVIRONMENT,
        )
    except OSError as error:
        raise CommandFailed(f"{argv[0]} could not be started: {error}") from error


def start_child(argv: Sequence[str], environment: Mapping[str, str]) -> int:
    """Start a program of ours that writes to our standard error and is told to end when this process dies; its pid.

    It gets our environment and `environment`, and in PARENT whose child it has to be: this process may have died before
    the kernel was asked to tell. Files that may be inherited are.
    """
    wrapped = ["setpriv", "--pdeathsig", "TERM", "--", *argv]
    mine = {**os.environ, **environment, PARENT: str(os.getpid())}
    return os.posix_spawnp("setpriv", wrapped, mine, setsid=True)


def end_without_parent() -> None:
    """End this process if `start_child` started it and its parent is gone already."""
    parent = os.environ.pop(PARENT, None)
    if parent is not None and int(parent) != os.getppid():
        raise SystemExit(f"process {parent}, which started this one, has ended")


def end_with_parent(parent: int) -> None:
    """Have the kernel kill this process, a fork of `parent`, when that dies; it ends here where that is dead already.

    Otherwise what it has open, such as a socket that it listens on, is in the way of the next one.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise SystemExit(f"process {parent}, which this one is a fork of, has ended")
