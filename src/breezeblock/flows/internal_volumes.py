"""Volumes of the service's own, which hold an image for others to clone: they belong to the internal tenant, and count
against nobody's quota."""

import uuid

from sqlalchemy.engine import Connection

from breezeblock.config import Settings
from breezeblock.context import admin_context
from breezeblock.db import moves, operations, outbox, volumes
from breezeblock.model import clock
from breezeblock.model.image import Image
from breezeblock.model.volume import Volume


def has_tenant(settings: Settings) -> bool:
    """Whether there is an internal tenant that may own them."""
    return bool(settings.cinder_internal_tenant_project_id and settings.cinder_internal_tenant_user_id)


def draft(
    settings: Settings, volume_id: str, image: Image, volume_type_id: str | None, *, host: str, size: int = 0
) -> Volume:
    """The row of one, in `creating`. `size` is GiB."""
    return Volume(
        id=volume_id,
        project_id=settings.cinder_internal_tenant_project_id,
        user_id=settings.cinder_internal_tenant_user_id,
        name=f"image-{image.id}",
        size=size,
        status="creating",
        host=host,
        volume_type_id=volume_type_id,
        image_id=image.id,
        bootable=True,
        consumes_quota=False,
        admin_metadata={"readonly": "True"},
        image_metadata=image.volume_metadata(),
        created_at=clock.now(),
    )


def request_delete(connection: Connection, volume_id: str, operation_id: str | None = None) -> None:
    """Have one deleted by a flow of its own, so that a crash leaves neither it nor what knows it alone. Clones live on, as
    the driver contract promises; those being made are waited for."""
    volume = volumes.find(connection, volume_id)
    if volume is None or not moves.try_move(connection, "volume", volume_id, "delete"):
        return
    operation_id = operation_id or str(uuid.uuid4())
    outbox.volume_event(connection, "delete.start", volume, operation_id)
    operations.request_flow(
        connection,
        admin_context(),
        "delete_volume",
        operation_id=operation_id,
        resource=volume,
        arguments={"volume_id": volume_id},
    )
