"""Give a volume that lies on the storage without a row a row again."""

from breezeblock.context import RequestContext
from breezeblock.db import outbox, pools, volumes
from breezeblock.db.connect import Database
from breezeblock.model import clock
from breezeblock.model.volume import Volume
from breezeblock.services.doctor.finding import Finding


def can_adopt(finding: Finding) -> bool:
    """Whether a finding is a whole volume without a row, of a known size."""
    return finding.kind == "orphan" and finding.resource == "volume" and bool(finding.details["size"])


def adopt(database: Database, context: RequestContext, finding: Finding, project_id: str) -> str:
    """Write its row, `available` in that project, whatever its quota says; what was done, or why not.

    Nothing on the storage changes. With several pools it is left: the storage does not say which one it lies in.
    """
    with database.begin() as connection:
        if volumes.find(connection, finding.id) is not None:
            return "left it: it has a row now"
        found = [pool for pool in pools.all_pools(connection) if pool.backend == finding.backend]
        if len(found) != 1:
            return f"could not: {finding.backend} has {len(found)} pools; which one it lies in is not known"
        now = clock.now()
        volume = Volume(
            id=finding.id,
            project_id=project_id,
            user_id=context.user_id,
            name=f"adopted-{finding.id}",
            size=-(-finding.details["size"] >> 30),
            status="available",
            host=found[0].name,
            availability_zone=found[0].availability_zone,
            created_at=now,
            scheduled_at=now,
            launched_at=now,
        )
        volumes.insert(connection, volume)
        for event in ("manage_existing.start", "manage_existing.end"):
            outbox.volume_event(connection, event, volume, None)
    return f"adopted it as {volume.size} GiB into project {project_id}"
