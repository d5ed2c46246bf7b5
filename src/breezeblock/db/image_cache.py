"""Queries on the image-volume cache: which volume of the service holds which image, on which backend.

An entry is there from the moment that somebody asks for it: it is what makes all creates of an image wait for one fill.
Whoever changes entries takes the turn of admissions first (`scheduling.admission.take_turn`).
"""

from collections.abc import Collection
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breezeblock.db import operations, records, tables
from breezeblock.errors import NotFound
from breezeblock.model import clock

_table = tables.image_cache_entries


class CacheEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One row of `image_cache_entries`: `volume_id` holds `image_id` as it was at `image_updated_at`. Size in GiB."""

    backend: str
    image_id: str
    image_updated_at: str
    checksum: str | None
    volume_id: str
    size: int
    """0 until the fill has seen how large the image is."""
    last_used: str
    pinned: bool = False
    """Never dropped to make room."""
    operation_id: str | None = None
    """The operation that is filling it; None once it is whole."""

    @property
    def status(self) -> str:
        """`filling` or `cached`."""
        return "cached" if self.operation_id is None else "filling"


def find(connection: Connection, backend: str, image_id: str) -> CacheEntry | None:
    """The entry of an image on a backend, fresh or not."""
    query = sa.select(_table).where(_table.c.backend == backend, _table.c.image_id == image_id)
    return records.fetch_one(connection, query, CacheEntry)


def get(connection: Connection, volume_id: str) -> CacheEntry:
    """The entry that this volume is. Raises `NotFound`."""
    entry = records.fetch_one(connection, sa.select(_table).where(_table.c.volume_id == volume_id), CacheEntry)
    if entry is None:
        raise NotFound(f"Image cache entry {volume_id} could not be found.")
    return entry


def of_backend(connection: Connection, backend: str) -> list[CacheEntry]:
    """All entries of a backend, the one unused for longest first."""
    query = sa.select(_table).where(_table.c.backend == backend).order_by(_table.c.last_used, _table.c.volume_id)
    return records.fetch_all(connection, query, CacheEntry)


def listed(connection: Connection, **wanted: str) -> list[CacheEntry]:
    """All entries of all backends whose columns have these values, by backend and image."""
    query = sa.select(_table).where(*(_table.c[name] == value for name, value in wanted.items()))
    return records.fetch_all(connection, query.order_by(_table.c.backend, _table.c.image_id), CacheEntry)


def image_names(connection: Connection, volume_ids: Collection[str]) -> dict[str, str]:
    """The names of the images that these volumes hold, by volume; without those that have none."""
    volumes = tables.volumes
    query = sa.select(volumes.c.id, volumes.c.image_metadata).where(volumes.c.id.in_(volume_ids))
    return {row.id: row.image_metadata.get("image_name", "") for row in connection.execute(query)}


def insert(connection: Connection, entry: CacheEntry) -> None:
    """Add an entry."""
    records.insert(connection, _table, entry)


def update(connection: Connection, volume_id: str, **values: Any) -> bool:
    """Set columns; whether the entry is still there."""
    return connection.execute(sa.update(_table).where(_table.c.volume_id == volume_id).values(**values)).rowcount == 1


def remove(connection: Connection, volume_id: str) -> None:
    """Drop the entry that this volume is, if it is one."""
    connection.execute(sa.delete(_table).where(_table.c.volume_id == volume_id))


def lease(connection: Connection, volume_id: str, flow_id: str) -> None:
    """Keep the volume of an entry until `release`, or the end of this flow: it is being cloned. Counts as a use."""
    update(connection, volume_id, last_used=clock.now())
    operations.write_checkpoint(connection, flow_id, lease_of(volume_id), None)


def release(connection: Connection, volume_id: str, flow_id: str) -> None:
    """End a lease; none is no error."""
    operations.drop_checkpoint(connection, flow_id, lease_of(volume_id))


def is_leased(connection: Connection, volume_id: str) -> bool:
    """Whether a live flow is cloning this volume out of the cache."""
    return operations.is_at(connection, lease_of(volume_id))


def lease_of(volume_id: str) -> str:
    """A lease is a durable step of the flow that holds it: it ends with the flow, whatever becomes of its worker."""
    return f"lease:{volume_id}"
