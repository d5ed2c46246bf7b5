"""Pools, capabilities, zones, resource filters, extensions."""

from breezeblock.api.dispatch import Route
from breezeblock.api.handlers import backends, extensions
from breezeblock.api.routes.route_makers import get

ROUTES: list[Route] = [
    get("/os-availability-zone", backends.availability_zones, None),
    get(
        "/scheduler-stats/get_pools",
        backends.get_pools,
        "scheduler_extension:scheduler_stats:get_pools",
        query=backends.PoolsQuery,
    ),
    get("/capabilities/{id}", backends.capabilities, "volume_extension:capabilities"),
    get("/resource_filters", backends.resource_filters, None, since=33, query=backends.ResourceFiltersQuery),
    get("/extensions", extensions.index, None),
    get("/extensions/{id}", extensions.show, None),
]
