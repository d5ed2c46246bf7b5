"""Group types and their specs (3.11)."""

from breezeblock.api.dispatch import Route
from breezeblock.api.handlers import group_types
from breezeblock.api.routes.route_makers import get
from breezeblock.api.schemas import group_types as schemas

SINCE = 11
SPECS = "group:group_types_specs"

ROUTES: list[Route] = [
    Route(
        method="POST",
        path="/group_types",
        handler=group_types.create,
        policy="group:group_types:create",
        schema=schemas.CREATE,
        status=202,
        since=SINCE,
    ),
    get("/group_types", group_types.index, None, since=SINCE, query=group_types.LISTING),
    get("/group_types/{id}", group_types.show, None, since=SINCE),
    Route(
        method="PUT",
        path="/group_types/{id}",
        handler=group_types.update,
        policy="group:group_types:update",
        schema=schemas.UPDATE,
        since=SINCE,
    ),
    Route(
        method="DELETE",
        path="/group_types/{id}",
        handler=group_types.delete,
        policy="group:group_types:delete",
        status=202,
        since=SINCE,
    ),
    get("/group_types/{id}/group_specs", group_types.list_specs, f"{SPECS}:get_all", since=SINCE),
    Route(
        method="POST",
        path="/group_types/{id}/group_specs",
        handler=group_types.set_specs,
        policy=f"{SPECS}:create",
        schema=schemas.SPECS,
        status=202,
        since=SINCE,
    ),
    get("/group_types/{id}/group_specs/{key}", group_types.show_spec, f"{SPECS}:get", since=SINCE),
    Route(
        method="PUT",
        path="/group_types/{id}/group_specs/{key}",
        handler=group_types.set_spec,
        policy=f"{SPECS}:update",
        schema=schemas.SPEC,
        since=SINCE,
    ),
    Route(
        method="DELETE",
        path="/group_types/{id}/group_specs/{key}",
        handler=group_types.remove_spec,
        policy=f"{SPECS}:delete",
        status=202,
        since=SINCE,
    ),
]
