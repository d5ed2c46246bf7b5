"""Use case: a volume gets the content of an image in the place of its own."""

import uuid

from breezeblock.context import RequestContext
from breezeblock.db import attachments, moves, operations, outbox, volumes
from breezeblock.db.connect import Database
from breezeblock.encryption.luks import HEADER_BYTES
from breezeblock.errors import Conflict, InvalidInput, InvalidState
from breezeblock.images.catalog import ImageCatalog
from breezeblock.services.encryption import check_image
from breezeblock.services.hydration import require_hydrated
from breezeblock.services.volumes import check_image_fits


def reimage_volume(
    database: Database,
    catalog: ImageCatalog,
    context: RequestContext,
    volume_id: str,
    image_id: str,
    *,
    reserved_too: bool = False,
) -> None:
    """Have an available volume (or one in `error`, or a reserved one where `reserved_too`) filled with an image.

    Mirrors os-reimage of Cinder 3.68. Raises `NotFound` (volume or image), `InvalidInput`, `InvalidState`, and `Conflict`
    for a volume with several attachments.
    """
    with database.read() as connection:
        volumes.get(connection, volume_id, context.own_project)
    image = catalog.get(context, image_id)
    if image.status != "active":
        raise InvalidInput(f"Invalid input received: Image {image_id} is not active.")
    allowed = ("available", "error", *(("reserved",) if reserved_too else ()))
    with database.begin() as connection:
        volume = volumes.get(connection, volume_id, context.own_project)
        encrypted = volume.encryption_key_id is not None
        check_image(connection, image, encrypted=encrypted)
        check_image_fits(image, volume.size, HEADER_BYTES if encrypted and image.encryption_key_id is None else 0)
        if len(attachments.of_volume(connection, volume_id)) > 1:
            raise Conflict("Cannot re-image a volume which is attached to more than one server.")
        require_hydrated(connection, volume_id)
        moved = volume.status in allowed and moves.try_move(connection, "volume", volume_id, "reimage")
        if not moved or volumes.get(connection, volume_id).previous_status != volume.status:
            raise InvalidState(
                f"Invalid volume: Volume {volume_id} status must be {' or '.join(allowed)}, but current status is "
                f"{volume.status}."
            )
        operation_id = str(uuid.uuid4())
        outbox.volume_event(connection, "reimage.start", volume, operation_id, image_id=image_id)
        operations.request_flow(
            connection,
            context,
            "reimage_volume",
            operation_id=operation_id,
            resource=volume,
            arguments={"volume_id": volume_id, "image_id": image_id, "status_before": volume.status},
        )
