"""Delete backups from their store."""

from sqlalchemy.engine import Connection

from breezeblock.backups.repository import Place, place_of
from breezeblock.db import backups, moves, operations, outbox, volumes
from breezeblock.flows import backup_bases, encrypting
from breezeblock.flows.backup_content import open_store
from breezeblock.flows.engine import Flow, Parked, flow, message_for_user, state_after
from breezeblock.model.backup import Backup


def abandon_delete(flow: Flow, error: BaseException) -> None:
    """The backup is in `error_deleting`."""
    with flow.ending(state_after(error), message_for_user(error)) as connection:
        reason = message_for_user(error)
        moves.try_move(connection, "backup", flow.arguments["backup_id"], "delete_failed", fail_reason=reason)


@flow("delete_backup", abandon=abandon_delete)
def delete_backup(flow: Flow) -> None:
    """Remove a backup, and the chunks that no other backup needs, from its store, then forget it."""
    backup_id = flow.arguments["backup_id"]
    with flow.backend.database.read() as connection:
        backup = backups.find(connection, backup_id)
    if backup is None:
        return
    _wait_for(flow, backup_id, "waits until nothing else is done with the backup")
    with flow.explained("delete"):
        remove(flow, backup)
    encrypting.forget_key(flow, backup.encryption_key_id)
    with flow.ending() as connection:
        volume = volumes.find(connection, backup.volume_id) if backup.base_kept else None
        if volume is not None:
            backup_bases.leave(connection, str(volume.backend), [backup])
        backups.remove(connection, backup_id)
        outbox.end_open(connection, flow.id, "end", status="deleted")


def remove(flow: Flow, backup: Backup) -> None:
    """Remove a backup from the store, when no other one is being made of the same volume: that may use its chunks."""
    store, place = open_store(flow.backend.settings), place_of(backup.service_metadata or "")
    while claims := store.remove(backup):
        for claimed in claims:
            _wait_for(flow, claimed, f"waits for the backup {claimed}, which may use the same chunks")
            assert place is not None
            store.repository.unclaim(Place(place.volume_id, claimed))  # by nobody who lives


def _wait_for(flow: Flow, backup_id: str, reason: str) -> None:
    """Park until the operations on a backup that were asked for before this one have ended."""
    with flow.backend.database.begin() as connection:
        other = _before(connection, flow.id, backup_id)
        if other is None:
            return
        flow.park(connection, "delete", reason, other)
    raise Parked


def _before(connection: Connection, flow_id: str, backup_id: str) -> str | None:
    for operation in operations.of_resource(connection, backup_id):
        other = operation.id != flow_id and operation.kind != "delete_backup"
        if other and operations.is_pending(connection, operation.id):
            return operation.id
    return None
