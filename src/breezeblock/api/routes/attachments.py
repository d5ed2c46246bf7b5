"""Attachments."""

from breezeblock.api.dispatch import Route
from breezeblock.api.handlers import attachments
from breezeblock.api.routes.route_makers import action_on, get
from breezeblock.api.schemas import attachments as attachment_schemas

ROUTES: list[Route] = [
    Route(
        method="POST",
        path="/attachments",
        handler=attachments.create,
        policy="volume:attachment_create",
        schema=attachment_schemas.CREATE,
        waits=True,
        since=27,
    ),
    get("/attachments", attachments.summaries, "breezeblock:attachment_get", since=27, query=attachments.LISTING),
    get("/attachments/detail", attachments.details, "breezeblock:attachment_get", since=27, query=attachments.LISTING),
    get("/attachments/{id}", attachments.show, "breezeblock:attachment_get", since=27),
    Route(
        method="PUT",
        path="/attachments/{id}",
        handler=attachments.update,
        policy="volume:attachment_update",
        schema=attachment_schemas.UPDATE,
        waits=True,
        since=27,
    ),
    Route(
        method="DELETE",
        path="/attachments/{id}",
        handler=attachments.delete,
        policy="volume:attachment_delete",
        waits=True,
        since=27,
    ),
    action_on("attachments", "os-complete", attachments.complete, "volume:attachment_complete", status=204, since=44),
]
