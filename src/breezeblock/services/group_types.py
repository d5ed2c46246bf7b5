"""Use cases of group types: make, change, delete, set and remove group specs (administrators)."""

import uuid
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breezeblock.db import group_types, tables
from breezeblock.db.connect import Database
from breezeblock.errors import InvalidInput, NotFound
from breezeblock.model import clock
from breezeblock.model.group_type import GroupType

Specs = dict[str, str | None]


def create_type(
    database: Database, *, name: str, description: str | None, is_public: bool, group_specs: Specs
) -> GroupType:
    """Make a group type. Raises `Conflict` where the name is taken."""
    made = GroupType(
        id=str(uuid.uuid4()),
        name=name,
        description=description,
        is_public=is_public,
        group_specs=group_specs,
        created_at=clock.now(),
    )
    with database.begin() as connection:
        group_types.insert(connection, made)
    return made


def update_type(database: Database, type_id: str, **values: Any) -> GroupType:
    """Change name, description or is_public. Raises `NotFound`, `Conflict` where the name is taken."""
    with database.begin() as connection:
        _locked(connection, type_id)
        group_types.update(connection, type_id, **values)
        return group_types.get(connection, type_id)


def delete_type(database: Database, type_id: str) -> None:
    """Delete a group type. Raises `NotFound`; `InvalidInput` while a group has it."""
    with database.begin() as connection:
        _locked(connection, type_id)
        if group_types.in_use(connection, type_id):
            raise InvalidInput("Target group type is still in use.")
        group_types.remove(connection, type_id)


def set_specs(database: Database, type_id: str, specs: Specs) -> None:
    """Add group specs, or change their values. Raises `NotFound`."""
    with database.begin() as connection:
        group_type = _locked(connection, type_id)
        group_types.update(connection, type_id, group_specs=group_type.group_specs | specs)


def remove_spec(database: Database, type_id: str, key: str) -> None:
    """Remove a group spec. Raises `NotFound`."""
    with database.begin() as connection:
        specs = _locked(connection, type_id).group_specs
        if key not in specs:
            raise NotFound(f"Group Type {type_id} has no specs with key {key}.")
        kept = {name: value for name, value in specs.items() if name != key}
        group_types.update(connection, type_id, group_specs=kept)


def _locked(connection: Connection, type_id: str) -> GroupType:
    """The type, its row locked until the transaction ends. Raises `NotFound`."""
    table = tables.group_types
    connection.execute(sa.select(table.c.id).where(table.c.id == type_id).with_for_update())
    return group_types.get(connection, type_id)
