"""Which process it was, so that its end can be proved later, also by another one."""

import os
from pathlib import Path

import msgspec


class Process(msgspec.Struct, frozen=True):
    """A process, told apart from all others that ever have its number."""

    machine: str
    """Boot and pid namespace: where the number means something."""
    pid: int
    started: int
    """Start in clock ticks since the boot."""

    def is_local(self) -> bool:
        """Whether this process can tell anything about it."""
        return self.machine == _machine()

    def open(self) -> int | None:
        """A pidfd, readable once the process and all its threads have ended; None where it is gone already."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return None
        if _started(self.pid) == self.started:
            return handle
        os.close(handle)
        return None


def this() -> Process:
    """The calling process."""
    started = _started(os.getpid())
    assert started is not None
    return Process(_machine(), os.getpid(), started)


def _machine() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot} {os.readlink('/proc/self/ns/pid')}"


def _started(pid: int) -> int | None:
    """Field 22 of /proc/PID/stat (proc(5)), counted from behind the program's name, which may hold anything."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(text.rpartition(")")[2].split()[19])
