"""Queries on how types encrypt."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breezeblock.db import records, tables
from breezeblock.model import clock
from breezeblock.model.encryption import TypeEncryption

_table = tables.volume_type_encryptions
_OF_TYPE = sa.select(_table).where(_table.c.volume_type_id == sa.bindparam("type"))


def insert(connection: Connection, encryption: TypeEncryption) -> None:
    """Have a type encrypt its volumes."""
    records.insert(connection, _table, encryption)


def find(connection: Connection, type_id: str) -> TypeEncryption | None:
    """How a type encrypts, or None."""
    return records.fetch_one(connection, _OF_TYPE, TypeEncryption, {"type": type_id})


def update(connection: Connection, type_id: str, **values: Any) -> None:
    """Set columns."""
    changed = sa.update(_table).where(_table.c.volume_type_id == type_id)
    connection.execute(changed.values(updated_at=clock.now(), **values))


def remove(connection: Connection, type_id: str) -> None:
    """Have a type not encrypt."""
    connection.execute(sa.delete(_table).where(_table.c.volume_type_id == type_id))
