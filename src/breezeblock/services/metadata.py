"""Use cases of the dictionaries that hang on volumes and snapshots: read, changed and written in one transaction."""

from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breezeblock.context import RequestContext
from breezeblock.db import snapshots, tables, volumes
from breezeblock.db.connect import Database
from breezeblock.errors import InvalidState
from breezeblock.model.snapshot import Snapshot
from breezeblock.model.volume import Volume

Change = Callable[[dict[str, str]], dict[str, str]]
"""What becomes of a dictionary; may raise, and then nothing changes."""

_TABLES = {"volume": tables.volumes, "snapshot": tables.snapshots}


def change(
    database: Database, context: RequestContext, noun: str, resource_id: str, column: str, change: Change
) -> dict[str, str]:
    """Change one dictionary column of a volume or snapshot; returns what it is then. Raises `NotFound`, `InvalidState`."""
    with database.begin() as connection:
        _lock(connection, noun, resource_id)
        get = volumes.get if noun == "volume" else snapshots.get
        resource = get(connection, resource_id, context.own_project)
        _check_changeable(resource, column)
        new = change(getattr(resource, column))
        update = volumes.update if noun == "volume" else snapshots.update
        update(connection, resource_id, **{column: new})
    return new


def _check_changeable(resource: Volume | Snapshot, column: str) -> None:
    """Cinder's rules (`volume/api.py`): the read-only flag of an available volume only; no metadata while it is uploaded."""
    if not isinstance(resource, Volume):
        return
    if column == "admin_metadata" and resource.status != "available":
        raise InvalidState(
            f"Invalid volume: Volume {resource.id} status must be available to update readonly flag, but current status "
            f"is: {resource.status}."
        )
    if resource.status in {"maintenance", "uploading"}:
        raise InvalidState(
            f"Invalid volume: Updating volume metadata is not allowed for volumes in {resource.status} status."
        )


def _lock(connection: Connection, noun: str, resource_id: str) -> None:
    """Have two changes of one dictionary go one after the other (SQLite writes so anyway)."""
    table = _TABLES[noun]
    connection.execute(sa.select(table.c.id).where(table.c.id == resource_id).with_for_update())
