"""The use case of a volume that becomes an image."""

import uuid
from typing import Any

import msgspec

from breezeblock.config import Settings
from breezeblock.context import RequestContext
from breezeblock.db import image_keys, moves, operations, outbox, volume_types, volumes
from breezeblock.db.connect import Database
from breezeblock.errors import BreezeblockError, InvalidInput, InvalidState, ServiceUnavailable
from breezeblock.images.catalog import ImageCatalog
from breezeblock.images.upload import MOST_BYTES, WRITERS
from breezeblock.keys.store import name_for
from breezeblock.model import clock
from breezeblock.model.image import Image, ImageKey
from breezeblock.model.volume import Volume
from breezeblock.model.volume_type import VolumeType
from breezeblock.services.hydration import require_hydrated

_FACTS = {*Image.__struct_fields__, "image_id", "image_name", "self", "file", "schema", "stores"}
"""What a volume remembers of the image it was made of and no new image may take over, or what is no property."""

_NOT_KEPT = ("os_glance", "img_signature", "signature_verified", "cinder_encryption_key")
"""Properties that begin like this are the image service's, or true of the old image's bytes alone."""


class UploadImage(msgspec.Struct, frozen=True, kw_only=True):
    """What a client asks for, with Cinder's names. `visibility` and `protected` are the image service's to set if None."""

    image_name: str
    force: bool = False
    disk_format: str = "raw"
    container_format: str = "bare"
    visibility: str | None = None
    protected: bool | None = None


class Uploading(msgspec.Struct, frozen=True, kw_only=True):
    """An upload that has begun: the volume in `uploading`, its type, and the image that has no data yet."""

    volume: Volume
    volume_type: VolumeType | None
    image: Image


def upload_image(
    database: Database,
    settings: Settings,
    catalog: ImageCatalog,
    context: RequestContext,
    volume_id: str,
    request: UploadImage,
    token: str | None = None,
) -> Uploading:
    """Make an image of a volume: the image is begun with the caller's `token`, the flow gives it its data.

    Mirrors os-volume_upload_image of Cinder. A volume in use needs `force` (and the option `enable_force_upload`); its
    content of one moment is taken. Raises `NotFound`, `InvalidInput`, `InvalidState`, `ServiceUnavailable`.
    """
    force = request.force and settings.enable_force_upload
    with database.read() as connection:
        volume = volumes.get(connection, volume_id, context.own_project)
        require_hydrated(connection, volume_id)
    _check(volume, request, force)
    try:
        image = catalog.create(context, token=token, **_fields(volume, request))
    except ServiceUnavailable:
        raise
    except BreezeblockError as error:
        raise InvalidInput(error.message) from error  # Cinder too answers 400 to whatever the image service refuses
    try:
        return _begin(database, context, volume_id, image, force)
    except BaseException:
        catalog.discard(image.id)
        raise


def _check(volume: Volume, request: UploadImage, force: bool) -> None:
    """What can be said before an image is begun."""
    allowed = ("available", "in-use") if force else ("available",)
    if volume.status not in allowed:
        raise InvalidState(f"Invalid volume: Volume {volume.id} status must be {' or '.join(allowed)}.")
    if volume.encryption_key_id is not None and (request.disk_format, request.container_format) != ("raw", "bare"):
        raise InvalidInput(
            "An encrypted volume uploaded as an image must use 'raw' disk_format and 'bare' container_format, which are the "
            "defaults for these options."
        )
    if request.container_format == "compressed":
        raise InvalidInput("The container_format compressed is not written; a vmdk image is compressed by itself.")
    if request.disk_format not in WRITERS:
        raise InvalidInput(f"The disk_format {request.disk_format} cannot be written; there are {', '.join(WRITERS)}.")
    most = MOST_BYTES.get(request.disk_format)
    if most is not None and volume.size_bytes > most:
        raise InvalidInput(
            f"A {request.disk_format} image holds {most >> 30} GiB at most, and the volume has {volume.size}; "
            "take raw or qcow2."
        )


def _fields(volume: Volume, request: UploadImage) -> dict[str, Any]:
    """The image to begin: what was asked for, and what the volume remembers of the image that it was made of."""
    kept = volume.image_metadata
    fields: dict[str, Any] = {
        "name": request.image_name,
        "disk_format": request.disk_format,
        "container_format": request.container_format,
        "properties": {k: v for k, v in kept.items() if k not in _FACTS and not k.startswith(_NOT_KEPT)},
    }
    for name in ("min_disk", "min_ram"):
        if kept.get(name, "").isdecimal():
            fields[name] = int(kept[name])
    asked = {"visibility": request.visibility, "protected": request.protected}
    return fields | {name: value for name, value in asked.items() if value is not None}


def _begin(database: Database, context: RequestContext, volume_id: str, image: Image, force: bool) -> Uploading:
    with database.begin() as connection:
        moves.move(connection, "volume", volume_id, "upload")
        volume = volumes.get(connection, volume_id)
        in_use = volume.previous_status == "in-use"
        if in_use and not force:
            raise InvalidState(f"Invalid volume: Volume {volume_id} status must be available.")
        if volume.encryption_key_id is not None:
            image_keys.insert(connection, _key_of(volume, image))
        operation_id = str(uuid.uuid4())
        outbox.volume_event(connection, "upload.start", volume, operation_id, image_id=image.id)
        operations.request_flow(
            connection,
            context,
            "upload_image",
            operation_id=operation_id,
            resource=volume,
            arguments={
                "volume_id": volume_id,
                "image_id": image.id,
                "moment_id": str(uuid.uuid5(uuid.UUID(operation_id), "moment")) if in_use else None,
            },
        )
        kind = volume_types.find(connection, volume.volume_type_id) if volume.volume_type_id else None
    return Uploading(volume=volume, volume_type=kind, image=image)


def _key_of(volume: Volume, image: Image) -> ImageKey:
    """The note of the key that the image will have; the worker makes it."""
    return ImageKey(
        id=image.id,
        project_id=volume.project_id,
        host=str(volume.host),
        encryption_key_id=name_for(image.id),
        created_at=clock.now(),
    )
