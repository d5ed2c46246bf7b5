"""Snapshots, their actions and metadata."""

from breezeblock.api.dispatch import Route
from breezeblock.api.handlers import manageable, snapshots
from breezeblock.api.handlers.metadata import MetadataHandlers
from breezeblock.api.routes.route_makers import action_on, get, metadata_of
from breezeblock.api.schemas import snapshots as snapshot_schemas
from breezeblock.api.schemas import volumes as volume_schemas

SNAPSHOT_ACTIONS = "volume_extension:snapshot_admin_actions"

ROUTES: list[Route] = [
    Route(
        method="POST",
        path="/snapshots",
        handler=snapshots.create,
        policy="volume:create_snapshot",
        status=202,
        schema=snapshot_schemas.CREATE,
        headers=volume_schemas.IdempotencyKey,
    ),
    get("/snapshots", snapshots.summaries, "volume:get_all_snapshots", query=snapshots.LISTING),
    get("/snapshots/detail", snapshots.details, "volume:get_all_snapshots", query=snapshots.LISTING),
    get("/snapshots/{id}", snapshots.show, "volume:get_snapshot"),
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
    action_on(
        "snapshots",
        "os-reset_status",
        snapshots.reset_status,
        f"{SNAPSHOT_ACTIONS}:reset_status",
        schema=snapshot_schemas.RESET_STATUS,
    ),
    action_on(
        "snapshots",
        "os-update_snapshot_status",
        snapshots.update_status,
        "snapshot_extension:snapshot_actions:update_snapshot_status",
        schema=snapshot_schemas.UPDATE_STATUS,
    ),
    action_on("snapshots", "os-force_delete", snapshots.force_delete, f"{SNAPSHOT_ACTIONS}:force_delete"),
    action_on("snapshots", "os-unmanage", manageable.unmanage_snapshot, "snapshot_extension:snapshot_unmanage"),
    *metadata_of(
        "snapshots",
        MetadataHandlers(snapshots.LISTING),
        (snapshot_schemas.METADATA, snapshot_schemas.META),
        "volume:get_snapshot_metadata",
        "volume:update_snapshot_metadata",
        "volume:update_snapshot_metadata",
        "volume:delete_snapshot_metadata",
    ),
]
