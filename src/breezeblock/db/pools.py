"""Queries on pools and on the services that report them."""

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breezeblock.db import records, tables
from breezeblock.model import clock
from breezeblock.model.pool import Pool

_pools = tables.pools
_services = tables.services
_ALL = sa.select(_pools).order_by(_pools.c.name)
_BY_NAME = sa.select(_pools).where(_pools.c.name == sa.bindparam("name"))

NEW_SERVICE = sa.text(
    'INSERT INTO services (host, "binary", availability_zone, disabled, frozen, log_levels, disabled_reason, started_at, updated_at) '
    "VALUES (:host, :binary, :availability_zone, :disabled, false, '{}', :disabled_reason, :started_at, :updated_at) "
    "ON CONFLICT DO NOTHING"
)
"""Two backends of a host may report the same service for the first time at once."""


def all_pools(connection: Connection) -> list[Pool]:
    """All pools, by name."""
    return records.fetch_all(connection, _ALL, Pool)


def find(connection: Connection, name: str) -> Pool | None:
    """A pool by its name, `host@backend#pool`."""
    return records.fetch_one(connection, _BY_NAME, Pool, {"name": name})


def report(connection: Connection, backend: str, pools: list[Pool]) -> None:
    """Replace what is known of a backend's pools by what its driver says now."""
    connection.execute(sa.delete(_pools).where(_pools.c.backend == backend))
    for pool in pools:
        records.insert(connection, _pools, pool)


def mark_down(connection: Connection, backend: str) -> None:
    """Place nothing on this backend until it reports again."""
    connection.execute(sa.update(_pools).where(_pools.c.backend == backend).values(up=False))


def report_service(
    connection: Connection, host: str, binary: str, zone: str, started_at: str, problem: str | None = None
) -> None:
    """Note that a service runs, or why it cannot work though it runs: its row in `services` is made or refreshed.

    The problem stands in `disabled_reason`, unless an administrator has written there why it is disabled.
    """
    values = {"updated_at": clock.now(), "started_at": started_at, "availability_zone": zone}
    row = (_services.c.host == host) & (_services.c.binary == binary)
    reason = sa.case((_services.c.disabled, _services.c.disabled_reason), else_=problem)
    changed = connection.execute(sa.update(_services).where(row).values(**values, disabled_reason=reason))
    if not changed.rowcount:
        new = {"host": host, "binary": binary, "disabled_reason": problem, "disabled": False}
        connection.execute(NEW_SERVICE, {**values, **new})


def problems(connection: Connection) -> dict[str, str]:
    """Why backends cannot work, by `host@backend`: what their workers reported last."""
    down = _services.c.disabled_reason.is_not(None) & ~_services.c.disabled
    query = sa.select(_services.c.host, _services.c.disabled_reason).where(down)
    return {row.host: row.disabled_reason for row in connection.execute(query)}
