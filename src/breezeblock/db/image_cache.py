"""Queries on the image-volume cache: which volume of the service holds which image, on which backend."""

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breezeblock.db import records, tables
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
    last_used: str


def find(connection: Connection, backend: str, image_id: str) -> CacheEntry | None:
    """The entry of an image on a backend, fresh or not."""
    query = sa.select(_table).where(_table.c.backend == backend, _table.c.image_id == image_id)
    return records.fetch_one(connection, query, CacheEntry)


def of_backend(connection: Connection, backend: str) -> list[CacheEntry]:
    """All entries of a backend, the one unused for longest first."""
    query = sa.select(_table).where(_table.c.backend == backend).order_by(_table.c.last_used, _table.c.volume_id)
    return records.fetch_all(connection, query, CacheEntry)


def insert(connection: Connection, entry: CacheEntry) -> None:
    """Add an entry."""
    records.insert(connection, _table, entry)


def touch(connection: Connection, volume_id: str) -> None:
    """Note that an entry was used now."""
    connection.execute(sa.update(_table).where(_table.c.volume_id == volume_id).values(last_used=clock.now()))


def remove(connection: Connection, volume_id: str) -> None:
    """Drop the entry that this volume is, if it is one."""
    connection.execute(sa.delete(_table).where(_table.c.volume_id == volume_id))
