"""Messages to users (3.3)."""

from breezeblock.api.dispatch import Route
from breezeblock.api.handlers import user_messages
from breezeblock.api.routes.route_makers import get

SINCE = 3

ROUTES: list[Route] = [
    get("/messages", user_messages.index, "message:get_all", since=SINCE, query=user_messages.LISTING),
    get("/messages/{id}", user_messages.show, "message:get", since=SINCE),
    Route(
        method="DELETE",
        path="/messages/{id}",
        handler=user_messages.delete,
        policy="message:delete",
        status=204,
        since=SINCE,
    ),
]
