"""Queries on volume types."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breezeblock.db import records, tables
from breezeblock.errors import Conflict, NotFound
from breezeblock.model import clock
from breezeblock.model.volume_type import VolumeType

_table = tables.volume_types


def insert(connection: Connection, volume_type: VolumeType) -> None:
    """Add a type. Raises `Conflict` where the name is taken."""
    if connection.execute(sa.select(_table.c.id).where(_table.c.name == volume_type.name)).first():
        raise Conflict(f"Volume Type {volume_type.name} already exists.")
    records.insert(connection, _table, volume_type)


def find(connection: Connection, id_or_name: str) -> VolumeType | None:
    """The type of that id, else of that name, or None."""
    query = sa.select(_table).where(sa.or_(_table.c.id == id_or_name, _table.c.name == id_or_name))
    found = records.fetch_all(connection, query, VolumeType)
    return next((one for one in found if one.id == id_or_name), found[0] if found else None)


def get(connection: Connection, id_or_name: str) -> VolumeType:
    """As `find`, but raises `NotFound`."""
    volume_type = find(connection, id_or_name)
    if volume_type is None:
        raise NotFound(f"Volume type {id_or_name} could not be found.")
    return volume_type


def update(connection: Connection, type_id: str, **values: Any) -> None:
    """Set columns."""
    connection.execute(sa.update(_table).where(_table.c.id == type_id).values(updated_at=clock.now(), **values))


def remove(connection: Connection, type_id: str) -> None:
    """Forget a type."""
    connection.execute(sa.delete(_table).where(_table.c.id == type_id))


def in_use(connection: Connection, type_id: str) -> bool:
    """Whether a volume has this type."""
    query = sa.select(tables.volumes.c.id).where(tables.volumes.c.volume_type_id == type_id).limit(1)
    return connection.execute(query).first() is not None
