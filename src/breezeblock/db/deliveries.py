"""Up to which number each sink has the events."""

from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breezeblock.db import tables
from breezeblock.model import clock

_table = tables.deliveries


def position(connection: Connection, sink: str) -> int:
    """The last number a sink has; 0 for a new one, which gets all events that are still kept."""
    query = sa.select(_table.c.last_number).where(_table.c.sink == sink)
    return connection.execute(query).scalar_one_or_none() or 0


def advance(connection: Connection, sink: str, number: int) -> None:
    """Note that a sink has all events up to `number`."""
    values = {"last_number": number, "updated_at": clock.now()}
    if not connection.execute(sa.update(_table).where(_table.c.sink == sink).values(**values)).rowcount:
        connection.execute(_table.insert(), {"sink": sink, **values})


def delivered_to_all(connection: Connection, sinks: Collection[str]) -> int | None:
    """The number that all of these sinks have reached; None where there are no sinks."""
    return min((position(connection, sink) for sink in sinks), default=None)
