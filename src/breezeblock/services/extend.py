"""Use cases: grow a volume, and end a growth that waits for the compute service."""

import uuid

from breezeblock.auth import policy
from breezeblock.config import Settings
from breezeblock.context import RequestContext
from breezeblock.db import moves, operations, outbox, volume_types, volumes
from breezeblock.db.connect import Database
from breezeblock.errors import InvalidInput, InvalidState
from breezeblock.scheduling import quota
from breezeblock.scheduling.admission import take_turn
from breezeblock.services.volume_types import check_size


def extend_volume(
    database: Database, settings: Settings, context: RequestContext, volume_id: str, new_size: int, online: bool = False
) -> None:
    """Grow a volume to `new_size` GiB; one in use only where `online` (3.42).

    Raises `InvalidInput`, `InvalidState`, `OverQuota`, `Forbidden`.
    """
    with database.begin() as connection:
        take_turn(connection)
        volume = volumes.get(connection, volume_id, context.own_project, lock=True)
        if new_size <= volume.size:
            raise InvalidInput(
                f"Invalid input received: New size for extend must be greater than current size. "
                f"(current: {volume.size}, extended: {new_size})."
            )
        volume_type = volume_types.find(connection, volume.volume_type_id) if volume.volume_type_id else None
        if volume_type is not None:
            check_size(volume_type, new_size)
        if online and volume.status == "in-use":
            policy.authorize(context, "volume:extend_attached_volume")
        elif volume.status != "available":
            raise InvalidState(
                f"Invalid volume: Volume {volume_id} status must be 'available' to extend, currently {volume.status}."
            )
        more = new_size - volume.size
        of_type = volume.volume_type_id
        quota.check(connection, settings, volume.project_id, volume_size=new_size, type_id=of_type, gigabytes=more)
        moves.move(connection, "volume", volume_id, "extend", size=new_size)
        operation_id = str(uuid.uuid4())
        outbox.volume_event(connection, "resize.start", volume, operation_id)
        operations.request_flow(
            connection,
            context,
            "extend_volume",
            operation_id=operation_id,
            resource=volume,
            arguments={"volume_id": volume_id, "old_size": volume.size, "new_size": new_size},
        )


def complete_extension(database: Database, context: RequestContext, volume_id: str) -> None:
    """End a growth that waits for the compute service (3.71). No driver has one wait, so there is never one to end.

    Raises `InvalidState` with Cinder's words for each case.
    """
    with database.read() as connection:
        volume = volumes.get(connection, volume_id, context.own_project)
    if volume.status != "extending":
        raise InvalidState("Invalid volume: Volume is not being extended.")
    raise InvalidState("Invalid volume: Required volume admin metadata is malformed or missing.")
