"""Queries on QoS specs."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breezeblock.db import records, tables
from breezeblock.errors import Conflict, NotFound
from breezeblock.model import clock
from breezeblock.model.qos_specs import QosSpecs

_table = tables.qos_specs


def insert(connection: Connection, specs: QosSpecs) -> None:
    """Add QoS specs. Raises `Conflict` where the name is taken."""
    if connection.execute(sa.select(_table.c.id).where(_table.c.name == specs.name)).first() is not None:
        raise Conflict(f"QoS Specs {specs.name} already exists.")
    records.insert(connection, _table, specs)


def get(connection: Connection, specs_id: str) -> QosSpecs:
    """The QoS specs. Raises `NotFound`."""
    found = records.find(connection, _table, specs_id, QosSpecs)
    if found is None:
        raise NotFound(f"No such QoS spec {specs_id}.")
    return found


def of_type(connection: Connection, type_id: str | None) -> QosSpecs | None:
    """The QoS specs that hold for a volume type, or None."""
    types = tables.volume_types
    query = sa.select(_table).join(types, types.c.qos_specs_id == _table.c.id).where(types.c.id == type_id)
    return records.fetch_one(connection, query, QosSpecs)


def update(connection: Connection, specs_id: str, **values: Any) -> None:
    """Set columns."""
    records.update(connection, _table, specs_id, {"updated_at": clock.now(), **values})


def remove(connection: Connection, specs_id: str) -> None:
    """Forget QoS specs; they hold for no type any more."""
    disassociate(connection, specs_id)
    connection.execute(sa.delete(_table).where(_table.c.id == specs_id))


def associate(connection: Connection, specs_id: str, type_id: str) -> None:
    """Let QoS specs hold for a type."""
    types = tables.volume_types
    connection.execute(sa.update(types).where(types.c.id == type_id).values(qos_specs_id=specs_id))


def disassociate(connection: Connection, specs_id: str, type_id: str | None = None) -> None:
    """Let QoS specs hold no more for a type, or for all (None)."""
    types = tables.volume_types
    held = sa.update(types).where(types.c.qos_specs_id == specs_id)
    if type_id is not None:
        held = held.where(types.c.id == type_id)
    connection.execute(held.values(qos_specs_id=None))
