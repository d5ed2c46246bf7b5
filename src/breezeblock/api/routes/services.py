"""Services, hosts, clusters, and what died on them."""

from breezeblock.api.bodies import Schema
from breezeblock.api.call import Handler
from breezeblock.api.dispatch import Route
from breezeblock.api.handlers import log_levels, services
from breezeblock.api.routes.route_makers import get
from breezeblock.api.schemas import services as schemas


def _change(name: str, handler: Handler, schema: Schema, since: int = 0, status: int = 200) -> Route:
    return Route(
        method="PUT",
        path=f"/os-services/{name}",
        handler=handler,
        policy="volume_extension:services:update",
        schema=schema,
        since=since,
        status=status,
    )


def _cluster_change(name: str) -> Route:
    return Route(
        method="PUT",
        path=f"/clusters/{name}",
        handler=services.no_cluster,
        policy="clusters:update",
        schema=schemas.CLUSTER,
        since=7,
    )


ROUTES: list[Route] = [
    get("/os-services", services.index, "volume_extension:services:index", query=schemas.ServicesQuery),
    _change("enable", services.enable, schemas.CHANGE),
    _change("disable", services.disable, schemas.CHANGE),
    _change("disable-log-reason", services.disable_log_reason, schemas.DISABLE),
    _change("freeze", services.freeze, schemas.BACKEND),
    _change("thaw", services.thaw, schemas.BACKEND),
    _change("failover_host", services.failover, schemas.FAILOVER, status=202),
    _change("failover", services.failover, schemas.FAILOVER, since=26),
    _change("set-log", log_levels.set_log, schemas.SET_LOG, since=32, status=202),
    _change("get-log", log_levels.get_log, schemas.GET_LOG, since=32),
    get("/os-hosts", services.hosts, "volume_extension:hosts", query=schemas.HostsQuery),
    get("/os-hosts/{id}", services.host, "volume_extension:hosts"),
    get("/clusters", services.clusters, "clusters:get_all", since=7, query=schemas.ClustersQuery),
    get("/clusters/detail", services.clusters, "clusters:get_all", since=7, query=schemas.ClustersQuery),
    get("/clusters/{id}", services.no_cluster, "clusters:get", since=7),
    _cluster_change("enable"),
    _cluster_change("disable"),
    Route(
        method="POST",
        path="/workers/cleanup",
        handler=services.cleanup,
        policy="workers:cleanup",
        schema=schemas.CLEANUP,
        status=202,
        since=24,
    ),
]
