"""Queries on the keys of images."""

import uuid

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breezeblock.context import RequestContext
from breezeblock.db import operations, records, tables
from breezeblock.model.image import KEY_POLICY, WITH_IMAGE, Image, ImageKey

_table = tables.image_keys


def insert(connection: Connection, key: ImageKey) -> None:
    """Note the key of an image."""
    records.insert(connection, _table, key)


def find(connection: Connection, image_id: str) -> ImageKey | None:
    """The key that this service made for the image, or None."""
    return records.find(connection, _table, image_id, ImageKey)


def update(connection: Connection, image_id: str, key_id: str) -> None:
    """The key has this id."""
    connection.execute(sa.update(_table).where(_table.c.id == image_id).values(encryption_key_id=key_id))


def remove(connection: Connection, image_id: str) -> None:
    """Forget the note, after the key."""
    connection.execute(sa.delete(_table).where(_table.c.id == image_id))


def request_forgetting(connection: Connection, context: RequestContext, image: Image) -> None:
    """Have the key of an image that goes in this transaction forgotten, unless its properties say that it stays."""
    key = find(connection, image.id)
    if key is None:
        return
    if (image.encryption_key_id, image.properties.get(KEY_POLICY)) == (key.encryption_key_id, WITH_IMAGE):
        request(connection, context, key)
    else:
        remove(connection, key.id)


def request(connection: Connection, context: RequestContext, key: ImageKey) -> None:
    """Have the key of an image forgotten."""
    operations.request_flow(
        connection,
        context,
        "forget_image_key",
        operation_id=str(uuid.uuid4()),
        resource=key,
        arguments={"image_id": key.id},
    )
