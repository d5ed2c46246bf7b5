"""Bodies of the calls on volumes (Cinder: `api/schemas/volumes.py`, `volume_actions.py`, `admin_actions.py`)."""

from typing import Annotated, Any, Literal, TypedDict

import msgspec
from msgspec import Meta

from breezeblock.api.bodies import Schema, envelope
from breezeblock.api.schemas.fields import Flag, ImageMetadata, Metadata, OneOfMetadata, Size, Text, Uuid, Words
from breezeblock.api.shapes import since


class VolumeCreate(msgspec.Struct, frozen=True, kw_only=True):
    """POST /volumes. `source_replica` is Ocata's, and ours."""

    size: Size | None = None
    name: Text | None = None
    display_name: Text | None = None
    description: Text | None = None
    display_description: Text | None = None
    volume_type: Text | None = None
    metadata: Metadata | None = None
    snapshot_id: Uuid | None = None
    source_volid: Uuid | None = None
    source_replica: Uuid | None = None
    backup_id: Uuid | None = None
    image_ref: Text | None = msgspec.field(name="imageRef", default=None)
    image_id: Text | None = None
    consistencygroup_id: Uuid | None = None
    group_id: Text | None = None
    availability_zone: Words | None = None
    multiattach: Flag | None = None


class StrictVolumeCreate(VolumeCreate, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same from 3.53 on: an unknown key is an error."""


Uuids = Uuid | Annotated[list[Uuid], Meta(max_length=1000)]


class SchedulerHints(msgspec.Struct, frozen=True, kw_only=True):
    """OS-SCH-HNT:scheduler_hints (Cinder: `api/schemas/scheduler_hints.py`). Other hints mean nothing."""

    same_host: Uuids | None = None
    different_host: Uuids | None = None
    local_to_instance: Uuid | None = None
    query: str | dict[str, Any] | list[Any] | None = None


class VolumeCreateBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A volume, and where it should lie."""

    content: VolumeCreate = msgspec.field(name="volume")
    hints: SchedulerHints | None = msgspec.field(name="OS-SCH-HNT:scheduler_hints", default=None)


class StrictVolumeCreateBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same from 3.53 on."""

    content: StrictVolumeCreate = msgspec.field(name="volume")
    hints: SchedulerHints | None = msgspec.field(name="OS-SCH-HNT:scheduler_hints", default=None)


class VolumeUpdate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """PUT /volumes/{id}. What is not named stays."""

    name: Text | msgspec.UnsetType | None = msgspec.UNSET
    display_name: Text | msgspec.UnsetType | None = msgspec.UNSET
    description: Text | msgspec.UnsetType | None = msgspec.UNSET
    display_description: Text | msgspec.UnsetType | None = msgspec.UNSET
    metadata: Metadata | msgspec.UnsetType = msgspec.UNSET


class Extend(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """os-extend, to GiB."""

    new_size: Size


class ExtendCompletion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """os-extend_volume_completion."""

    error: bool | str | None = None


class ResetStatus(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """os-reset_status of a volume."""

    status: Text | None = None
    attach_status: Text | None = None
    migration_status: Text | None = None


class SetBootable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """os-set_bootable."""

    bootable: Flag


class UpdateReadonly(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """os-update_readonly_flag."""

    readonly: Flag


class SetImageMetadata(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """os-set_image_metadata."""

    metadata: ImageMetadata


class UnsetImageMetadata(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """os-unset_image_metadata."""

    key: Words


class UploadImage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """os-volume_upload_image."""

    image_name: Words
    force: Flag = False
    disk_format: Literal["raw", "vmdk", "vdi", "qcow2", "vhd", "vhdx", "ploop"] = "raw"
    container_format: Text | None = None


class SharedUploadImage(UploadImage, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same from 3.1 on."""

    visibility: Literal["community", "public", "private", "shared"] = "private"
    protected: Flag = False


class DeleteQuery(TypedDict, total=False):
    """DELETE /volumes/{id}: with its snapshots; whatever its status (administrators)."""

    cascade: bool
    force: Annotated[bool, since(23)]


IfMatch = TypedDict("IfMatch", {"If-Match": str}, total=False)
"""The Etag of the metadata that are to be changed, from 3.15 on; others are not."""

IdempotencyKey = TypedDict("IdempotencyKey", {"Idempotency-Key": str}, total=False)
"""A request with the same key and body is answered with what the first one made (ours)."""


CREATE = {0: Schema(VolumeCreateBody), 53: Schema(StrictVolumeCreateBody)}
UPDATE = envelope("volume", VolumeUpdate)
PLAN = Schema(StrictVolumeCreateBody)
EXTEND = Schema(Extend)
EXTEND_COMPLETION = Schema(ExtendCompletion)
RESET_STATUS = Schema(ResetStatus)
SET_BOOTABLE = Schema(SetBootable)
UPDATE_READONLY = Schema(UpdateReadonly)
SET_IMAGE_METADATA = Schema(SetImageMetadata)
UNSET_IMAGE_METADATA = Schema(UnsetImageMetadata)
UPLOAD_IMAGE = {0: Schema(UploadImage), 1: Schema(SharedUploadImage)}
METADATA = envelope("metadata", Metadata)
META = envelope("meta", OneOfMetadata)
