"""Extend a volume."""

import time

from breezeblock.db import attachments, moves, outbox, snapshots, volumes
from breezeblock.flows.engine import Flow, flow, message_for_user

WAIT_SECONDS = 0.1


def abandon(flow: Flow, error: BaseException) -> None:
    """The volume has its old size again and is in `error_extending`, as with Cinder."""
    with flow.ending("failed", message_for_user(error)) as connection:
        volume = volumes.find(connection, flow.arguments["volume_id"])
        if volume is None:
            return
        moves.try_move(connection, "volume", volume.id, "extend_failed", size=flow.arguments["old_size"])
        outbox.volume_event(connection, "resize.error", volume, flow.id, error=message_for_user(error))


@flow("extend_volume", abandon=abandon)
def extend_volume(flow: Flow) -> None:
    """Have the driver grow it; then it is what it was before, available or in use."""
    with flow.backend.database.read() as connection:
        volume = volumes.get(connection, flow.arguments["volume_id"])
    wait_for_copies(flow, volume.id)
    with flow.explained("extend_volume", old_size=flow.arguments["old_size"], new_size=flow.arguments["new_size"]):
        flow.driver.extend_volume(volume, flow.arguments["new_size"])
    with flow.ending() as connection:
        attached = bool(attachments.of_volume(connection, volume.id))
        moves.move(connection, "volume", volume.id, "extend_done", "in-use" if attached else "available")
        outbox.volume_event(connection, "resize.end", volume, flow.id)


def wait_for_copies(flow: Flow, volume_id: str) -> None:
    """Snapshots and clones that were accepted earlier are of the old size: let them end first."""
    while True:
        with flow.backend.database.read() as connection:
            if not (snapshots.being_taken(connection, volume_id) or volumes.being_made_from(connection, volume_id)):
                return
        flow.progress(0, None)
        time.sleep(WAIT_SECONDS)
