"""Use case: a volume gets the content of its latest snapshot again."""

import uuid

from breezeblock.context import RequestContext
from breezeblock.db import moves, operations, outbox, snapshots, volumes
from breezeblock.db.connect import Database
from breezeblock.errors import Conflict, InvalidInput


def revert_to_snapshot(database: Database, context: RequestContext, volume_id: str, snapshot_id: str | None) -> None:
    """Have an available volume reverted to `snapshot_id`, which must be its latest and of its size.

    Mirrors the action `revert` of Cinder 3.40. Raises `NotFound`, `InvalidInput`, and `Conflict` where the volume or
    the snapshot is not available.
    """
    with database.begin() as connection:
        volume = volumes.get(connection, volume_id, context.own_project)
        taken = snapshots.of_volume(connection, volume_id)
        if not taken:
            raise InvalidInput(f"Volume {volume_id} doesn't have any snapshots.")
        latest = taken[-1]
        if snapshot_id != latest.id:
            raise InvalidInput(f"Specified snapshot {snapshot_id} is None or not the latest one of volume {volume_id}.")
        if volume.size != latest.volume_size:
            raise InvalidInput(
                f"Can't revert volume {volume_id} to its latest snapshot {snapshot_id}. The volume size must be equal to "
                "the snapshot size."
            )
        for noun, resource_id in (("volume", volume_id), ("snapshot", latest.id)):
            if not moves.try_move(connection, noun, resource_id, "revert"):
                raise Conflict(
                    f"Invalid {noun}: Can't revert volume {volume_id} to its latest snapshot {snapshot_id}. "
                    f"{noun.capitalize()}'s status must be 'available'."
                )
        operation_id = str(uuid.uuid4())
        outbox.volume_event(connection, "revert.start", volume, operation_id)
        outbox.snapshot_event(connection, "revert.start", latest, operation_id)
        operations.request_flow(
            connection,
            context,
            "revert_to_snapshot",
            operation_id=operation_id,
            resource=volume,
            arguments={"volume_id": volume_id, "snapshot_id": latest.id},
        )
