"""Queries on group snapshots and their members."""

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breezeblock.db import records, tables
from breezeblock.errors import NotFound
from breezeblock.model.group_snapshot import GroupSnapshot
from breezeblock.model.snapshot import Snapshot

_table = tables.group_snapshots
_snapshots = tables.snapshots


def insert(connection: Connection, group_snapshot: GroupSnapshot) -> None:
    """Add a group snapshot."""
    records.insert(connection, _table, group_snapshot)


def find(connection: Connection, group_snapshot_id: str) -> GroupSnapshot | None:
    """The group snapshot, or None."""
    return records.find(connection, _table, group_snapshot_id, GroupSnapshot)


def get(connection: Connection, group_snapshot_id: str, project_id: str | None = None) -> GroupSnapshot:
    """The group snapshot; of that project where one is given. Raises `NotFound`."""
    found = find(connection, group_snapshot_id)
    if found is None or (project_id is not None and found.project_id != project_id):
        raise NotFound(f"GroupSnapshot {group_snapshot_id} could not be found.")
    return found


def of_group(connection: Connection, group_id: str) -> list[GroupSnapshot]:
    """The snapshots of a group."""
    return records.fetch_all(connection, sa.select(_table).where(_table.c.group_id == group_id), GroupSnapshot)


def members(connection: Connection, group_snapshot_id: str) -> list[Snapshot]:
    """The snapshots of the volumes, the oldest first."""
    query = sa.select(_snapshots).where(_snapshots.c.group_snapshot_id == group_snapshot_id)
    return records.fetch_all(connection, query.order_by(_snapshots.c.created_at, _snapshots.c.id), Snapshot)


def remove(connection: Connection, group_snapshot_id: str) -> None:
    """Forget a group snapshot."""
    connection.execute(sa.delete(_table).where(_table.c.id == group_snapshot_id))
