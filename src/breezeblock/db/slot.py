"""The lock on a slot: one process at a time runs the flows of `host@backend#0`."""

import hashlib
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from breezeblock.db.connect import Database
from breezeblock.errors import Conflict
from breezeblock.lockfile import LockFile


class SessionLock:
    """A PostgreSQL advisory lock on a session of its own; it falls with the connection."""

    def __init__(self, database: Database, slot: str) -> None:
        self._engine = sa.create_engine(database.url, poolclass=sa.pool.NullPool, isolation_level="AUTOCOMMIT")
        self._slot = slot
        self._connection: Any = None

    def take(self) -> None:
        """Take the lock. Raises `Conflict` where another process has it."""
        self._connection = self._engine.connect()
        query = sa.text("SELECT pg_try_advisory_lock(hashtextextended(:slot, 0))")
        if not self._connection.execute(query, {"slot": self._slot}).scalar_one():
            self.release()
            raise Conflict(f"Another worker owns the slot {self._slot}.")

    def release(self) -> None:
        """Give it back."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def slot_lock(database: Database, run_dir: Path, slot: str) -> LockFile | SessionLock:
    """The lock that guards a slot: a file beside SQLite, a session lock on PostgreSQL."""
    if not database.is_sqlite:
        return SessionLock(database, slot)
    return LockFile(run_dir / f"slot-{hashlib.sha256(slot.encode()).hexdigest()[:12]}.lock")
