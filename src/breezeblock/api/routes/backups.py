"""Backups."""

from breezeblock.api.dispatch import Route
from breezeblock.api.handlers import backups
from breezeblock.api.routes.route_makers import action_on, get
from breezeblock.api.schemas import backups as backup_schemas
from breezeblock.api.schemas import snapshots as snapshot_schemas

BACKUP_ACTIONS = "volume_extension:backup_admin_actions"

ROUTES: list[Route] = [
    Route(
        method="POST",
        path="/backups",
        handler=backups.create,
        policy="backup:create",
        status=202,
        schema=backup_schemas.CREATE,
    ),
    get("/backups", backups.summaries, "backup:get_all", query=backups.LISTING),
    get("/backups/detail", backups.details, "backup:get_all", query=backups.LISTING),
    get("/backups/{id}", backups.show, "backup:get"),
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
    get("/backups/{id}/export_record", backups.export_record, "backup:export-import"),
    Route(
        method="POST",
        path="/backups/import_record",
        handler=backups.import_record,
        policy="backup:backup-import",
        status=201,
        schema=backup_schemas.IMPORT_RECORD,
    ),
    action_on(
        "backups",
        "os-reset_status",
        backups.reset_status,
        f"{BACKUP_ACTIONS}:reset_status",
        schema=snapshot_schemas.RESET_STATUS,
    ),
    action_on("backups", "os-force_delete", backups.force_delete, f"{BACKUP_ACTIONS}:force_delete"),
]
