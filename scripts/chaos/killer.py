"""Who dies when: by SIGKILL, by being stopped for longer than it may be silent, or by losing the database."""

import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter

import psycopg

from scripts.chaos.site import Site, children, command_of

PAUSE_SECONDS = (2.0, 8.0)
DOWN_SECONDS = 3.0
STOPPED_SECONDS = 20.0
"""Longer than an owner lives without its heartbeats (`db.slot.ALIVE_SECONDS`)."""

STOPPED_ALONE_SECONDS = 3.0
"""Where nobody takes over, everybody waits for as long."""

PROCESSES = ("worker", "worker", "api", "api process", "storage daemon", "storage daemon", "worker stopped")
OF_SQLITE = ("everything",)
OF_POSTGRESQL = {
    "PostgreSQL stopped at once": signal.SIGQUIT,
    "postmaster killed": signal.SIGKILL,
}
SESSIONS = {"session ended": "%", "lock's session ended": "breezeblock slot %"}
"""Of a server's sessions, those whose application's name is like this."""

END_SESSION = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND application_name LIKE %s
ORDER BY random() LIMIT 1
"""


class Killer:
    """Kills for as long as it is told, and counts."""

    def __init__(self, site: Site, seed: int) -> None:
        self._site = site
        self._chance = random.Random(seed)  # noqa: S311  nothing is kept secret here
        self._kinds = [*PROCESSES, *([*OF_POSTGRESQL, *SESSIONS] if site.cluster else OF_SQLITE)]
        self._longest_stop = STOPPED_SECONDS if site.cluster else STOPPED_ALONE_SECONDS
        self._wakers: list[threading.Thread] = []
        self.kills: Counter[str] = Counter()

    def run(self, seconds: float) -> None:
        """Kill something every few seconds for so long; then everybody who was stopped goes on."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, self._chance.uniform(*PAUSE_SECONDS)))
            kind = self._chance.choice(self._kinds)
            if kind in OF_POSTGRESQL:
                self._end_postgresql(kind)
            elif kind in SESSIONS:
                self._end_session(kind)
            else:
                self._strike(kind)
        for waker in self._wakers:
            waker.join()

    def _strike(self, kind: str) -> None:
        role = "worker" if kind == "worker stopped" else kind
        victims = [pid for found, pid in self._site.processes() if found == role]
        if not victims:
            return
        pid = self._chance.choice(victims)
        with contextlib.suppress(ProcessLookupError):  # it ended just now
            handle = os.pidfd_open(pid)
            if kind == "worker stopped":
                signal.pidfd_send_signal(handle, signal.SIGSTOP)
                seconds = self._chance.uniform(1.0, self._longest_stop)
                waker = threading.Thread(target=_wake, args=(handle, seconds))
                waker.start()
                self._wakers.append(waker)
            else:
                copying = any("qemu-img" in part for child in children(pid) for part in command_of(child))
                signal.pidfd_send_signal(handle, signal.SIGKILL)
                os.close(handle)
                kind += " amid a copy" if copying else ""
            self.kills[kind] += 1

    def _end_postgresql(self, kind: str) -> None:
        assert self._site.cluster is not None
        self.kills[kind] += 1
        self._site.cluster.restart(OF_POSTGRESQL[kind], self._chance.uniform(0, DOWN_SECONDS))

    def _end_session(self, kind: str) -> None:
        assert self._site.cluster is not None
        with psycopg.connect(self._site.cluster.url("postgres", driver=""), autocommit=True) as connection:
            self.kills[kind] += len(connection.execute(END_SESSION, [SESSIONS[kind]]).fetchall())


def _wake(handle: int, seconds: float) -> None:
    time.sleep(seconds)
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(handle, signal.SIGCONT)
    os.close(handle)
