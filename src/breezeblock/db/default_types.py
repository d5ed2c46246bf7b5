"""Queries on the default types of projects."""

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breezeblock.db import tables

_table = tables.default_volume_types
_OF_PROJECT = sa.select(_table.c.volume_type_id).where(_table.c.project_id == sa.bindparam("project"))


def all_defaults(connection: Connection) -> dict[str, str]:
    """The ids of the default types, by project."""
    query = sa.select(_table).order_by(_table.c.project_id)
    return {row.project_id: row.volume_type_id for row in connection.execute(query)}


def find(connection: Connection, project_id: str) -> str | None:
    """The id of a project's default type, or None."""
    return connection.execute(_OF_PROJECT, {"project": project_id}).scalar_one_or_none()


def of_type(connection: Connection, type_id: str) -> bool:
    """Whether a type is the default of a project."""
    return connection.execute(sa.select(_table).where(_table.c.volume_type_id == type_id).limit(1)).first() is not None


def put(connection: Connection, project_id: str, type_id: str) -> None:
    """Set a project's default type."""
    remove(connection, project_id)
    connection.execute(_table.insert(), {"project_id": project_id, "volume_type_id": type_id})


def remove(connection: Connection, project_id: str) -> None:
    """Let a project have the default that everybody has."""
    connection.execute(sa.delete(_table).where(_table.c.project_id == project_id))
