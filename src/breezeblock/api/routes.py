"""THE table: every call of the API, with the method and path, who answers, by which rule, from which version on.

Paths of `VOLUME_ROUTES` stand below `/v3` and `/v3/{project_id}`. A resource is one handler module, one view, one
schema; its lines here are all that joins them.
"""

from collections.abc import Iterable

from breezeblock.api.call import Handler
from breezeblock.api.dispatch import Route
from breezeblock.api.handlers import (
    attachments,
    backends,
    backups,
    encryption,
    events,
    extensions,
    image_cache,
    images,
    operations,
    quota_sets,
    snapshots,
    versions,
    volume_actions,
    volume_types,
    volumes,
)
from breezeblock.api.handlers.metadata import MetadataHandlers
from breezeblock.api.schemas import attachments as attachment_schemas
from breezeblock.api.schemas import backups as backup_schemas
from breezeblock.api.schemas import encryption as encryption_schemas
from breezeblock.api.schemas import image_cache as image_cache_schemas
from breezeblock.api.schemas import images as image_schemas
from breezeblock.api.schemas import quota_sets as quota_schemas
from breezeblock.api.schemas import snapshots as snapshot_schemas
from breezeblock.api.schemas import volume_types as type_schemas
from breezeblock.api.schemas import volumes as volume_schemas

ADMIN_ACTIONS = "volume_extension:volume_admin_actions"
SNAPSHOT_ACTIONS = "volume_extension:snapshot_admin_actions"
IMAGE_METADATA = "volume_extension:volume_image_metadata"
EXTRA_SPECS = "volume_extension:types_extra_specs"
TYPE_ENCRYPTION = "volume_extension:volume_type_encryption"
VOLUME_ENCRYPTION = "volume_extension:volume_encryption_metadata"


def _action(resource: str, action: str, handler: Handler, policy: str, **more: object) -> Route:
    return Route(
        method="POST",
        path=f"/{resource}/{{id}}/action",
        action=action,
        handler=handler,
        policy=policy,
        **{"status": 202, **more},  # type: ignore[arg-type]
    )


def _get(path: str, handler: Handler, policy: str | None, since: int = 0) -> Route:
    return Route(method="GET", path=path, handler=handler, policy=policy, since=since)


def _metadata(owner: str, handlers: MetadataHandlers, get: str, add: str, change: str, remove: str) -> Iterable[Route]:
    whole, member = f"/{owner}/{{id}}/metadata", f"/{owner}/{{id}}/metadata/{{key}}"
    metadata, meta = volume_schemas.METADATA, volume_schemas.META
    yield _get(whole, handlers.show, get)
    yield Route(method="POST", path=whole, handler=handlers.add, policy=add, schema=metadata)
    yield Route(method="PUT", path=whole, handler=handlers.replace, policy=change, schema=metadata)
    yield _get(member, handlers.show_one, get)
    yield Route(method="PUT", path=member, handler=handlers.set_one, policy=change, schema=meta)
    yield Route(method="DELETE", path=member, handler=handlers.remove_one, policy=remove)


VOLUMES = [
    Route(
        method="POST",
        path="/volumes",
        handler=volumes.create,
        policy="volume:create",
        status=202,
        schema=volume_schemas.CREATE,
    ),
    _get("/volumes", volumes.summaries, "volume:get_all"),
    _get("/volumes/detail", volumes.details, "volume:get_all"),
    _get("/volumes/summary", volumes.summary, "volume:get_all", since=12),
    Route(
        method="POST",
        path="/volumes/plan",
        handler=volumes.plan,
        policy="breezeblock:volume_plan",
        schema=volume_schemas.PLAN,
    ),
    _get("/volumes/{id}", volumes.show, "volume:get"),
    Route(
        method="PUT",
        path="/volumes/{id}",
        handler=volumes.update,
        policy="volume:update",
        schema=volume_schemas.UPDATE,
    ),
    Route(method="DELETE", path="/volumes/{id}", handler=volumes.delete, policy="volume:delete", status=202),
    _get("/volumes/{id}/replication", volumes.replication, "breezeblock:replication_get"),
    _get("/volumes/{id}/encryption", encryption.of_volume, VOLUME_ENCRYPTION),
    _get("/volumes/{id}/encryption/{key}", encryption.one_of_volume, VOLUME_ENCRYPTION),
    _action("volumes", "os-extend", volume_actions.extend, "volume:extend", schema=volume_schemas.EXTEND),
    _action(
        "volumes",
        "os-reset_status",
        volume_actions.reset_status,
        f"{ADMIN_ACTIONS}:reset_status",
        schema=volume_schemas.RESET_STATUS,
    ),
    _action("volumes", "os-force_delete", volume_actions.force_delete, f"{ADMIN_ACTIONS}:force_delete"),
    _action(
        "volumes",
        "os-set_bootable",
        volume_actions.set_bootable,
        "volume:update",
        schema=volume_schemas.SET_BOOTABLE,
        status=200,
    ),
    _action(
        "volumes",
        "os-update_readonly_flag",
        volume_actions.update_readonly_flag,
        "volume:update_readonly_flag",
        schema=volume_schemas.UPDATE_READONLY,
    ),
    _action(
        "volumes",
        "os-volume_upload_image",
        volume_actions.upload_image,
        "volume_extension:volume_actions:upload_image",
        schema=volume_schemas.UPLOAD_IMAGE,
    ),
    _action(
        "volumes", "os-show_image_metadata", volume_actions.show_image_metadata, f"{IMAGE_METADATA}:show", status=200
    ),
    _action(
        "volumes",
        "os-set_image_metadata",
        volume_actions.set_image_metadata,
        f"{IMAGE_METADATA}:set",
        schema=volume_schemas.SET_IMAGE_METADATA,
        status=200,
    ),
    _action(
        "volumes",
        "os-unset_image_metadata",
        volume_actions.unset_image_metadata,
        f"{IMAGE_METADATA}:remove",
        schema=volume_schemas.UNSET_IMAGE_METADATA,
        status=200,
    ),
    *_metadata(
        "volumes",
        MetadataHandlers(volumes.LISTING),
        "volume:get_volume_metadata",
        "volume:create_volume_metadata",
        "volume:update_volume_metadata",
        "volume:delete_volume_metadata",
    ),
]

SNAPSHOTS = [
    Route(
        method="POST",
        path="/snapshots",
        handler=snapshots.create,
        policy="volume:create_snapshot",
        status=202,
        schema=snapshot_schemas.CREATE,
    ),
    _get("/snapshots", snapshots.summaries, "volume:get_all_snapshots"),
    _get("/snapshots/detail", snapshots.details, "volume:get_all_snapshots"),
    _get("/snapshots/{id}", snapshots.show, "volume:get_snapshot"),
    Route(
        method="PUT",
        path="/snapshots/{id}",
        handler=snapshots.update,
        policy="volume:update_snapshot",
        schema=snapshot_schemas.UPDATE,
    ),
    Route(
        method="DELETE",
        path="/snapshots/{id}",
        handler=snapshots.delete,
        policy="volume:delete_snapshot",
        status=202,
    ),
    _action(
        "snapshots",
        "os-reset_status",
        snapshots.reset_status,
        f"{SNAPSHOT_ACTIONS}:reset_status",
        schema=snapshot_schemas.RESET_STATUS,
    ),
    _action("snapshots", "os-force_delete", snapshots.force_delete, f"{SNAPSHOT_ACTIONS}:force_delete"),
    *_metadata(
        "snapshots",
        MetadataHandlers(snapshots.LISTING),
        "volume:get_snapshot_metadata",
        "volume:update_snapshot_metadata",
        "volume:update_snapshot_metadata",
        "volume:delete_snapshot_metadata",
    ),
]

TYPES = [
    Route(
        method="POST",
        path="/types",
        handler=volume_types.create,
        policy="volume_extension:type_create",
        schema=type_schemas.CREATE,
    ),
    _get("/types", volume_types.index, "volume_extension:type_get_all"),
    _get("/types/{id}", volume_types.show, "volume_extension:type_get"),
    Route(
        method="PUT",
        path="/types/{id}",
        handler=volume_types.update,
        policy="volume_extension:type_update",
        schema=type_schemas.UPDATE,
    ),
    Route(
        method="DELETE",
        path="/types/{id}",
        handler=volume_types.delete,
        policy="volume_extension:type_delete",
        status=202,
    ),
    _get("/types/{id}/extra_specs", volume_types.list_specs, f"{EXTRA_SPECS}:index"),
    Route(
        method="POST",
        path="/types/{id}/extra_specs",
        handler=volume_types.set_specs,
        policy=f"{EXTRA_SPECS}:create",
        schema=type_schemas.EXTRA_SPECS,
    ),
    _get("/types/{id}/extra_specs/{key}", volume_types.show_spec, f"{EXTRA_SPECS}:show"),
    Route(
        method="PUT",
        path="/types/{id}/extra_specs/{key}",
        handler=volume_types.set_spec,
        policy=f"{EXTRA_SPECS}:update",
        schema=type_schemas.EXTRA_SPEC,
    ),
    Route(
        method="DELETE",
        path="/types/{id}/extra_specs/{key}",
        handler=volume_types.remove_spec,
        policy=f"{EXTRA_SPECS}:delete",
        status=202,
    ),
    _get("/types/{id}/encryption", encryption.show, f"{TYPE_ENCRYPTION}:get"),
    Route(
        method="POST",
        path="/types/{id}/encryption",
        handler=encryption.create,
        policy=f"{TYPE_ENCRYPTION}:create",
        schema=encryption_schemas.CREATE,
    ),
    _get("/types/{id}/encryption/{key}", encryption.show_one, f"{TYPE_ENCRYPTION}:get"),
    Route(
        method="PUT",
        path="/types/{id}/encryption/{key}",
        handler=encryption.update,
        policy=f"{TYPE_ENCRYPTION}:update",
        schema=encryption_schemas.UPDATE,
    ),
    Route(
        method="DELETE",
        path="/types/{id}/encryption/{key}",
        handler=encryption.delete,
        policy=f"{TYPE_ENCRYPTION}:delete",
        status=202,
    ),
]

ATTACHMENTS = [
    Route(
        method="POST",
        path="/attachments",
        handler=attachments.create,
        policy="volume:attachment_create",
        schema=attachment_schemas.CREATE,
        since=27,
    ),
    _get("/attachments", attachments.summaries, "volume:attachment_get", since=27),
    _get("/attachments/detail", attachments.details, "volume:attachment_get", since=27),
    _get("/attachments/{id}", attachments.show, "volume:attachment_get", since=27),
    Route(
        method="PUT",
        path="/attachments/{id}",
        handler=attachments.update,
        policy="volume:attachment_update",
        schema=attachment_schemas.UPDATE,
        since=27,
    ),
    Route(
        method="DELETE",
        path="/attachments/{id}",
        handler=attachments.delete,
        policy="volume:attachment_delete",
        since=27,
    ),
    _action("attachments", "os-complete", attachments.complete, "volume:attachment_complete", status=204, since=44),
]

BACKUPS = [
    Route(
        method="POST",
        path="/backups",
        handler=backups.create,
        policy="backup:create",
        status=202,
        schema=backup_schemas.CREATE,
    ),
    _get("/backups", backups.summaries, "backup:get_all"),
    _get("/backups/detail", backups.details, "backup:get_all"),
    _get("/backups/{id}", backups.show, "backup:get"),
    Route(
        method="PUT",
        path="/backups/{id}",
        handler=backups.update,
        policy="backup:update",
        schema=backup_schemas.UPDATE,
        since=9,
    ),
    Route(method="DELETE", path="/backups/{id}", handler=backups.delete, policy="backup:delete", status=202),
    Route(
        method="POST",
        path="/backups/{id}/restore",
        handler=backups.restore,
        policy="backup:restore",
        status=202,
        schema=backup_schemas.RESTORE,
    ),
]

BACKENDS = [
    _get("/os-availability-zone", backends.availability_zones, None),
    _get("/os-services", backends.services, "volume_extension:services:index"),
    _get("/scheduler-stats/get_pools", backends.get_pools, "scheduler_extension:scheduler_stats:get_pools"),
    _get("/extensions", extensions.index, None),
    _get("/extensions/{id}", extensions.show, None),
]

QUOTAS = [
    _get("/limits", quota_sets.limits, None),
    _get("/os-quota-sets/{id}", quota_sets.show, "volume_extension:quotas:show"),
    _get("/os-quota-sets/{id}/defaults", quota_sets.defaults, "volume_extension:quotas:show"),
    Route(
        method="PUT",
        path="/os-quota-sets/{id}",
        handler=quota_sets.update,
        policy="volume_extension:quotas:update",
        schema=quota_schemas.UPDATE,
    ),
    Route(
        method="DELETE",
        path="/os-quota-sets/{id}",
        handler=quota_sets.reset,
        policy="volume_extension:quotas:delete",
    ),
]

OPERATIONS = [
    _get("/events", events.stream, "breezeblock:event_get"),
    _get("/operations", operations.index, "breezeblock:operation_get"),
    _get("/operations/{id}", operations.show, "breezeblock:operation_get"),
    _get("/operations/{id}/events", operations.events, "breezeblock:operation_get"),
    _action("operations", "cancel", operations.cancel, "breezeblock:operation_cancel"),
]

IMAGE_CACHE = [
    _get("/image-cache", image_cache.index, "breezeblock:image_cache_get"),
    _get("/image-cache/{id}", image_cache.show, "breezeblock:image_cache_get"),
    Route(
        method="POST",
        path="/image-cache",
        handler=image_cache.prefetch,
        policy="breezeblock:image_cache_prefetch",
        status=202,
        schema=image_cache_schemas.PREFETCH,
    ),
    _action("image-cache", "pin", image_cache.pin, "breezeblock:image_cache_pin"),
    _action("image-cache", "unpin", image_cache.unpin, "breezeblock:image_cache_pin"),
    Route(
        method="DELETE",
        path="/image-cache/{id}",
        handler=image_cache.evict,
        policy="breezeblock:image_cache_evict",
        status=202,
    ),
]

VOLUME_ROUTES: list[Route] = [
    *VOLUMES,
    *SNAPSHOTS,
    *TYPES,
    *ATTACHMENTS,
    *BACKUPS,
    *BACKENDS,
    *QUOTAS,
    *OPERATIONS,
    *IMAGE_CACHE,
]

READ_IMAGES = "image:get_images"
CHANGE_IMAGES = "image:modify_images"

IMAGE_ROUTES = [
    Route(
        method="POST",
        path="/images",
        handler=images.create,
        policy=CHANGE_IMAGES,
        status=201,
        schema=image_schemas.CREATE,
    ),
    _get("/images", images.index, READ_IMAGES),
    _get("/images/{id}", images.show, READ_IMAGES),
    Route(
        method="PATCH",
        path="/images/{id}",
        handler=images.update,
        policy=CHANGE_IMAGES,
        schema=image_schemas.PATCH,
        media_types=image_schemas.PATCH_TYPES,
    ),
    Route(method="DELETE", path="/images/{id}", handler=images.delete, policy=CHANGE_IMAGES, status=204),
    Route(method="PUT", path="/images/{id}/file", handler=images.upload, policy=CHANGE_IMAGES, status=204),
    _get("/images/{id}/file", images.download, READ_IMAGES),
    Route(method="PUT", path="/images/{id}/tags/{tag}", handler=images.add_tag, policy=CHANGE_IMAGES, status=204),
    Route(method="DELETE", path="/images/{id}/tags/{tag}", handler=images.remove_tag, policy=CHANGE_IMAGES, status=204),
    _get("/schemas/image", images.image_schema, None),
    _get("/schemas/images", images.images_schema, None),
]
"""The image API, below `/image/v2`; there where the image service is the local store."""

PUBLIC_ROUTES = {
    "/": versions.root,
    "/v3": versions.v3,
    "/healthcheck": versions.healthcheck,
}
"""Answered without authentication, with and without a slash at the end."""

PUBLIC_IMAGE_ROUTES = {"/image": versions.image, "/image/v2": versions.image}
"""The same for the image API."""
