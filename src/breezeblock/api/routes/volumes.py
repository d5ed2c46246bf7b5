"""Volumes, their actions and metadata."""

from breezeblock.api.dispatch import Route
from breezeblock.api.handlers import encryption, manageable, volume_actions, volume_moves, volumes
from breezeblock.api.handlers.metadata import MetadataHandlers
from breezeblock.api.listing import Filtered
from breezeblock.api.routes.route_makers import action_on, get, metadata_of
from breezeblock.api.schemas import volume_moves as move_schemas
from breezeblock.api.schemas import volumes as volume_schemas

ADMIN_ACTIONS = "volume_extension:volume_admin_actions"
IMAGE_METADATA = "volume_extension:volume_image_metadata"
VOLUME_ENCRYPTION = "volume_extension:volume_encryption_metadata"

ROUTES: list[Route] = [
    Route(
        method="POST",
        path="/volumes",
        handler=volumes.create,
        policy="volume:create",
        status=202,
        schema=volume_schemas.CREATE,
        headers=volume_schemas.IdempotencyKey,
    ),
    get("/volumes", volumes.summaries, "volume:get_all", query=volumes.LISTING),
    get("/volumes/detail", volumes.details, "volume:get_all", query=volumes.LISTING),
    get("/volumes/summary", volumes.summary, "volume:get_all", since=12, query=Filtered(volumes.LISTING)),
    Route(
        method="POST",
        path="/volumes/plan",
        handler=volumes.plan,
        policy="breezeblock:volume_plan",
        schema=volume_schemas.PLAN,
    ),
    get("/volumes/{id}", volumes.show, "volume:get"),
    Route(
        method="PUT",
        path="/volumes/{id}",
        handler=volumes.update,
        policy="volume:update",
        schema=volume_schemas.UPDATE,
    ),
    Route(
        method="DELETE",
        path="/volumes/{id}",
        handler=volumes.delete,
        policy="volume:delete",
        status=202,
        query=volume_schemas.DeleteQuery,
    ),
    get("/volumes/{id}/replication", volumes.replication, "breezeblock:replication_get"),
    get("/volumes/{id}/encryption", encryption.of_volume, VOLUME_ENCRYPTION),
    get("/volumes/{id}/encryption/{key}", encryption.one_of_volume, VOLUME_ENCRYPTION, produces=encryption.BARE),
    action_on("volumes", "os-extend", volume_actions.extend, "volume:extend", schema=volume_schemas.EXTEND),
    action_on(
        "volumes",
        "revert",
        volume_moves.revert,
        "volume:revert_to_snapshot",
        schema=move_schemas.REVERT,
        since=40,
    ),
    action_on(
        "volumes",
        "os-reimage",
        volume_moves.reimage,
        "volume:reimage",
        schema=move_schemas.REIMAGE,
        since=68,
    ),
    action_on("volumes", "os-unmanage", manageable.unmanage_volume, "volume_extension:volume_unmanage"),
    action_on("volumes", "os-retype", volume_moves.retype, "volume:retype", schema=move_schemas.RETYPE),
    action_on(
        "volumes",
        "os-migrate_volume",
        volume_moves.migrate,
        f"{ADMIN_ACTIONS}:migrate_volume",
        schema=move_schemas.MIGRATE,
    ),
    action_on(
        "volumes",
        "os-migrate_volume_completion",
        volume_moves.complete_migration,
        f"{ADMIN_ACTIONS}:migrate_volume_completion",
        schema=move_schemas.COMPLETE_MIGRATION,
        status=200,
    ),
    action_on(
        "volumes",
        "os-extend_volume_completion",
        volume_actions.extend_completion,
        f"{ADMIN_ACTIONS}:extend_volume_completion",
        schema=volume_schemas.EXTEND_COMPLETION,
    ),
    action_on(
        "volumes",
        "os-reset_status",
        volume_actions.reset_status,
        f"{ADMIN_ACTIONS}:reset_status",
        schema=volume_schemas.RESET_STATUS,
    ),
    action_on("volumes", "os-force_delete", volume_actions.force_delete, f"{ADMIN_ACTIONS}:force_delete"),
    action_on(
        "volumes",
        "os-set_bootable",
        volume_actions.set_bootable,
        "volume:update",
        schema=volume_schemas.SET_BOOTABLE,
        status=200,
    ),
    action_on(
        "volumes",
        "os-update_readonly_flag",
        volume_actions.update_readonly_flag,
        "volume:update_readonly_flag",
        schema=volume_schemas.UPDATE_READONLY,
    ),
    action_on(
        "volumes",
        "os-volume_upload_image",
        volume_actions.upload_image,
        "volume_extension:volume_actions:upload_image",
        schema=volume_schemas.UPLOAD_IMAGE,
    ),
    action_on(
        "volumes", "os-show_image_metadata", volume_actions.show_image_metadata, f"{IMAGE_METADATA}:show", status=200
    ),
    action_on(
        "volumes",
        "os-set_image_metadata",
        volume_actions.set_image_metadata,
        f"{IMAGE_METADATA}:set",
        schema=volume_schemas.SET_IMAGE_METADATA,
        status=200,
    ),
    action_on(
        "volumes",
        "os-unset_image_metadata",
        volume_actions.unset_image_metadata,
        f"{IMAGE_METADATA}:remove",
        schema=volume_schemas.UNSET_IMAGE_METADATA,
        status=200,
    ),
    *metadata_of(
        "volumes",
        MetadataHandlers(volumes.LISTING, etags=True),
        (volume_schemas.METADATA, volume_schemas.META),
        "volume:get_volume_metadata",
        "volume:create_volume_metadata",
        "volume:update_volume_metadata",
        "volume:delete_volume_metadata",
    ),
]
