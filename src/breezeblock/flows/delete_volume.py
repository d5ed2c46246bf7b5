"""Delete a volume, and before it those of its snapshots that a cascade marked."""

import time
from collections.abc import Sequence

from breezeblock.db import attachments, image_cache, moves, outbox, snapshots, volumes
from breezeblock.errors import BackendInUse
from breezeblock.flows import backup_bases, encrypting, hydrate, remaking, replicas, restore_backup
from breezeblock.flows.engine import Flow, flow, message_for_user
from breezeblock.flows.upload_image import being_uploaded
from breezeblock.model.snapshot import Snapshot
from breezeblock.model.volume import Volume

WAIT_SECONDS = 0.1


def abandon(flow: Flow, error: BaseException) -> None:
    """A volume in use is `available` again; any other failure leaves it in `error_deleting`, to be deleted by force."""
    with flow.ending("failed", message_for_user(error)) as connection:
        volume = volumes.find(connection, flow.arguments["volume_id"])
        if volume is None:
            return
        busy = isinstance(error, BackendInUse)
        moves.try_move(connection, "volume", volume.id, "delete_busy" if busy else "delete_failed")
        for snapshot in snapshots.of_volume(connection, volume.id):
            if flow.passed(_deleted(snapshot)):
                snapshots.remove(connection, snapshot.id)
                outbox.snapshot_event(connection, "delete.end", snapshot, flow.id)
            else:
                moves.try_move(connection, "snapshot", snapshot.id, "delete_busy" if busy else "delete_failed")
        outbox.volume_event(connection, "delete.error", volume, flow.id, error=message_for_user(error))


@flow("delete_volume", abandon=abandon)
def delete_volume(flow: Flow) -> None:
    """Remove it from the storage, then forget it."""
    volume_id = flow.arguments["volume_id"]
    with flow.backend.database.read() as connection:
        volume = volumes.find(connection, volume_id)
        dying = [one for one in snapshots.of_volume(connection, volume_id) if one.status == "deleting"]
    if volume is None:
        return
    wait_for_users(flow, volume_id, [snapshot.id for snapshot in dying])
    hydrate.wait_until_out(flow, volume_id)
    for snapshot in dying:
        with flow.explained("delete_snapshot", snapshot=snapshot.id):
            flow.driver.delete_snapshot(snapshot)
            flow.note(_deleted(snapshot))
    remaking.delete_moment(flow, volume)
    bases = backup_bases.remove(flow, volume)
    replicas.remove(flow, volume)
    with flow.explained("delete_volume", volume=volume_id):
        _remove(flow, volume)
    encrypting.forget_key(flow, volume.encryption_key_id)
    with flow.ending() as connection:
        for snapshot in dying:
            snapshots.remove(connection, snapshot.id)
        backup_bases.forget(connection, bases)
        image_cache.remove(connection, volume_id)
        volumes.remove(connection, volume_id)
        restore_backup.end_restore(connection, volume)
        outbox.volume_event(connection, "delete.end", volume, flow.id)
        if dying:
            outbox.end_open(connection, flow.id, "end")  # snapshots that went by themselves tell it themselves


def _deleted(snapshot: Snapshot) -> str:
    """The step behind which a snapshot is not on the storage any more."""
    return f"deleted {snapshot.id}"


def _remove(flow: Flow, volume: Volume) -> None:
    """Remove it from the storage; an export that nobody has asked for goes with it.

    There is one where exports were restored after their daemon had died while the last attachment went.
    """
    try:
        flow.driver.delete_volume(volume)
    except BackendInUse:
        with flow.backend.database.read() as connection:
            if attachments.connected(connection, volume.id):
                raise
        flow.driver.terminate_connection(volume, None)
        flow.driver.delete_volume(volume)


def wait_for_users(flow: Flow, volume_id: str, snapshot_ids: Sequence[str]) -> None:
    """Creates that were accepted earlier, clones out of the image cache, an upload, and a refresh of the replica still read
    this volume or one of its snapshots that go with it: let them end first."""
    while True:
        with flow.backend.database.read() as connection:
            used = volumes.being_made_from(connection, volume_id) or replicas.being_refreshed(connection, volume_id)
            used = used or image_cache.is_leased(connection, volume_id) or being_uploaded(connection, volume_id)
            if not used and not any(snapshots.being_used(connection, one) for one in snapshot_ids):
                return
        flow.progress(0, None)
        time.sleep(WAIT_SECONDS)
