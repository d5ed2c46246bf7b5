"""Groups, group snapshots, and the old calls on consistency groups."""

from breezeblock.api.call import Handler
from breezeblock.api.dispatch import Route
from breezeblock.api.handlers import consistencygroups, group_snapshots, groups
from breezeblock.api.routes.route_makers import action_on, get
from breezeblock.api.schemas import consistencygroups as legacy_schemas
from breezeblock.api.schemas import group_snapshots as snapshot_schemas
from breezeblock.api.schemas import groups as group_schemas

GROUPS = 13
GROUP_SNAPSHOTS = 14
REPLICATION = 38


def _replication(action: str, handler: Handler, **more: object) -> Route:
    return action_on(
        "groups", action, handler, f"group:{action}", since=REPLICATION, **{"schema": group_schemas.NOTHING, **more}
    )


ROUTES: list[Route] = [
    Route(
        method="POST",
        path="/groups",
        handler=groups.create,
        policy="group:create",
        status=202,
        schema=group_schemas.CREATE,
        since=GROUPS,
    ),
    Route(
        method="POST",
        path="/groups/action",
        action="create-from-src",
        handler=groups.create_from_src,
        policy="group:create",
        status=202,
        schema=group_schemas.CREATE_FROM_SRC,
        since=GROUP_SNAPSHOTS,
    ),
    get("/groups", groups.summaries, "group:get_all", since=GROUPS, query=groups.LISTING),
    get("/groups/detail", groups.details, "group:get_all", since=GROUPS, query=groups.LISTING),
    get("/groups/{id}", groups.show, "group:get", since=GROUPS, query=group_schemas.ShowQuery),
    Route(
        method="PUT",
        path="/groups/{id}",
        handler=groups.update,
        policy="group:update",
        status=202,
        schema=group_schemas.UPDATE,
        since=GROUPS,
    ),
    action_on("groups", "delete", groups.delete, "group:delete", schema=group_schemas.DELETE, since=GROUPS),
    action_on(
        "groups",
        "reset_status",
        groups.reset_status,
        "group:reset_status",
        schema=group_schemas.RESET_STATUS,
        since=20,
    ),
    _replication("enable_replication", groups.enable_replication),
    _replication("disable_replication", groups.disable_replication),
    _replication("failover_replication", groups.failover_replication, schema=group_schemas.FAILOVER),
    _replication("list_replication_targets", groups.list_replication_targets, status=200),
    Route(
        method="POST",
        path="/group_snapshots",
        handler=group_snapshots.create,
        policy="group:create_group_snapshot",
        status=202,
        schema=snapshot_schemas.CREATE,
        since=GROUP_SNAPSHOTS,
    ),
    get(
        "/group_snapshots",
        group_snapshots.summaries,
        "group:get_all_group_snapshots",
        since=GROUP_SNAPSHOTS,
        query=group_snapshots.LISTING,
    ),
    get(
        "/group_snapshots/detail",
        group_snapshots.details,
        "group:get_all_group_snapshots",
        since=GROUP_SNAPSHOTS,
        query=group_snapshots.LISTING,
    ),
    get("/group_snapshots/{id}", group_snapshots.show, "group:get_group_snapshot", since=GROUP_SNAPSHOTS),
    Route(
        method="DELETE",
        path="/group_snapshots/{id}",
        handler=group_snapshots.delete,
        policy="group:delete_group_snapshot",
        status=202,
        since=GROUP_SNAPSHOTS,
    ),
    action_on(
        "group_snapshots",
        "reset_status",
        group_snapshots.reset_status,
        "group:reset_group_snapshot_status",
        schema=group_schemas.RESET_STATUS,
        since=19,
    ),
    Route(
        method="POST",
        path="/consistencygroups",
        handler=consistencygroups.create,
        policy="group:create",
        status=202,
        schema=legacy_schemas.CREATE,
    ),
    Route(
        method="POST",
        path="/consistencygroups/create_from_src",
        handler=consistencygroups.create_from_src,
        policy="group:create",
        status=202,
        schema=legacy_schemas.COPY,
    ),
    get("/consistencygroups", consistencygroups.summaries, "group:get_all", query=consistencygroups.LISTING),
    get("/consistencygroups/detail", consistencygroups.details, "group:get_all", query=consistencygroups.LISTING),
    get("/consistencygroups/{id}", consistencygroups.show, "group:get"),
    *(
        Route(
            method="PUT",
            path=path,
            handler=consistencygroups.update,
            policy="group:update",
            status=202,
            schema=legacy_schemas.UPDATE,
        )
        for path in ("/consistencygroups/{id}/update", "/consistencygroups/{id}")
    ),
    Route(
        method="POST",
        path="/consistencygroups/{id}/delete",
        handler=consistencygroups.delete,
        policy="group:delete",
        status=202,
        schema=legacy_schemas.DELETE,
    ),
    Route(
        method="POST",
        path="/cgsnapshots",
        handler=consistencygroups.create_snapshot,
        policy="group:create_group_snapshot",
        status=202,
        schema=legacy_schemas.CREATE_SNAPSHOT,
    ),
    get(
        "/cgsnapshots",
        consistencygroups.snapshot_summaries,
        "group:get_all_group_snapshots",
        query=consistencygroups.SNAPSHOT_LISTING,
    ),
    get(
        "/cgsnapshots/detail",
        consistencygroups.snapshot_details,
        "group:get_all_group_snapshots",
        query=consistencygroups.SNAPSHOT_LISTING,
    ),
    get("/cgsnapshots/{id}", consistencygroups.show_snapshot, "group:get_group_snapshot"),
    Route(
        method="DELETE",
        path="/cgsnapshots/{id}",
        handler=consistencygroups.delete_snapshot,
        policy="group:delete_group_snapshot",
        status=202,
    ),
]
