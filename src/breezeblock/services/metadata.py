"""Use cases of the dictionaries that hang on volumes and snapshots: read, changed and written in one transaction."""

from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breezeblock.context import RequestContext
from breezeblock.db import snapshots, tables, volumes
from breezeblock.db.connect import Database

Change = Callable[[dict[str, str]], dict[str, str]]
"""What becomes of a dictionary; may raise, and then nothing changes."""

_TABLES = {"volume": tables.volumes, "snapshot": tables.snapshots}


def change(
    database: Database, context: RequestContext, noun: str, resource_id: str, column: str, change: Change
) -> dict[str, str]:
    """Change one dictionary column of a volume or snapshot; returns what it is then. Raises `NotFound`."""
    with database.begin() as connection:
        _lock(connection, noun, resource_id)
        get = volumes.get if noun == "volume" else snapshots.get
        new = change(getattr(get(connection, resource_id, context.own_project), column))
        update = volumes.update if noun == "volume" else snapshots.update
        update(connection, resource_id, **{column: new})
    return new


def _lock(connection: Connection, noun: str, resource_id: str) -> None:
    """Have two changes of one dictionary go one after the other (SQLite writes so anyway)."""
    table = _TABLES[noun]
    connection.execute(sa.select(table.c.id).where(table.c.id == resource_id).with_for_update())
