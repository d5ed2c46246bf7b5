"""Waking the owner of a slot: NOTIFY on PostgreSQL, a Unix datagram beside a SQLite file.

A wake may be lost; the owner looks by itself every few seconds. A wake never comes before its transaction is visible.
"""

import contextlib
import hashlib
import os
import select
import socket
from pathlib import Path
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breezeblock.db.connect import Database, after_commit
from breezeblock.errors import DatabaseUnavailable


def channel(slot: str) -> str:
    """The name that a slot's wakes go by."""
    return "breezeblock_" + hashlib.sha256(slot.encode()).hexdigest()[:16]


def _socket_path(database_file: str, slot: str) -> Path:
    return Path(database_file).parent / "run" / f"{channel(slot)}.wake"


def wake(connection: Connection, slot: str) -> None:
    """Wake the owner of `slot` when the transaction commits."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("SELECT pg_notify(:channel, '')"), {"channel": channel(slot)})
    else:
        path = str(_socket_path(str(connection.engine.url.database), slot))
        after_commit(connection, lambda: _send(path))


def _send(path: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
        # nobody there or a full queue: the owner looks when it starts, and while it has wakes waiting
        with contextlib.suppress(FileNotFoundError, ConnectionRefusedError, BlockingIOError):
            sender.sendto(b"w", path)


def _ready(files: list[int], seconds: float) -> list[int]:
    """Which of these can be read, within so many seconds. poll, since select knows no descriptor beyond 1023."""
    poll = select.poll()
    for file in files:
        poll.register(file, select.POLLIN)
    return [file for file, _ in poll.poll(seconds * 1000)]


class Alarm(Protocol):
    """What an owner sleeps on."""

    def wait(self, seconds: float) -> bool:
        """Sleep until woken, at most `seconds`; whether it was woken. Raises `DatabaseUnavailable` when it cannot be."""

    def ring(self) -> None:
        """Wake the sleeper from within this process."""

    def close(self) -> None:
        """Give up the place."""


class DatagramAlarm:
    """Sleeps on a Unix datagram socket in the run directory beside the SQLite file."""

    def __init__(self, database_file: str, slot: str) -> None:
        self._path = _socket_path(database_file, slot)
        self._path.parent.mkdir(mode=0o700, exist_ok=True)
        self._path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(str(self._path))
        os.chmod(self._path, 0o600)

    def wait(self, seconds: float) -> bool:
        """As `Alarm.wait`; takes all wakes that are there at once."""
        woken = bool(_ready([self._socket.fileno()], seconds))
        with contextlib.suppress(BlockingIOError):
            while self._socket.recv(16):
                pass
        return woken

    def ring(self) -> None:
        """As `Alarm.ring`."""
        _send(str(self._path))

    def close(self) -> None:
        """As `Alarm.close`."""
        self._socket.close()
        self._path.unlink(missing_ok=True)


class ListenAlarm:
    """Sleeps on LISTEN over a connection of its own."""

    def __init__(self, url: str, slot: str) -> None:
        import psycopg

        self._psycopg: Any = psycopg
        try:
            self._connection = psycopg.connect(url.replace("+psycopg", ""), autocommit=True)
            self._connection.execute(f"LISTEN {channel(slot)}".encode())
        except psycopg.Error as error:
            raise DatabaseUnavailable(f"The database does not answer: {error}") from error
        self._inner, self._ringer = socket.socketpair()
        self._inner.setblocking(False)

    def wait(self, seconds: float) -> bool:
        """As `Alarm.wait`."""
        try:
            ready = _ready([self._connection.fileno(), self._inner.fileno()], seconds)
            if self._inner.fileno() in ready:
                self._inner.recv(4096)
            for _ in self._connection.notifies(timeout=0):
                pass
        except self._psycopg.Error as error:
            raise DatabaseUnavailable(f"The database does not answer: {error}") from error
        return bool(ready)

    def ring(self) -> None:
        """As `Alarm.ring`."""
        self._ringer.send(b"w")

    def close(self) -> None:
        """As `Alarm.close`."""
        self._connection.close()
        self._inner.close()
        self._ringer.close()


def open_alarm(database: Database, slot: str) -> Alarm:
    """The alarm of a slot's owner. Made before the owner first looks for work, so that no wake falls between."""
    if database.is_sqlite:
        return DatagramAlarm(str(sa.make_url(database.url).database), slot)
    return ListenAlarm(database.url, slot)
