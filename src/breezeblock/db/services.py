"""Queries on services: which there are, which take new volumes, and which are frozen."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breezeblock.db import tables
from breezeblock.errors import NotFound

_table = tables.services

VOLUME_BINARY = "cinder-volume"
"""The binary of what owns a backend; its host is `host@backend`."""

_CLOSED = sa.select(_table.c.host, _table.c.disabled_reason).where(_table.c.binary == VOLUME_BINARY, _table.c.disabled)


def of_host(host: str) -> sa.ColumnElement[bool]:
    """The condition that a service runs on a host, or is a backend there."""
    return sa.or_(_table.c.host == host, _table.c.host.startswith(f"{host}@", autoescape=True))


def all_services(connection: Connection, host: str | None = None, binary: str | None = None) -> list[sa.Row[Any]]:
    """The services, by binary and host; those of a host or binary where one is given."""
    query = sa.select(_table).order_by(_table.c.binary, _table.c.host)
    if host is not None:
        query = query.where(of_host(host))
    if binary is not None:
        query = query.where(_table.c.binary == binary)
    return list(connection.execute(query))


def get(connection: Connection, host: str, binary: str) -> sa.Row[Any]:
    """A service. Raises `NotFound`."""
    query = sa.select(_table).where(_table.c.host == host, _table.c.binary == binary)
    found = connection.execute(query).one_or_none()
    if found is None:
        raise NotFound(f"Service {binary} could not be found on host {host}.")
    return found


def update(connection: Connection, host: str, binary: str, **values: Any) -> None:
    """Set columns."""
    row = (_table.c.host == host) & (_table.c.binary == binary)
    connection.execute(sa.update(_table).where(row).values(**values))


def closed_backends(connection: Connection) -> dict[str, str]:
    """Why a backend takes no new volumes, by `host@backend`: an administrator has disabled its service."""
    return {
        row.host: "its service is disabled" + (f": {row.disabled_reason}" if row.disabled_reason else "")
        for row in connection.execute(_CLOSED)
    }


def active_backend_id(connection: Connection, backend: str) -> str | None:
    """The replication target that `host@backend` works at; None for its own storage."""
    query = sa.select(_table.c.active_backend_id).where(_table.c.host == backend, _table.c.binary == VOLUME_BINARY)
    return connection.execute(query).scalar_one_or_none()


def report_replication(connection: Connection, backend: str, can_fail_over: bool) -> None:
    """Note whether a backend can be failed over. Whatever a failover has made of it stays."""
    row = (_table.c.host == backend) & (_table.c.binary == VOLUME_BINARY)
    untouched = sa.func.coalesce(_table.c.replication_status, "disabled").in_(["disabled", "enabled"])
    status = "enabled" if can_fail_over else "disabled"
    connection.execute(sa.update(_table).where(row, untouched).values(replication_status=status))


def begin_failover(connection: Connection, backend: str) -> bool:
    """Have a backend be `failing-over`; False where its status does not allow it."""
    row = (_table.c.host == backend) & (_table.c.binary == VOLUME_BINARY)
    may = _table.c.replication_status.in_(["enabled", "failed-over", "failover-error"])
    changed = sa.update(_table).where(row, may).values(replication_status="failing-over")
    return connection.execute(changed).rowcount == 1
