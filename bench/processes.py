"""What a server's processes cost, read from /proc: processor time and memory."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

TICK = os.sysconf("SC_CLK_TCK")
MAPPING = re.compile(rb"^[0-9a-f]+-[0-9a-f]+ \S+ (?P<file>\S+ \S+ [1-9]\d*) .*\n(?:[A-Z].*\n)*", re.MULTILINE)
"""A mapped file's part of /proc/PID/smaps; `file` is offset, device and inode, which is 0 for what is no file."""


class Usage(msgspec.Struct, frozen=True):
    """Of all processes of a server at one moment."""

    cpu_seconds: float
    """User and system time, with that of children that have ended."""
    memory_bytes: int
    """What these processes would take alone: what they share with others here counts whole, and once for all of them."""
    processes: int


class ServerProcesses:
    """The processes of a server: trees under root process ids, and daemons known by a text on their command line.

    The trees under `without` are left out.
    """

    def __init__(self, roots: Sequence[int] = (), matching: str | None = None, without: Sequence[int] = ()) -> None:
        self._roots = tuple(roots)
        self._matching = matching.encode() if matching else None
        self._without = tuple(without)

    @property
    def known(self) -> bool:
        """Whether there is anything to read; a server elsewhere has no processes here."""
        return bool(self._roots or self._matching)

    def cpu_seconds(self) -> float:
        """Processor time that the processes have used so far."""
        return sum(_cpu_seconds(pid) for pid in self.pids())

    def usage(self) -> Usage:
        """Processor time, memory and number of the processes; reading memory takes some milliseconds."""
        pids = self.pids()
        return Usage(sum(map(_cpu_seconds, pids)), _memory_bytes(pids), len(pids))

    def pids(self) -> set[int]:
        """The process ids, now."""
        children: dict[int, list[int]] = {}
        for pid, parent in _parents():
            children.setdefault(parent, []).append(pid)
        return _trees([*self._roots, *self._daemons()], children) - _trees(self._without, children)

    def _daemons(self) -> Iterator[int]:
        if self._matching is None:
            return
        for pid in _all_pids():
            if pid != os.getpid() and self._matching in _read(pid, "cmdline"):
                yield pid


def _trees(roots: Sequence[int], children: Mapping[int, Sequence[int]]) -> set[int]:
    found: set[int] = set()
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting += children.get(pid, [])
    return found


def root_pids(texts: Sequence[str]) -> list[int]:
    """Process ids, each given as a number or as the path of a file that holds it."""
    return [int(text) if text.isdigit() else int(Path(text).read_text()) for text in texts]


def _all_pids() -> Iterator[int]:
    return (int(entry) for entry in os.listdir("/proc") if entry.isdigit())


def _parents() -> Iterator[tuple[int, int]]:
    for pid in _all_pids():
        fields = _stat(pid)
        if fields:
            yield pid, int(fields[1])


def _cpu_seconds(pid: int) -> float:
    return sum(map(int, _stat(pid)[11:15])) / TICK


def _memory_bytes(pids: Iterable[int]) -> int:
    """Pages of their own by the proportional set size; those of a mapped file as many as the process has that has most."""
    own = 0
    files: dict[bytes, int] = {}
    for pid in pids:
        own += sum(_sizes(_read(pid, "smaps_rollup"), b"Pss_Anon"))
        for mapping in MAPPING.finditer(_read(pid, "smaps")):
            resident, anonymous = _sizes(mapping[0], b"Rss"), _sizes(mapping[0], b"Anonymous")
            files[mapping["file"]] = max(files.get(mapping["file"], 0), sum(resident) - sum(anonymous))
    return own + sum(files.values())


def _sizes(text: bytes, name: bytes) -> list[int]:
    """The sizes of that name in a text like /proc/PID/smaps, in bytes."""
    return [int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith(name + b":")]


def _stat(pid: int) -> list[bytes]:
    """The fields of /proc/PID/stat from the state on (proc(5) counts that as the third); empty for one that ended."""
    return _read(pid, "stat").rpartition(b")")[2].split()


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
        return b""
