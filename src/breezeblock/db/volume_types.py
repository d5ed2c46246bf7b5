"""Queries on volume types, and on who may use which."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breezeblock.config import Settings
from breezeblock.db import default_types, records, tables
from breezeblock.errors import Conflict, NotFound
from breezeblock.model import clock
from breezeblock.model.volume_type import VolumeType

_table = tables.volume_types
_projects = tables.volume_type_projects
_NAME = sa.select(_table.c.name).where(_table.c.id == sa.bindparam("row_id"))
_CALLED = sa.select(_table).where(
    sa.or_(_table.c.id == sa.bindparam("called"), _table.c.name == sa.bindparam("called"))
)


def insert(connection: Connection, volume_type: VolumeType) -> None:
    """Add a type. Raises `Conflict` where the name is taken."""
    if connection.execute(sa.select(_table.c.id).where(_table.c.name == volume_type.name)).first():
        raise Conflict(f"Volume Type {volume_type.name} already exists.")
    records.insert(connection, _table, volume_type)


def usable_by(project_id: str) -> sa.ColumnElement[bool]:
    """The condition that a project may use a type: it is public, or there for that project."""
    mine = sa.select(_projects.c.volume_type_id).where(_projects.c.project_id == project_id)
    return sa.or_(_table.c.is_public, _table.c.id.in_(mine))


def find(connection: Connection, id_or_name: str, project_id: str | None = None) -> VolumeType | None:
    """The type of that id, else of that name, or None; one that the project may use where one is given."""
    query = _CALLED if project_id is None else _CALLED.where(usable_by(project_id))
    found = records.fetch_all(connection, query, VolumeType, {"called": id_or_name})
    return next((one for one in found if one.id == id_or_name), found[0] if found else None)


def name_of(connection: Connection, type_id: str) -> str | None:
    """What a type is called, or None where it is gone."""
    name: str | None = connection.scalar(_NAME, {"row_id": type_id})
    return name


def get(connection: Connection, id_or_name: str, project_id: str | None = None) -> VolumeType:
    """As `find`, but raises `NotFound`."""
    volume_type = find(connection, id_or_name, project_id)
    if volume_type is None:
        raise NotFound(f"Volume type {id_or_name} could not be found.")
    return volume_type


def default_of(connection: Connection, settings: Settings, project_id: str) -> VolumeType:
    """The type of a project's volumes where none is named: its own default, else the configured one.

    Raises `NotFound` where the configured one is not there.
    """
    return get(connection, default_types.find(connection, project_id) or settings.default_volume_type)


def update(connection: Connection, type_id: str, **values: Any) -> None:
    """Set columns."""
    records.update(connection, _table, type_id, {"updated_at": clock.now(), **values})


def remove(connection: Connection, type_id: str) -> None:
    """Forget a type, and for whom it was there."""
    connection.execute(sa.delete(_projects).where(_projects.c.volume_type_id == type_id))
    connection.execute(sa.delete(_table).where(_table.c.id == type_id))


def in_use(connection: Connection, type_id: str) -> bool:
    """Whether a volume has this type, or a group allows it."""
    volumes, groups = tables.volumes, tables.groups
    allowing = sa.type_coerce(groups.c.volume_type_ids, sa.Text).contains(f'"{type_id}"', autoescape=True)
    queries = (
        sa.select(volumes.c.id).where(volumes.c.volume_type_id == type_id),
        sa.select(groups.c.id).where(allowing),
    )
    return any(connection.execute(query.limit(1)).first() is not None for query in queries)


def projects_of(connection: Connection, type_id: str) -> list[str]:
    """The projects that a private type is there for."""
    query = sa.select(_projects.c.project_id).where(_projects.c.volume_type_id == type_id)
    return list(connection.execute(query.order_by(_projects.c.project_id)).scalars())


def add_project(connection: Connection, type_id: str, project_id: str) -> None:
    """Let a project use a private type."""
    connection.execute(_projects.insert(), {"volume_type_id": type_id, "project_id": project_id})


def remove_project(connection: Connection, type_id: str, project_id: str) -> bool:
    """Let a project not use a private type any more; whether it could until now."""
    entry = (_projects.c.volume_type_id == type_id) & (_projects.c.project_id == project_id)
    return connection.execute(sa.delete(_projects).where(entry)).rowcount == 1


def of_qos_specs(connection: Connection, qos_specs_id: str) -> list[VolumeType]:
    """The types that these QoS specs hold for, by name."""
    query = sa.select(_table).where(_table.c.qos_specs_id == qos_specs_id).order_by(_table.c.name)
    return records.fetch_all(connection, query, VolumeType)
