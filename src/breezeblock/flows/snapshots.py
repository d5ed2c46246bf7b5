"""Take and delete snapshots."""

import logging
import time

from breezeblock.db import moves, outbox, snapshots, volumes
from breezeblock.errors import BackendInUse, DriverError
from breezeblock.flows.engine import Flow, flow, message_for_user

log = logging.getLogger(__name__)

WAIT_SECONDS = 0.1


def abandon_create(flow: Flow, error: BaseException) -> None:
    """Leave nothing on the storage; the snapshot is in `error`."""
    with flow.backend.database.read() as connection:
        snapshot = snapshots.find(connection, flow.arguments["snapshot_id"])
    if snapshot is None:
        return
    try:
        flow.driver.delete_snapshot(snapshot)
    except DriverError:
        log.exception("snapshot %s: its remains could not be removed", snapshot.id)
    with flow.ending("failed", message_for_user(error)) as connection:
        moves.try_move(connection, "snapshot", snapshot.id, "create_failed")
        outbox.snapshot_event(connection, "create.error", snapshot, flow.id, error=message_for_user(error))


@flow("create_snapshot", abandon=abandon_create)
def create_snapshot(flow: Flow) -> None:
    """Have the driver keep the volume's content of this moment."""
    with flow.backend.database.read() as connection:
        snapshot = snapshots.get(connection, flow.arguments["snapshot_id"])
        volume = volumes.get(connection, snapshot.volume_id)
    with flow.explained("create_snapshot", volume=volume.id, size=snapshot.volume_size) as result:
        result["model_update"] = update = flow.driver.create_snapshot(snapshot, volume) or {}
    changes = {key: value for key, value in update.items() if key in {"provider_id", "provider_location"}}
    with flow.ending() as connection:
        moves.move(connection, "snapshot", snapshot.id, "create_done", progress="100%", **changes)
        outbox.snapshot_event(connection, "create.end", snapshot, flow.id, status="available")


def abandon_delete(flow: Flow, error: BaseException) -> None:
    """A snapshot in use is `available` again; any other failure leaves `error_deleting`."""
    with flow.ending("failed", message_for_user(error)) as connection:
        snapshot = snapshots.find(connection, flow.arguments["snapshot_id"])
        if snapshot is None:
            return
        busy = isinstance(error, BackendInUse)
        moves.try_move(connection, "snapshot", snapshot.id, "delete_busy" if busy else "delete_failed")
        outbox.snapshot_event(connection, "delete.error", snapshot, flow.id, error=message_for_user(error))


@flow("delete_snapshot", abandon=abandon_delete)
def delete_snapshot(flow: Flow) -> None:
    """Remove it from the storage, then forget it. Creates that were accepted earlier and copy from it end first."""
    snapshot_id = flow.arguments["snapshot_id"]
    with flow.backend.database.read() as connection:
        snapshot = snapshots.find(connection, snapshot_id)
    if snapshot is None:
        return
    while _is_used(flow, snapshot_id):
        flow.progress(0, None)
        time.sleep(WAIT_SECONDS)
    with flow.explained("delete_snapshot", snapshot=snapshot_id):
        flow.driver.delete_snapshot(snapshot)
    with flow.ending() as connection:
        snapshots.remove(connection, snapshot_id)  # unless a delete of its volume, by cascade, was faster
        outbox.snapshot_event(connection, "delete.end", snapshot, flow.id)


def _is_used(flow: Flow, snapshot_id: str) -> bool:
    with flow.backend.database.read() as connection:
        return snapshots.being_used(connection, snapshot_id) > 0
