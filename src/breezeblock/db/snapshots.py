"""Queries on snapshots."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breezeblock.db import records, tables
from breezeblock.errors import NotFound
from breezeblock.model import clock
from breezeblock.model.snapshot import Snapshot

_table = tables.snapshots


def insert(connection: Connection, snapshot: Snapshot) -> None:
    """Add a snapshot."""
    records.insert(connection, _table, snapshot)


def find(connection: Connection, snapshot_id: str) -> Snapshot | None:
    """The snapshot, or None."""
    return records.find(connection, _table, snapshot_id, Snapshot)


def get(connection: Connection, snapshot_id: str, project_id: str | None = None) -> Snapshot:
    """The snapshot; of that project where one is given. Raises `NotFound`."""
    snapshot = find(connection, snapshot_id)
    if snapshot is None or (project_id is not None and snapshot.project_id != project_id):
        raise NotFound(f"Snapshot {snapshot_id} could not be found.")
    return snapshot


def of_volume(connection: Connection, volume_id: str) -> list[Snapshot]:
    """The snapshots of a volume, the oldest first."""
    query = sa.select(_table).where(_table.c.volume_id == volume_id).order_by(_table.c.created_at, _table.c.id)
    return records.fetch_all(connection, query, Snapshot)


def update(connection: Connection, snapshot_id: str, **values: Any) -> None:
    """Set columns; the status is not among them (see `db.moves`)."""
    assert "status" not in values
    records.update(connection, _table, snapshot_id, {"updated_at": clock.now(), **values})


def remove(connection: Connection, snapshot_id: str) -> bool:
    """Forget a snapshot that is gone from the storage; whether it was known until now."""
    return connection.execute(sa.delete(_table).where(_table.c.id == snapshot_id)).rowcount == 1


def being_taken(connection: Connection, volume_id: str) -> int:
    """How many snapshots are being taken of this volume right now."""
    query = sa.select(sa.func.count()).where(_table.c.volume_id == volume_id, _table.c.status == "creating")
    return int(connection.execute(query).scalar_one())


def being_used(connection: Connection, snapshot_id: str) -> int:
    """How many volumes are being made of this snapshot right now."""
    volumes = tables.volumes
    query = sa.select(sa.func.count()).where(volumes.c.snapshot_id == snapshot_id, volumes.c.status == "creating")
    return int(connection.execute(query).scalar_one())
