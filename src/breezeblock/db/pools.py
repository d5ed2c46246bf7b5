"""Queries on pools and on the services that report them."""

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breezeblock.db import records, tables
from breezeblock.model import clock
from breezeblock.model.pool import Pool

_pools = tables.pools
_services = tables.services


def all_pools(connection: Connection) -> list[Pool]:
    """All pools, by name."""
    return records.fetch_all(connection, sa.select(_pools).order_by(_pools.c.name), Pool)


def report(connection: Connection, backend: str, pools: list[Pool]) -> None:
    """Replace what is known of a backend's pools by what its driver says now."""
    connection.execute(sa.delete(_pools).where(_pools.c.backend == backend))
    for pool in pools:
        records.insert(connection, _pools, pool)


def mark_down(connection: Connection, backend: str) -> None:
    """Place nothing on this backend until it reports again."""
    connection.execute(sa.update(_pools).where(_pools.c.backend == backend).values(up=False))


def service_is_alive(connection: Connection, host: str, binary: str, zone: str, started_at: str) -> None:
    """Note that a service runs: its row in `services` is made or refreshed."""
    row = (_services.c.host == host) & (_services.c.binary == binary)
    changed = connection.execute(
        sa.update(_services).where(row).values(updated_at=clock.now(), started_at=started_at, availability_zone=zone)
    )
    if not changed.rowcount:
        connection.execute(
            _services.insert(),
            {
                "host": host,
                "binary": binary,
                "availability_zone": zone,
                "started_at": started_at,
                "updated_at": clock.now(),
            },
        )
