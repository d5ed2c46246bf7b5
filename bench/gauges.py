"""Gauges: counters that grow while a server works. What a flow costs is how far they moved, divided by the flows."""

import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.client import ApiError
from bench.processes import ServerProcesses
from bench.site import ROLES, Site

Gauge = Callable[[], dict[str, float]]
"""Reads counters by name."""

SYNC_CALL = re.compile(r"^\d+ +(fsync|fdatasync|syncfs|sync_file_range|msync)\((?:\d+<(?P<path>[^>]*)>)?")
ATTACH_SECONDS = 20.0

STATEMENTS = """
SELECT rolname, coalesce(sum(calls), 0)::float8, coalesce(sum(calls) FILTER (WHERE query = 'COMMIT'), 0)::float8
FROM pg_roles LEFT JOIN pg_stat_statements ON userid = pg_roles.oid
WHERE rolname = ANY ('{%s}') GROUP BY rolname
"""


def processor(**groups: ServerProcesses) -> Gauge:
    """Milliseconds of processor time of each group of processes."""
    return lambda: {f"{name} ms": processes.cpu_seconds() * 1000 for name, processes in groups.items()}


def statements(site: Site) -> Gauge:
    """Statements and commits that each process has sent, BEGIN and COMMIT counted, and the WAL written, in KiB."""

    def read() -> dict[str, float]:
        found: dict[str, float] = {"commits": 0.0}
        for role, calls, commits in site.query(STATEMENTS % ",".join(ROLES)):
            found[f"{role} statements"] = float(str(calls))
            found["commits"] += float(str(commits))
        ((written,),) = site.query("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8")
        return found | {"WAL KiB": float(str(written)) / 1024}

    return read


def together(*gauges: Gauge) -> Gauge:
    """One gauge that reads several."""
    return lambda: {name: value for gauge in gauges for name, value in gauge().items()}


@contextmanager
def durable_writes(processes: ServerProcesses, database: str, log: Path) -> Iterator[Gauge]:
    """Counts the calls that wait for the disk, by strace: those on paths that contain `database`, and all others.

    strace slows what it watches down, so nothing else should be measured meanwhile.
    """
    watched = [part for pid in sorted(processes.pids()) for part in ("-p", str(pid))]
    argv = ["strace", "-q", "-f", "-y", "-e", "trace=fsync,fdatasync,syncfs,sync_file_range,msync", "-o", str(log)]
    with subprocess.Popen([*argv, *watched], stderr=subprocess.PIPE, text=True) as strace:
        try:
            _wait_until_attached(strace, processes)
            yield lambda: count_syncs(log.read_text(), database)
        finally:
            strace.send_signal(signal.SIGINT)
            strace.communicate()


def _wait_until_attached(strace: subprocess.Popen[str], processes: ServerProcesses) -> None:
    deadline = time.monotonic() + ATTACH_SECONDS
    while not all(_is_traced(pid) for pid in processes.pids()):
        if strace.poll() is not None:
            raise ApiError(f"strace ended: {strace.communicate()[1]}")
        if time.monotonic() > deadline:
            raise ApiError("strace does not watch all processes.")
        time.sleep(0.05)


def _is_traced(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
        return True
    return "TracerPid:\t0\n" not in text or "State:\tZ" in text  # one that ended may wait for its parent


def count_syncs(text: str, database: str) -> dict[str, float]:
    """The calls in a log of strace: those on paths that contain `database`, and all others."""
    found = {"database syncs": 0.0, "storage syncs": 0.0}
    for line in text.splitlines():
        if call := SYNC_CALL.match(line):
            found["database syncs" if database in (call["path"] or "") else "storage syncs"] += 1
    return found
