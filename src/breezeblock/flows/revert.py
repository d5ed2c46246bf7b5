"""Give a volume the content of its latest snapshot again."""

from breezeblock.db import moves, outbox, snapshots, volumes
from breezeblock.drivers.contract import RevertsToSnapshots
from breezeblock.errors import NotSupportedByBackend
from breezeblock.flows.copy_content import filling_from
from breezeblock.flows.engine import Flow, flow, message_for_user, state_after
from breezeblock.flows.resize import wait_for_copies
from breezeblock.model.snapshot import Snapshot
from breezeblock.model.volume import Volume


def abandon(flow: Flow, error: BaseException) -> None:
    """The volume is in `error`, as with Cinder; the snapshot is as it was, and volumes can be made of it."""
    message = message_for_user(error)
    with flow.ending(state_after(error), message) as connection:
        moves.try_move(connection, "volume", flow.arguments["volume_id"], "revert_failed")
        moves.try_move(connection, "snapshot", flow.arguments["snapshot_id"], "revert_done")


@flow("revert_to_snapshot", abandon=abandon)
def revert_to_snapshot(flow: Flow) -> None:
    """By the driver where it can, which is one act; else by a copy, which is hidden until it is whole."""
    with flow.backend.database.read() as connection:
        volume = volumes.get(connection, flow.arguments["volume_id"])
        snapshot = snapshots.get(connection, flow.arguments["snapshot_id"])
    wait_for_copies(flow, volume.id)
    if not by_driver(flow, volume, snapshot):
        by_copy(flow, volume, snapshot)
    with flow.ending() as connection:
        moves.move(connection, "volume", volume.id, "revert_done")
        moves.move(connection, "snapshot", snapshot.id, "revert_done")
        outbox.volume_event(connection, "revert.end", volume, flow.id, status="available")
        outbox.snapshot_event(connection, "revert.end", snapshot, flow.id, status="available")


def by_driver(flow: Flow, volume: Volume, snapshot: Snapshot) -> bool:
    """Whether the driver did it."""
    with flow.explained("revert_to_snapshot", snapshot=snapshot.id) as result:
        try:
            if not isinstance(flow.driver, RevertsToSnapshots):
                raise NotSupportedByBackend("the driver cannot revert a volume by itself")
            flow.driver.revert_to_snapshot(volume, snapshot)
        except NotSupportedByBackend as error:
            result |= {"outcome": "declined", "reason": error.message}
            return False
    return True


def by_copy(flow: Flow, volume: Volume, snapshot: Snapshot) -> None:
    """Fill the volume anew with what the snapshot holds."""
    flow.take_copy_turn(volume.project_id)
    with flow.explained("copy", snapshot=snapshot.id), flow.driver.open_volume(snapshot) as source:
        flow.driver.copy_image_to_volume(volume, f"snapshot:{snapshot.id}:{flow.id}", filling_from(flow, source))
