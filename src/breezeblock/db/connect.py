"""Connections to SQLite (embedded) or PostgreSQL, and the two ways to use one: `begin` to write, `read` to look.

SQLite takes one writer at a time and lets the others sleep in growing steps. Here writers queue on a file lock first,
which the kernel hands on at once, so that many threads and two processes write at the speed of the disk.
"""

import copy
import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from breezeblock import killpoints
from breezeblock.errors import DatabaseUnavailable

AfterCommit = Callable[[], None]
Guard = Callable[[Connection], None]


class Database:
    """One database and its connections. Safe to use from many threads; make it after any fork."""

    def __init__(self, url: str, pool_size: int = 8) -> None:
        self.url = url
        self.is_sqlite = url.startswith("sqlite")
        self.engine = _sqlite_engine(url, pool_size) if self.is_sqlite else _postgresql_engine(url, pool_size)
        # to set and reset SQLite's isolation level for each look would cost a statement; it is in autocommit anyway
        self._looking: dict[str, Any] = {"looks": True} if self.is_sqlite else {"isolation_level": "AUTOCOMMIT"}
        self._turn = WriteTurn(str(sa.make_url(url).database) + ".turn") if self.is_sqlite else None
        self._guard: Guard | None = None

    def guarded(self, guard: Guard) -> "Database":
        """The same database, for one who may write only as long as `guard(connection)`, called first, does not raise."""
        guarded = copy.copy(self)
        guarded._guard = guard
        return guarded

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A write transaction: commits at the end of the block, rolls back when it raises.

        Functions registered by `after_commit` run then, in order. Raises `DatabaseUnavailable` when the database is gone.
        """
        with _reported(), self.engine.connect() as connection:
            connection.info["after_commit"] = []
            if self._turn is None:
                with connection.begin():
                    if self._guard is not None:
                        self._guard(connection)
                    yield connection
                    killpoints.reached("before_commit")
            else:
                with self._turn, connection.begin():
                    yield connection
                    killpoints.reached("before_commit")
            killpoints.reached("after_commit")
            for call in connection.info.pop("after_commit"):
                call()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection for queries alone: never waits for a writer."""
        with _reported(), self.engine.connect().execution_options(**self._looking) as connection:
            yield connection

    def close(self) -> None:
        """Close all connections, and the file that writers queue on."""
        self.engine.dispose()
        if self._turn is not None:
            self._turn.close()


def after_commit(connection: Connection, call: AfterCommit) -> None:
    """Have `call` run once the transaction of `Database.begin` is committed; a rollback forgets it."""
    connection.info["after_commit"].append(call)


class WriteTurn:
    """Whose turn it is to write to a SQLite file: a lock among threads and, by flock, among processes.

    Held for the length of one transaction. The kernel drops it with the process that held it.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._threads = threading.Lock()
        self._file: int | None = None

    def __enter__(self) -> None:
        self._threads.acquire()
        try:
            if self._file is None:
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX)
        except BaseException:
            self._threads.release()
            raise

    def __exit__(self, *_: object) -> None:
        assert self._file is not None
        fcntl.flock(self._file, fcntl.LOCK_UN)
        self._threads.release()

    def close(self) -> None:
        """Close the file once nobody writes; the next writer opens it again."""
        with self._threads:
            if self._file is not None:
                os.close(self._file)
                self._file = None


@contextmanager
def _reported() -> Iterator[None]:
    """Turn a lost database into `DatabaseUnavailable`, which a client sees as 503 and a flow tries again."""
    try:
        yield
    except (sa.exc.OperationalError, sa.exc.InterfaceError) as error:
        raise DatabaseUnavailable(f"The database does not answer: {error.orig}") from error


def _sqlite_engine(url: str, pool_size: int) -> Engine:
    engine = sa.create_engine(
        url, pool_size=pool_size, max_overflow=pool_size, connect_args={"check_same_thread": False, "timeout": 30}
    )

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # this module says BEGIN itself
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if not connection.get_execution_options().get("looks"):
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _postgresql_engine(url: str, pool_size: int) -> Engine:
    return sa.create_engine(url, pool_size=pool_size, max_overflow=pool_size, pool_pre_ping=True)
