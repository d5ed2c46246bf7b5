"""Queries on volumes."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breezeblock.db import records, tables
from breezeblock.errors import NotFound
from breezeblock.model import clock
from breezeblock.model.volume import MODEL_UPDATE_FIELDS, Volume

_table = tables.volumes
_PROVISIONED = (
    sa.select(_table.c.host, sa.func.sum(_table.c.size)).where(_table.c.host.is_not(None)).group_by(_table.c.host)
)


def insert(connection: Connection, volume: Volume) -> None:
    """Add a volume."""
    records.insert(connection, _table, volume)


def find(connection: Connection, volume_id: str) -> Volume | None:
    """The volume, or None."""
    return records.find(connection, _table, volume_id, Volume)


def get(connection: Connection, volume_id: str, project_id: str | None = None, *, lock: bool = False) -> Volume:
    """The volume; of that project where one is given. Raises `NotFound`.

    With `lock`, nobody else changes the row until the transaction ends (on SQLite a writer is alone anyway).
    """
    if lock:
        query = sa.select(_table).where(_table.c.id == volume_id).with_for_update()
        volume = records.fetch_one(connection, query, Volume)
    else:
        volume = find(connection, volume_id)
    if volume is None or (project_id is not None and volume.project_id != project_id):
        raise NotFound(f"Volume {volume_id} could not be found.")
    return volume


def update(connection: Connection, volume_id: str, **values: Any) -> None:
    """Set columns; the status is not among them (see `db.moves`)."""
    assert "status" not in values
    records.update(connection, _table, volume_id, {"updated_at": clock.now(), **values})


def forget_admin_metadata(connection: Connection, volume_id: str, key: str) -> None:
    """Drop one key of the administrators' metadata; not there is done."""
    volume = get(connection, volume_id, lock=True)
    if key in volume.admin_metadata:
        left = {name: value for name, value in volume.admin_metadata.items() if name != key}
        update(connection, volume_id, admin_metadata=left)


def remove(connection: Connection, volume_id: str) -> None:
    """Forget a volume that is gone from the storage, with its attachments and whatever offer there is of it."""
    for table in (tables.attachments, tables.transfers):
        connection.execute(sa.delete(table).where(table.c.volume_id == volume_id))
    connection.execute(sa.delete(_table).where(_table.c.id == volume_id))


def provisioned_by_pool(connection: Connection) -> dict[str, int]:
    """GiB promised in each pool, by `host@backend#pool`."""
    return {host: int(total) for host, total in connection.execute(_PROVISIONED)}


def being_made_from(connection: Connection, volume_id: str) -> int:
    """How many volumes are being made of this volume right now."""
    query = sa.select(sa.func.count()).where(_table.c.source_volid == volume_id, _table.c.status == "creating")
    return int(connection.execute(query).scalar_one())


def on_backend(connection: Connection, backend: str) -> list[Volume]:
    """All volumes of a backend (`host@backend`)."""
    return records.fetch_all(connection, sa.select(_table).where(_table.c.host.startswith(backend + "#")), Volume)


def model_update_values(model_update: dict[str, Any] | None) -> dict[str, Any]:
    """The part of a driver's model_update that has a column, for the row."""
    return {key: value for key, value in (model_update or {}).items() if key in MODEL_UPDATE_FIELDS}
