"""What a new volume is made of: is it there, is it fit, how big must the volume be, where must it lie."""

import math
import uuid

import msgspec
from sqlalchemy.engine import Connection

from breezeblock.context import RequestContext
from breezeblock.db import backups, snapshots, volumes
from breezeblock.errors import Conflict, InvalidInput, InvalidState, NotFound
from breezeblock.images.catalog import ImageCatalog
from breezeblock.model.image import Image
from breezeblock.model.sources import FromBackup, FromImage, Raw, Snap, SourceReplica, SourceVol, VolumeSpec
from breezeblock.services.hydration import require_hydrated

GIB = 1 << 30


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """The sources that a create names; at most one may be."""

    snapshot_id: str | None = None
    source_volid: str | None = None
    source_replica: str | None = None
    image_ref: str | None = None
    backup_id: str | None = None


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A source found fit. `size` is GiB: the least the volume may have, and its default where `size_is_default`."""

    spec: VolumeSpec
    size: int = 1
    size_is_default: bool = False
    type_id: str | None = None
    zone: str | None = None
    backend: str | None = None
    """The only `host@backend` that can make a volume of it."""
    encryption_key_id: str | None = None
    """Of the key that opens it, if it is encrypted."""
    metadata: dict[str, str] = {}
    """What the volume has beside what its request says."""


def only_one(request: Request) -> None:
    """Raises `InvalidInput` when more than one source is named."""
    named = [name for name in Request.__struct_fields__ if getattr(request, name) is not None]
    if len(named) > 1:
        raise InvalidInput(f"A volume is made of one source; this request names {' and '.join(named)}.")


def find_image(catalog: ImageCatalog, context: RequestContext, image_ref: str) -> Image:
    """The image of that id or name, and active. Asks the image service: never call it within a transaction.

    Raises:
        InvalidInput: there is none, or it is not active (Cinder answers 400, not 404).
        Conflict: several images have this name.
    """
    try:
        image = catalog.get(context, str(uuid.UUID(image_ref)))
    except ValueError:
        image = _find_by_name(catalog, context, image_ref)
    except NotFound as error:
        raise InvalidInput(f"Invalid image identifier or unable to access requested image {image_ref}.") from error
    if image.status != "active":
        raise InvalidInput(f"Image {image.id} is not active, it is {image.status}.")
    return image


def _find_by_name(catalog: ImageCatalog, context: RequestContext, name: str) -> Image:
    found = catalog.find(context, name)
    if not found:
        raise InvalidInput(f"Invalid image identifier or unable to access requested image {name}.")
    if len(found) > 1:
        raise Conflict(f"Multiple images found with the name {name}; use an id.")
    return found[0]


def of_image(image: Image) -> Source:
    """The source that an image is. The volume must hold its file, its virtual size and its min_disk."""
    needed = max(image.size or 0, image.virtual_size or 0)
    return Source(
        spec=FromImage(image_id=image.id),
        size=max(math.ceil(needed / GIB), image.min_disk, 1),
        type_id=image.properties.get("cinder_img_volume_type"),
    )


def resolve(connection: Connection, context: RequestContext, request: Request) -> Source:
    """The source in our own database that a create names; `Raw` when it names none. Images are `of_image`.

    Raises:
        NotFound: it is not there, or another project's.
        InvalidState: it is in no state to be copied.
        InvalidInput: a replica is asked of a volume that has none.
    """
    project = None if context.is_admin else context.project_id
    if request.snapshot_id is not None:
        return _snapshot(connection, request.snapshot_id, project)
    if request.source_volid is not None:
        return _volume(connection, request.source_volid, project)
    if request.source_replica is not None:
        return _replica(connection, request.source_replica, project)
    if request.backup_id is not None:
        return _backup(connection, request.backup_id, project)
    return Source(spec=Raw())


def _snapshot(connection: Connection, snapshot_id: str, project: str | None) -> Source:
    snapshot = snapshots.get(connection, snapshot_id, project)
    if snapshot.status != "available":
        raise InvalidState(
            f"Invalid snapshot: Originating snapshot status must be available, but {snapshot_id} is {snapshot.status}."
        )
    volume = volumes.find(connection, snapshot.volume_id)
    return Source(
        spec=Snap(snapshot_id=snapshot_id),
        size=snapshot.volume_size,
        size_is_default=True,
        type_id=snapshot.volume_type_id,
        zone=volume.availability_zone if volume else None,
        backend=snapshot.host.partition("#")[0] if snapshot.host else None,
        encryption_key_id=volume.encryption_key_id if volume else None,
    )


def _volume(connection: Connection, volume_id: str, project: str | None) -> Source:
    volume = volumes.get(connection, volume_id, project)
    if volume.status not in {"available", "in-use"}:
        raise InvalidState(
            f"Invalid volume: Source volume {volume_id} must be available or in-use, but is {volume.status}."
        )
    require_hydrated(connection, volume_id)
    return Source(
        spec=SourceVol(source_volid=volume_id),
        size=volume.size,
        size_is_default=True,
        type_id=volume.volume_type_id,
        encryption_key_id=volume.encryption_key_id,
        zone=volume.availability_zone,
        backend=volume.backend,
    )


def _replica(connection: Connection, volume_id: str, project: str | None) -> Source:
    volume = volumes.get(connection, volume_id, project)
    if volume.replicated_at is None:
        raise InvalidInput(
            f"Volume {volume_id} has no replica: its type must have replication_enabled='<is> True' and the replica "
            f"must have been brought in step once (replication status is {volume.replication_status or 'disabled'})."
        )
    return Source(
        spec=SourceReplica(source_volid=volume_id),
        size=volume.size,
        size_is_default=True,
        type_id=volume.volume_type_id,
        encryption_key_id=volume.encryption_key_id,
        zone=volume.availability_zone,
        backend=volume.backend,
    )


def _backup(connection: Connection, backup_id: str, project: str | None) -> Source:
    backup = backups.get(connection, backup_id, project)
    if backup.status != "available":
        raise InvalidState(
            f"Invalid backup: Originating backup status must be available, but {backup_id} is {backup.status}."
        )
    return Source(
        spec=FromBackup(backup_id=backup_id),
        size=backup.size,
        size_is_default=True,
        type_id=backup.volume_type_id,
        encryption_key_id=backup.encryption_key_id,
        metadata=backup.volume_metadata | {"src_backup_id": backup_id},
    )
