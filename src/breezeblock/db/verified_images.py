"""Queries on the images that were compared with their checksum: no later create hashes them again."""

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breezeblock.db import tables
from breezeblock.model import clock

_table = tables.verified_images
_REMEMBER = sa.text(
    "INSERT INTO verified_images (image_id, location, hash, verified_at) "
    "VALUES (:image_id, :location, :hash, :verified_at) "
    "ON CONFLICT (image_id, location) DO UPDATE SET hash = excluded.hash, verified_at = excluded.verified_at"
)


def noted(connection: Connection, image_id: str, location: str) -> str | None:
    """The hashes that the image was found to have at this location, as `remember` got them."""
    query = sa.select(_table.c.hash).where(_table.c.image_id == image_id, _table.c.location == location)
    return connection.execute(query).scalar_one_or_none()


def remember(connection: Connection, image_id: str, location: str, hashes: str) -> None:
    """Note these hashes; an older note of the same location is replaced."""
    row = {"image_id": image_id, "location": location, "hash": hashes, "verified_at": clock.now()}
    connection.execute(_REMEMBER, row)
