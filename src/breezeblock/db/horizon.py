"""How far the outbox is settled: up to which number no event can appear any more.

SQLite has one writer, so numbers commit in order. On PostgreSQL a number is drawn before its transaction commits, and a
higher one may be visible first. Each writer therefore holds a shared advisory lock from before it draws its number to
its end (`outbox.write`). A reader notes the highest number it sees and then who holds the lock: once those are gone, all
numbers up to that one are there or never will be. No writer waits for anybody, and a rolled back number blocks nobody.
The cost: no statement more for a writer, which takes the lock within its INSERT; one look at pg_locks for a reader.
"""

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breezeblock.db import tables

LOCK = (0x62726565, 1)
"""Two numbers, so that it lies apart from the locks of slots and turns, which have one."""

_HOLDERS = sa.text(
    "SELECT virtualtransaction FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND classid = :a AND objid = :b "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


class Horizon:
    """One reader's knowledge of how far the outbox is settled. Look through a connection of `Database.read`."""

    def __init__(self) -> None:
        self._settled = 0
        self._candidate: tuple[int, frozenset[str]] | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether a writer that was seen has still to end: a later look will tell more."""
        return self._candidate is not None

    def look(self, connection: Connection) -> int:
        """The number up to which events may be read. Never goes back; never waits."""
        if self._candidate is None:
            highest = connection.execute(sa.select(sa.func.max(tables.events.c.number))).scalar_one() or 0
            if highest <= self._settled:
                return self._settled
            if connection.dialect.name != "postgresql":
                self._settled = highest
                return highest
            holders = _holders(connection)  # after the number: who drew a lower one has the lock by now, or has ended
            self._candidate = (highest, holders)
        else:
            holders = _holders(connection)
        number, before = self._candidate
        if before.isdisjoint(holders):
            self._settled, self._candidate = number, None
        return self._settled


def _holders(connection: Connection) -> frozenset[str]:
    return frozenset(connection.execute(_HOLDERS, {"a": LOCK[0], "b": LOCK[1]}).scalars())
