"""What os-volume_upload_image answers (Cinder: `api/contrib/volume_actions.py`)."""

from typing import TypedDict

from breezeblock.api.shapes import GiB, Time
from breezeblock.model.volume_type import VolumeType
from breezeblock.services.uploads import Uploading


class UploadVolumeType(TypedDict):
    """The whole record of a volume's type, as Cinder gives it here, without its extra specs."""

    id: str
    name: str
    description: str | None
    is_public: bool
    qos_specs_id: None
    created_at: Time
    updated_at: Time | None
    deleted: bool
    deleted_at: None


class UploadBegun(TypedDict):
    """The volume that is uploaded, and the image that it becomes."""

    id: str
    updated_at: Time | None
    status: str
    display_description: str | None
    size: GiB
    volume_type: UploadVolumeType | None
    image_id: str
    container_format: str | None
    disk_format: str | None
    image_name: str | None
    protected: bool
    visibility: str


OneUpload = TypedDict("OneUpload", {"os-volume_upload_image": UploadBegun})


def begun(upload: Uploading) -> UploadBegun:
    """What an upload that has begun is answered with."""
    volume, image, kind = upload.volume, upload.image, upload.volume_type
    return {
        "id": volume.id,
        "updated_at": volume.updated_at,
        "status": volume.status,
        "display_description": volume.description,
        "size": volume.size,
        "volume_type": None if kind is None else _type_record(kind),
        "image_id": image.id,
        "container_format": image.container_format,
        "disk_format": image.disk_format,
        "image_name": image.name,
        "protected": image.protected,
        "visibility": image.visibility,
    }


def _type_record(kind: VolumeType) -> UploadVolumeType:
    return {
        "id": kind.id,
        "name": kind.name,
        "description": kind.description,
        "is_public": kind.is_public,
        "qos_specs_id": None,
        "created_at": kind.created_at,
        "updated_at": kind.updated_at,
        "deleted": False,
        "deleted_at": None,
    }
