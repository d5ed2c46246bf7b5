"""Queries on attachments."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breezeblock.db import records, tables
from breezeblock.errors import NotFound
from breezeblock.model import clock
from breezeblock.model.attachment import Attachment

_table = tables.attachments


def insert(connection: Connection, attachment: Attachment) -> None:
    """Add an attachment."""
    records.insert(connection, _table, attachment)


def find(connection: Connection, attachment_id: str) -> Attachment | None:
    """The attachment, or None."""
    return records.find(connection, _table, attachment_id, Attachment)


def get(connection: Connection, attachment_id: str, project_id: str | None = None) -> Attachment:
    """The attachment; of that project where one is given. Raises `NotFound`, also for a bare connection."""
    attachment = find(connection, attachment_id)
    if attachment is None or attachment.is_bare or (project_id is not None and attachment.project_id != project_id):
        raise NotFound(f"Volume attachment could not be found with filter: attachment_id = {attachment_id}.")
    return attachment


def of_volume(connection: Connection, volume_id: str) -> list[Attachment]:
    """The attachments of a volume, the oldest first; its bare connections are not among them."""
    return [one for one in _all_of(connection, volume_id) if not one.is_bare]


def bare_of(connection: Connection, volume_id: str) -> list[Attachment]:
    """The connections that os-initialize_connection made for a volume, the oldest first."""
    return [one for one in _all_of(connection, volume_id) if one.is_bare]


def connected(connection: Connection, volume_id: str) -> list[Attachment]:
    """What a volume is exported for: its attachments and bare connections that have a connection_info."""
    return [one for one in _all_of(connection, volume_id) if one.connection_info is not None]


def connected_on(connection: Connection, backend: str) -> set[str]:
    """The ids of the volumes of a backend (`host@backend`) that are exported for somebody."""
    volumes = tables.volumes
    query = sa.select(_table.c.volume_id).join(volumes, volumes.c.id == _table.c.volume_id)
    query = query.where(volumes.c.host.startswith(backend + "#"), _table.c.connection_info.is_not(None))
    return set(connection.scalars(query))


def _all_of(connection: Connection, volume_id: str) -> list[Attachment]:
    query = sa.select(_table).where(_table.c.volume_id == volume_id).order_by(_table.c.created_at, _table.c.id)
    return records.fetch_all(connection, query, Attachment)


def update(connection: Connection, attachment_id: str, **values: Any) -> None:
    """Set columns."""
    records.update(connection, _table, attachment_id, {"updated_at": clock.now(), **values})


def remove(connection: Connection, attachment_id: str) -> None:
    """Forget an attachment."""
    connection.execute(sa.delete(_table).where(_table.c.id == attachment_id))
