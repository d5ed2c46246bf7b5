"""Restore a backup into a volume that is there."""

from sqlalchemy.engine import Connection

from breezeblock.db import backups, moves, operations, outbox, volumes
from breezeblock.flows import encrypting
from breezeblock.flows.backup_content import copy_in
from breezeblock.flows.engine import Flow, flow, message_for_user, state_after
from breezeblock.model.backup import Backup
from breezeblock.model.volume import Volume


def abandon_restore(flow: Flow, error: BaseException) -> None:
    """The volume is in `error_restoring`: it holds part of the backup. The backup itself is available."""
    with flow.ending(state_after(error), message_for_user(error)) as connection:
        moves.try_move(connection, "volume", flow.arguments["volume_id"], "restore_failed")
        moves.try_move(connection, "backup", flow.arguments["backup_id"], "restore_done")
        operations.wake_waiting(connection, flow.id)


@flow("restore_backup", abandon=abandon_restore)
def restore_backup(flow: Flow) -> None:
    """Replace the content of an existing volume by a backup's."""
    with flow.backend.database.read() as connection:
        backup = backups.get(connection, flow.arguments["backup_id"])
        volume = volumes.get(connection, flow.arguments["volume_id"])
    content = f"backup:{backup.id}:{flow.id}"
    flow.take_copy_turn(volume.project_id)
    with flow.explained("copy", backup=backup.id):
        rekey = encrypting.rekeying(flow, volume, backup.encryption_key_id)
        flow.driver.copy_image_to_volume(volume, content, lambda target: copy_in(flow, backup, target, rekey))
    with flow.ending() as connection:
        moves.move(
            connection,
            "volume",
            volume.id,
            "restore_done",
            bootable=backup.volume_bootable,
            image_metadata=backup.image_metadata,
            metadata=restored_metadata(backup, volume.id, volume.metadata),
        )
        moves.try_move(
            connection, "backup", backup.id, "restore_done"
        )  # unless an administrator has set another status
        outbox.backup_event(connection, "restore.end", backup, flow.id, status="available")
        operations.wake_waiting(connection, flow.id)


def end_restore(connection: Connection, volume: Volume) -> None:
    """The volume that a backup is restored into by its create is there, has failed or is gone: the backup is free again."""
    backup = backups.find(connection, volume.backup_id) if volume.backup_id else None
    if backup is not None and backup.restore_volume_id == volume.id:
        moves.try_move(connection, "backup", backup.id, "restore_done")


def restored_metadata(backup: Backup, volume_id: str, metadata: dict[str, str]) -> dict[str, str]:
    """The metadata of a volume that got a backup's content: those of the backed-up volume, and which backup it was.

    Mirrors `BackupManager.restore_backup` of Cinder. Of a backup whose release kept no metadata nothing is replaced.
    """
    restored = dict(backup.volume_metadata or metadata)
    if backup.volume_id != volume_id or metadata.get("src_backup_id", backup.id) != backup.id:
        restored["src_backup_id"] = backup.id
    return restored
