"""Operations and events, which are our own."""

from breezeblock.api.dispatch import Route
from breezeblock.api.handlers import events, operations
from breezeblock.api.routes.route_makers import action_on, get

ROUTES: list[Route] = [
    get(
        "/events",
        events.stream,
        "breezeblock:event_get",
        produces=events.EVENT_STREAM,
        query=events.StreamQuery,
        headers=events.StreamHeaders,
    ),
    get("/operations", operations.index, "breezeblock:operation_get", query=operations.LISTING),
    get("/operations/{id}", operations.show, "breezeblock:operation_get"),
    get("/operations/{id}/events", operations.events, "breezeblock:operation_get", produces=events.EVENT_STREAM),
    action_on("operations", "cancel", operations.cancel, "breezeblock:operation_cancel"),
]
