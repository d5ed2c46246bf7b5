"""Backups."""

from breezeblock.api.dispatch import Route
from breezeblock.api.handlers import backups
from breezeblock.api.routes.route_makers import get
from breezeblock.api.schemas import backups as backup_schemas

ROUTES: list[Route] = [
    Route(
        method="POST",
        path="/backups",
        handler=backups.create,
        policy="backup:create",
        status=202,
        schema=backup_schemas.CREATE,
    ),
    get("/backups", backups.summaries, "backup:get_all"),
    get("/backups/detail", backups.details, "backup:get_all"),
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
]
