"""Make, restore and delete backups."""

import logging
import uuid

from sqlalchemy.engine import Connection

from breezeblock import killpoints
from breezeblock.backups.directory import CHUNK_BYTES, Chunk, DirectoryStore, Manifest
from breezeblock.db import attachments, backups, moves, outbox, snapshots, volumes
from breezeblock.drivers.contract import BlockSource, BlockTarget, Rewrite
from breezeblock.flows import encrypting
from breezeblock.flows.engine import Flow, flow, message_for_user
from breezeblock.model import clock
from breezeblock.model.backup import Backup
from breezeblock.model.snapshot import Snapshot
from breezeblock.model.volume import Volume

log = logging.getLogger(__name__)


def store_of(flow: Flow) -> DirectoryStore:
    """The store that backups are kept in."""
    return DirectoryStore(flow.backend.settings.path("backup_posix_path", "backups"))


def abandon_create(flow: Flow, error: BaseException) -> None:
    """Remove what was stored; the backup is in `error`, the volume what it was."""
    backup_id = flow.arguments["backup_id"]
    store_of(flow).delete(backup_id)
    with flow.backend.database.read() as connection:
        backup = backups.get(connection, backup_id)
        volume = volumes.find(connection, backup.volume_id)
    encrypting.forget_key(flow, backup.encryption_key_id)
    if volume is not None:
        flow.driver.delete_snapshot(moment_of(backup, volume))
    with flow.ending("failed", message_for_user(error)) as connection:
        moves.try_move(connection, "backup", backup_id, "create_failed", fail_reason=message_for_user(error))
        if volume is not None:
            _release(connection, volume)


@flow("create_backup", abandon=abandon_create)
def create_backup(flow: Flow) -> None:
    """Copy a snapshot, or the volume as it is this moment, into the store."""
    with flow.backend.database.read() as connection:
        backup = backups.get(connection, flow.arguments["backup_id"])
        volume = volumes.get(connection, backup.volume_id)
        kept = snapshots.get(connection, backup.snapshot_id) if backup.snapshot_id else None
    encrypting.copy_key(flow, backup, volume)
    moment = kept or moment_of(backup, volume)
    if kept is None and not flow.passed("create_snapshot"):
        with flow.explained("create_snapshot", snapshot=moment.id):
            flow.driver.create_snapshot(moment, volume)
        flow.checkpoint("create_snapshot")  # the moment is that of the request, however long the copy has to wait
    count = flow.step("copy", copy_moment, flow, backup, moment)  # a crash may come when the moment is gone already
    if kept is None:
        with flow.explained("delete_snapshot", snapshot=moment.id):
            flow.driver.delete_snapshot(moment)
    with flow.ending() as connection:
        moves.move(connection, "backup", backup.id, "create_done", object_count=count, data_timestamp=clock.now())
        outbox.backup_event(connection, "create.end", backup, flow.id, status="available")
        _release(connection, volume)


def copy_moment(flow: Flow, backup: Backup, moment: Snapshot) -> int:
    """Copy what a backup is of into the store, when it is its turn; the number of chunks."""
    flow.take_copy_turn(backup.project_id)
    with flow.explained("copy", snapshot=moment.id) as result, flow.driver.open_volume(moment) as source:
        result["chunks"] = count = copy_out(flow, backup.id, source)
    return count


def moment_of(backup: Backup, volume: Volume) -> Snapshot:
    """The passing snapshot that a backup is read from; known to the storage alone. Its id derives from the backup's."""
    return Snapshot(
        id=str(uuid.uuid5(uuid.UUID(backup.id), "moment")),
        project_id=backup.project_id,
        user_id=backup.user_id,
        volume_id=volume.id,
        status="creating",
        volume_size=volume.size,
        host=volume.host,
        created_at=backup.created_at,
    )


def copy_out(flow: Flow, backup_id: str, source: BlockSource) -> int:
    """Store all data of a source in chunks, then the manifest; the number of chunks."""
    store = store_of(flow)
    extents = [extent for extent in source.extents() if extent.data]
    total = sum(extent.length for extent in extents)
    chunks: list[Chunk] = []
    done = 0
    for extent in extents:
        for offset in range(extent.offset, extent.offset + extent.length, CHUNK_BYTES):
            length = min(CHUNK_BYTES, extent.offset + extent.length - offset)
            flow.pace(length)
            content = source.pread(length, offset)
            chunks.append(Chunk(offset, len(content), store.put(backup_id, content)))
            done += len(content)
            flow.progress(done, total)
            killpoints.reached("between_chunks")
    store.put_manifest(backup_id, Manifest(volume_size=source.size, chunks=chunks))
    return len(chunks)


def copy_in(flow: Flow, backup_id: str, target: BlockTarget, rekey: Rewrite | None) -> None:
    """Fill an empty target with a backup; one of an encrypted volume is put under another key on the way."""
    store = store_of(flow)
    manifest = store.manifest(backup_id)
    total = sum(chunk.length for chunk in manifest.chunks)
    done = 0
    paced = flow.paced(target)
    for offset, content in encrypting.rewritten(store.read(backup_id, manifest), rekey):
        paced.pwrite(content, offset)
        done += len(content)
        flow.progress(done, total)
        killpoints.reached("between_chunks")


def _release(connection: Connection, volume: Volume) -> None:
    """The volume is what it was before the backup: available or in use."""
    in_use = bool(attachments.of_volume(connection, volume.id))
    moves.try_move(connection, "volume", volume.id, "backup_done", "in-use" if in_use else "available")


def abandon_restore(flow: Flow, error: BaseException) -> None:
    """The volume is in `error_restoring`: it holds part of the backup. The backup itself is available."""
    with flow.ending("failed", message_for_user(error)) as connection:
        moves.try_move(connection, "volume", flow.arguments["volume_id"], "restore_failed")
        moves.try_move(connection, "backup", flow.arguments["backup_id"], "restore_done")


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
        flow.driver.copy_image_to_volume(volume, content, lambda target: copy_in(flow, backup.id, target, rekey))
    with flow.ending() as connection:
        moves.move(
            connection,
            "volume",
            volume.id,
            "restore_done",
            bootable=backup.volume_bootable,
            image_metadata=backup.image_metadata,
        )
        moves.move(connection, "backup", backup.id, "restore_done")
        outbox.backup_event(connection, "restore.end", backup, flow.id, status="available")


def abandon_delete(flow: Flow, error: BaseException) -> None:
    """The backup is in `error_deleting`."""
    with flow.ending("failed", message_for_user(error)) as connection:
        reason = message_for_user(error)
        moves.try_move(connection, "backup", flow.arguments["backup_id"], "delete_failed", fail_reason=reason)


@flow("delete_backup", abandon=abandon_delete)
def delete_backup(flow: Flow) -> None:
    """Remove a backup from its store, then forget it."""
    with flow.backend.database.read() as connection:
        backup = backups.get(connection, flow.arguments["backup_id"])
    with flow.explained("delete"):
        store_of(flow).delete(backup.id)
    encrypting.forget_key(flow, backup.encryption_key_id)
    with flow.ending() as connection:
        backups.remove(connection, flow.arguments["backup_id"])
        outbox.end_open(connection, flow.id, "end", status="deleted")
