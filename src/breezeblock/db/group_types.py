"""Queries on group types."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breezeblock.db import records, tables
from breezeblock.errors import Conflict, NotFound
from breezeblock.model import clock
from breezeblock.model.group_type import GroupType

_table = tables.group_types

DEFAULT_CGSNAPSHOT_TYPE = "default_cgsnapshot_type"
"""The name of the type that consistency groups have; it is there from the first start on."""


def insert(connection: Connection, group_type: GroupType) -> None:
    """Add a type. Raises `Conflict` where the name is taken."""
    _check_free(connection, group_type.name)
    records.insert(connection, _table, group_type)


def find(connection: Connection, id_or_name: str) -> GroupType | None:
    """The type of that id, else of that name, or None."""
    query = sa.select(_table).where(sa.or_(_table.c.id == id_or_name, _table.c.name == id_or_name))
    found = records.fetch_all(connection, query, GroupType)
    return next((one for one in found if one.id == id_or_name), found[0] if found else None)


def get(connection: Connection, type_id: str, *, private: bool = True) -> GroupType:
    """The type of that id; with `private` false only one that everybody sees. Raises `NotFound`."""
    found = find(connection, type_id)
    if found is None or found.id != type_id or not (found.is_public or private):
        raise NotFound(f"Group type {type_id} could not be found.")
    return found


def update(connection: Connection, type_id: str, **values: Any) -> None:
    """Set columns. Raises `Conflict` where the name is another's."""
    if "name" in values:
        _check_free(connection, values["name"], but=type_id)
    records.update(connection, _table, type_id, {"updated_at": clock.now(), **values})


def remove(connection: Connection, type_id: str) -> None:
    """Forget a type."""
    connection.execute(sa.delete(_table).where(_table.c.id == type_id))


def in_use(connection: Connection, type_id: str) -> bool:
    """Whether a group has this type."""
    query = sa.select(tables.groups.c.id).where(tables.groups.c.group_type_id == type_id)
    return connection.execute(query.limit(1)).first() is not None


def _check_free(connection: Connection, name: str, but: str | None = None) -> None:
    taken = sa.select(_table.c.id).where(_table.c.name == name, _table.c.id != (but or ""))
    if connection.execute(taken).first() is not None:
        raise Conflict(f"Group Type {name} already exists.")
