"""What lies on a backend and is managed by nobody: listed, and managed. Each call has an old path and one of 3.8."""

from breezeblock.api.dispatch import Route
from breezeblock.api.handlers import manageable
from breezeblock.api.routes.route_makers import get
from breezeblock.api.schemas import manageable as schemas

VOLUMES, SNAPSHOTS = "volume_extension", "snapshot_extension"

ROUTES: list[Route] = []
for path, since in (("/os-volume-manage", 0), ("/manageable_volumes", 8)):
    ROUTES += [
        Route(
            method="POST",
            path=path,
            handler=manageable.manage_volume,
            policy=f"{VOLUMES}:volume_manage",
            status=202,
            schema=schemas.MANAGE_VOLUME,
            since=since,
        ),
        get(
            path,
            manageable.volume_summaries,
            f"{VOLUMES}:list_manageable",
            since=since,
            query=schemas.Query,
            waits=True,
        ),
        get(
            f"{path}/detail",
            manageable.volume_details,
            f"{VOLUMES}:list_manageable",
            since=since,
            query=schemas.Query,
            waits=True,
        ),
    ]
for path, since in (("/os-snapshot-manage", 0), ("/manageable_snapshots", 8)):
    ROUTES += [
        Route(
            method="POST",
            path=path,
            handler=manageable.manage_snapshot,
            policy=f"{SNAPSHOTS}:snapshot_manage",
            status=202,
            schema=schemas.MANAGE_SNAPSHOT,
            since=since,
        ),
        get(
            path,
            manageable.snapshot_summaries,
            f"{SNAPSHOTS}:list_manageable",
            since=since,
            query=schemas.Query,
            waits=True,
        ),
        get(
            f"{path}/detail",
            manageable.snapshot_details,
            f"{SNAPSHOTS}:list_manageable",
            since=since,
            query=schemas.Query,
            waits=True,
        ),
    ]
