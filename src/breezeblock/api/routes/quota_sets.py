"""Quotas, quota classes and limits."""

from breezeblock.api.dispatch import Route
from breezeblock.api.handlers import quota_sets
from breezeblock.api.routes.route_makers import get
from breezeblock.api.schemas import quota_sets as quota_schemas

ROUTES: list[Route] = [
    get("/limits", quota_sets.limits, None, query=quota_schemas.LimitsQuery),
    get("/os-quota-sets/{id}", quota_sets.show, "volume_extension:quotas:show", query=quota_schemas.UsageQuery),
    get("/os-quota-sets/{id}/defaults", quota_sets.defaults, "volume_extension:quotas:show"),
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
    get("/os-quota-class-sets/{id}", quota_sets.show_class, "volume_extension:quota_classes:get"),
    Route(
        method="PUT",
        path="/os-quota-class-sets/{id}",
        handler=quota_sets.update_class,
        policy="volume_extension:quota_classes:update",
        schema=quota_schemas.UPDATE_CLASS,
    ),
]
