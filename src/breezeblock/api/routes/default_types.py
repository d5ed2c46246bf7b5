"""Default types of projects (3.62)."""

from breezeblock.api.dispatch import Route
from breezeblock.api.handlers import default_types
from breezeblock.api.routes.route_makers import get
from breezeblock.api.schemas import default_types as schemas

SINCE = 62

ROUTES: list[Route] = [
    get("/default-types", default_types.index, "volume_extension:default_get_all", since=SINCE),
    get("/default-types/{id}", default_types.show, "volume_extension:default_get", since=SINCE),
    Route(
        method="PUT",
        path="/default-types/{id}",
        handler=default_types.update,
        policy="volume_extension:default_set_or_update",
        schema=schemas.UPDATE,
        since=SINCE,
    ),
    Route(
        method="DELETE",
        path="/default-types/{id}",
        handler=default_types.delete,
        policy="volume_extension:default_unset",
        status=204,
        since=SINCE,
    ),
]
