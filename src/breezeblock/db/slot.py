"""Owning a slot on PostgreSQL: one process at a time runs the flows of `host@backend#0`; the others stand by.

The owner holds an advisory lock on a session of its own. Each heartbeat on that session renews a lease on the owner's
life, so an owner that has lost the session ends within `ALIVE_SECONDS` of the last one, whatever state it is in. The
next owner gets the lock, waits for the proof that the last one has ended, raises the slot's epoch, and only then
touches the storage. SQLite needs none of this: there is one worker process (`worker.Worker`).
"""

import contextlib
import logging
import os
import select
import socket
import threading
from typing import TYPE_CHECKING, Any, NoReturn

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breezeblock import killpoints, lease, process
from breezeblock.db import tables
from breezeblock.lockfile import EXIT_LOST_SLOT
from breezeblock.model import clock

if TYPE_CHECKING:
    from psycopg import Connection as Session

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 3.0
ALIVE_SECONDS = 13.0
"""An owner lives no longer than this after the last heartbeat that was answered."""

FENCE_SECONDS = 15.0
"""How long a new owner waits where it cannot see that the last one has ended; longer than `ALIVE_SECONDS`."""

RETRY_SECONDS = 1.0

SESSION = """
SELECT set_config(name, value, false)
FROM (VALUES ('statement_timeout', '0'), ('lock_timeout', '0'), ('idle_session_timeout', '0'),
             ('client_connection_check_interval', '1s'), ('tcp_user_timeout', '10s'),
             ('tcp_keepalives_idle', '5'), ('tcp_keepalives_interval', '2'), ('tcp_keepalives_count', '3'))
     AS wanted (name, value)
JOIN pg_settings USING (name)
"""
"""What the session of a lock needs of the server: it waits for ever, and is dropped soon after its client is gone."""

TAKE = """
INSERT INTO slots (slot, epoch, host, machine, pid, process_started, taken_at)
VALUES (%(slot)s, 1, %(host)s, %(machine)s, %(pid)s, %(started)s, %(now)s)
ON CONFLICT (slot) DO UPDATE SET epoch = slots.epoch + 1, host = excluded.host, machine = excluded.machine,
    pid = excluded.pid, process_started = excluded.process_started, taken_at = excluded.taken_at
RETURNING epoch
"""


class LostSlot(BaseException):
    """Another process owns the slot now. Not an Exception: nothing may be undone by one who owns nothing."""


class Slot:
    """One slot, as one process sees it. `take` waits for it; `verify` belongs into each of the owner's transactions."""

    def __init__(self, url: str, name: str) -> None:
        self.name = name
        self.epoch = 0
        self._url = sa.make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        self._session: Session[Any] | None = None
        self._lease: lease.Lease | None = None
        self._watcher = threading.Thread(target=self._watch, name=f"{name} lock", daemon=True)
        self._stopped, self._stopper = socket.socketpair()
        self._given_back, self._giver = socket.socketpair()

    def take(self) -> bool:
        """Stand by until the slot is this process's; False when `stop` came first. A lost database is waited for."""
        import psycopg

        while True:
            try:
                taken = self._take()
            except psycopg.Error as error:
                log.warning("slot %s waits for the database: %s", self.name, error)
                self._close()
                if self._wait([], RETRY_SECONDS) is None:
                    return False
                continue
            if not taken:
                self._close()
            return taken

    def stop(self) -> None:
        """Have `take` return. For signal handlers too."""
        with contextlib.suppress(OSError):  # given back meanwhile: nothing waits
            self._stopper.send(b"s")

    def verify(self, connection: Connection) -> None:
        """Raise `LostSlot` unless this process owns the slot, and keep it so until the transaction ends.

        The share lock makes the next owner wait for a commit that is under way when this process is killed.
        """
        table = tables.slots
        query = sa.select(table.c.epoch).where(table.c.slot == self.name).with_for_update(read=True)
        if connection.execute(query).scalar_one_or_none() != self.epoch:
            raise LostSlot(f"Another worker has taken the slot {self.name}.")

    def release(self) -> None:
        """Give the slot to the next owner, who need not wait: this one is through with the storage. The last call."""
        if self._lease is not None and self._session is not None:
            self._give_back(self._session, self._lease)
        for end in (self._stopped, self._stopper, self._given_back, self._giver):
            end.close()

    def _give_back(self, session: "Session[Any]", held: lease.Lease) -> None:
        import psycopg

        self._giver.send(b"g")
        self._watcher.join()
        try:
            session.execute("UPDATE slots SET pid = NULL WHERE slot = %s AND epoch = %s", (self.name, self.epoch))
        except psycopg.Error as error:
            log.warning("slot %s could not be released, the next owner will wait: %s", self.name, error)
        held.end()
        self._close()

    def _take(self) -> bool:
        import psycopg

        self._session = session = psycopg.connect(
            self._url,
            autocommit=True,
            prepare_threshold=None,
            application_name=f"breezeblock slot {self.name}",
            connect_timeout=10,
            keepalives_idle=5,
            keepalives_interval=2,
            keepalives_count=3,
            tcp_user_timeout=10_000,
        )
        session.execute(SESSION)
        if not (self._lock(session) and self._last_owner_ended(session)):
            return False
        began = lease.now()
        with killpoints.within("take_slot", anew=True):
            killpoints.reached("before_epoch")
            self.epoch = self._raise_epoch(session)
            killpoints.reached("after_epoch")
        self._lease = lease.Lease()
        self._lease.renew(began + ALIVE_SECONDS)
        self._watcher.start()
        log.info("slot %s is taken, epoch %d", self.name, self.epoch)
        return True

    def _lock(self, session: "Session[Any]") -> bool:
        """Wait for the lock by sleeping on its socket; False when stopped."""
        connection = session.pgconn
        connection.send_query_params(b"SELECT pg_advisory_lock(hashtextextended($1, 0))", [self.name.encode()])
        while connection.flush():
            select.select([], [connection.socket], [])
        standing_by = False
        while connection.is_busy():
            found = self._wait([connection.socket], None if standing_by else RETRY_SECONDS)
            if found is None:
                return False
            if found:
                connection.consume_input()
            elif not standing_by:
                standing_by = True
                log.info("slot %s belongs to another worker; standing by", self.name)
        while result := connection.get_result():
            if result.error_message:
                raise _lost(result.error_message.decode(errors="replace"))
        return True

    def _last_owner_ended(self, session: "Session[Any]") -> bool:
        """Wait for the proof; False when stopped."""
        query = "SELECT host, machine, pid, process_started FROM slots WHERE slot = %s AND pid IS NOT NULL"
        row = session.execute(query, (self.name,)).fetchone()
        if row is None:
            return True
        last = process.Process(*row[1:])
        handle = last.open() if last.is_local() else -1
        if handle is None:
            return True
        log.info("slot %s: waiting for the end of process %d on %s", self.name, last.pid, row[0])
        try:
            sources = [session.fileno()] + ([handle] if handle >= 0 else [])
            found = self._wait(sources, FENCE_SECONDS)
        finally:
            if handle >= 0:
                os.close(handle)
        if found is not None and session.fileno() in found:
            session.execute("SELECT 1")  # raises where the session is lost
            raise _lost("the session was disturbed")
        return found is not None

    def _raise_epoch(self, session: "Session[Any]") -> int:
        me = process.this()
        values = {"machine": me.machine, "pid": me.pid, "started": me.started}
        values |= {"slot": self.name, "host": socket.gethostname(), "now": clock.now()}
        row = session.execute(TAKE, values).fetchone()
        assert row is not None
        return int(row[0])

    def _watch(self) -> None:
        """Sleep on the lock's socket, and between heartbeats; end the process when the lock is gone."""
        import psycopg

        assert self._session is not None
        assert self._lease is not None
        try:
            given_back = self._given_back.fileno()
            while given_back not in _readable([given_back, self._session.fileno()], HEARTBEAT_SECONDS):
                sent = lease.now()
                self._session.execute("SELECT 1")
                self._lease.renew(sent + ALIVE_SECONDS)
        except psycopg.Error as error:
            end_process(f"slot {self.name}: the lock's session is lost: {error}")

    def _wait(self, sources: list[int], seconds: float | None) -> list[int] | None:
        """Those of `sources` that are readable, none after `seconds`; None when stopped."""
        ready = _readable([self._stopped.fileno(), *sources], seconds)
        return None if self._stopped.fileno() in ready else ready

    def _close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None


def end_process(why: str) -> NoReturn:
    """End at once, children that copy included: what is left to do is the next owner's."""
    log.critical("%s; this process ends", why)
    os._exit(EXIT_LOST_SLOT)


def _readable(sources: list[int], seconds: float | None) -> list[int]:
    poll = select.poll()  # select knows no descriptor beyond 1023
    for source in sources:
        poll.register(source, select.POLLIN)
    return [source for source, _ in poll.poll(None if seconds is None else seconds * 1000)]


def _lost(message: str) -> Exception:
    import psycopg

    return psycopg.OperationalError(message.strip())
