"""Queries on backups."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breezeblock.db import records, tables
from breezeblock.errors import NotFound
from breezeblock.model import clock
from breezeblock.model.backup import Backup

_table = tables.backups


def insert(connection: Connection, backup: Backup) -> None:
    """Add a backup."""
    records.insert(connection, _table, backup)


def find(connection: Connection, backup_id: str) -> Backup | None:
    """The backup, or None."""
    return records.find(connection, _table, backup_id, Backup)


def get(connection: Connection, backup_id: str, project_id: str | None = None) -> Backup:
    """The backup; of that project where one is given. Raises `NotFound`."""
    backup = find(connection, backup_id)
    if backup is None or (project_id is not None and backup.project_id != project_id):
        raise NotFound(f"Backup {backup_id} could not be found.")
    return backup


def update(connection: Connection, backup_id: str, **values: Any) -> None:
    """Set columns; the status is not among them (see `db.moves`)."""
    assert "status" not in values
    records.update(connection, _table, backup_id, {"updated_at": clock.now(), **values})


def remove(connection: Connection, backup_id: str) -> None:
    """Forget a backup that is gone from its store."""
    connection.execute(sa.delete(_table).where(_table.c.id == backup_id))


def available_of(connection: Connection, volume_id: str, project_id: str) -> list[Backup]:
    """The finished backups that a project has of a volume, those of the newest data first."""
    query = sa.select(_table).where(_table.c.volume_id == volume_id, _table.c.project_id == project_id)
    query = query.where(_table.c.status == "available", _table.c.data_timestamp.is_not(None))
    return records.fetch_all(connection, query.order_by(_table.c.data_timestamp.desc(), _table.c.id), Backup)


def with_base(connection: Connection, volume_id: str) -> list[Backup]:
    """The backups of a volume whose snapshots are kept on its storage: one at most, but while another is made."""
    query = sa.select(_table).where(_table.c.volume_id == volume_id, _table.c.base_kept)
    return records.fetch_all(connection, query.order_by(_table.c.id), Backup)


def count_dependents(connection: Connection, backup_id: str) -> int:
    """How many incremental backups name this one as their parent."""
    query = sa.select(sa.func.count()).where(_table.c.parent_id == backup_id)
    return int(connection.execute(query).scalar_one())


def being_used(connection: Connection, backup_id: str) -> int:
    """How many volumes are being made of this backup right now."""
    volumes = tables.volumes
    query = sa.select(sa.func.count()).where(
        volumes.c.backup_id == backup_id, volumes.c.status.in_(["creating", "restoring-backup"])
    )
    return int(connection.execute(query).scalar_one())
