"""Actions on volumes: POST /volumes/{id}/action."""

from breezeblock.api import listing
from breezeblock.api.call import Call
from breezeblock.api.handlers.metadata import MetadataShown
from breezeblock.api.handlers.volumes import LISTING
from breezeblock.api.schemas.fields import flag
from breezeblock.api.schemas.volumes import (
    Extend,
    ResetStatus,
    SetBootable,
    SetImageMetadata,
    SharedUploadImage,
    UnsetImageMetadata,
    UpdateReadonly,
    UploadImage,
)
from breezeblock.api.views import uploads as upload_view
from breezeblock.db import tables
from breezeblock.errors import InvalidInput, NotFound
from breezeblock.services import extend as extensions
from breezeblock.services import metadata, uploads, volume_status, volumes


def extend(call: Call) -> None:
    """os-extend; of a volume in use from 3.42 on."""
    body: Extend = call.body
    online = call.version >= 42
    extensions.extend_volume(call.database, call.settings, call.context, call.id, body.new_size, online=online)


def extend_completion(call: Call) -> None:
    """os-extend_volume_completion (administrators): the compute service has, or has not, seen the new size."""
    extensions.complete_extension(call.database, call.context, call.id)


def reset_status(call: Call) -> None:
    """os-reset_status (administrators)."""
    body: ResetStatus = call.body
    if not (body.status or body.attach_status or body.migration_status):
        raise InvalidInput("Must specify 'status', 'attach_status' or 'migration_status' for update.")
    volume_status.reset_status(
        call.database,
        call.context,
        call.id,
        status=body.status.lower() if body.status else None,
        attach_status=body.attach_status.lower() if body.attach_status else None,
        migration_status=body.migration_status.lower() if body.migration_status else None,
    )


def force_delete(call: Call) -> None:
    """os-force_delete (administrators): whatever the status."""
    volumes.delete_volume(call.database, call.context, call.id, force=True)


def set_bootable(call: Call) -> None:
    """os-set_bootable."""
    body: SetBootable = call.body
    volumes.update_volume(call.database, call.context, call.id, bootable=flag(body.bootable, "bootable"))


def update_readonly_flag(call: Call) -> None:
    """os-update_readonly_flag: kept in the administrators' metadata, shown among the user's, as Cinder does."""
    body: UpdateReadonly = call.body
    value = "True" if flag(body.readonly, "readonly") else "False"
    _change(call, "admin_metadata", lambda kept: kept | {"readonly": value})


def upload_image(call: Call) -> upload_view.OneUpload:
    """os-volume_upload_image: an image of the volume; a public one (3.1) is for administrators."""
    body: UploadImage = call.body
    shared = body if isinstance(body, SharedUploadImage) else None
    request = uploads.UploadImage(
        image_name=body.image_name,
        force=flag(body.force, "force"),
        disk_format=body.disk_format,
        container_format=body.container_format or "bare",
        visibility=shared.visibility if shared else None,
        protected=flag(shared.protected, "protected") if shared else None,
    )
    if request.visibility == "public":
        call.must("volume_extension:volume_actions:upload_public")
    upload = uploads.upload_image(
        call.database, call.settings, call.catalog, call.context, call.id, request, token=call.token
    )
    return {"os-volume_upload_image": upload_view.begun(upload)}


def show_image_metadata(call: Call) -> MetadataShown:
    """os-show_image_metadata. Raises `NotFound` too where there is none, as Cinder does."""
    with call.database.read() as connection:
        (shown,) = listing.one(call, connection, LISTING, (tables.volumes.c.image_metadata,), call.id)
    if not shown:
        raise NotFound(f"Glance metadata for volume/snapshot {call.id} cannot be found.")
    return {"metadata": shown}


def set_image_metadata(call: Call) -> MetadataShown:
    """os-set_image_metadata: adds to what is there."""
    body: SetImageMetadata = call.body
    return {"metadata": _change(call, "image_metadata", lambda kept: kept | body.metadata)}


def unset_image_metadata(call: Call) -> None:
    """os-unset_image_metadata."""
    body: UnsetImageMetadata = call.body

    def change(kept: dict[str, str]) -> dict[str, str]:
        if body.key not in kept:
            raise NotFound(f"Glance metadata for volume/snapshot {call.id} cannot be found.")
        return {key: value for key, value in kept.items() if key != body.key}

    _change(call, "image_metadata", change)


def _change(call: Call, column: str, change: metadata.Change) -> dict[str, str]:
    return metadata.change(call.database, call.context, "volume", call.id, column, change)
