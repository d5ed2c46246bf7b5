"""Make backups: of a snapshot, or of a volume as it is this moment."""

import time
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from breezeblock.backups.repository import Place
from breezeblock.db import attachments, backups, moves, operations, outbox, snapshots, volumes
from breezeblock.flows import backup_bases, changed_blocks, encrypting
from breezeblock.flows.backup_bases import moment_of
from breezeblock.flows.backup_content import Report, copy_out, open_store
from breezeblock.flows.engine import Flow, flow, message_for_user, state_after
from breezeblock.model.backup import SERVICE, Backup
from breezeblock.model.snapshot import Snapshot


def abandon_create(flow: Flow, error: BaseException) -> None:
    """Remove what was stored, unless others need it; the backup is in `error`, the volume what it was."""
    with flow.backend.database.read() as connection:
        backup = backups.find(connection, flow.arguments["backup_id"])
        volume = volumes.find(connection, backup.volume_id) if backup is not None else None
    if backup is None:
        return
    open_store(flow.backend.settings).remove(_placed(backup))  # what others may need is removed with those
    encrypting.forget_key(flow, backup.encryption_key_id)
    if volume is not None:
        flow.driver.delete_snapshot(moment_of(backup, volume))
    with flow.ending(state_after(error), message_for_user(error)) as connection:
        moves.try_move(connection, "backup", backup.id, "create_failed", fail_reason=message_for_user(error))
        _release(connection, flow, backup)


@flow("create_backup", abandon=abandon_create)
def create_backup(flow: Flow) -> None:
    """Copy a snapshot, or one that passes, into the store."""
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
    copied = flow.step("copy", copy_moment, flow, backup, moment)  # a crash may come when the moment is gone already
    keeping = kept is None and backup_bases.wanted(flow)
    if kept is None and not keeping:
        with flow.explained("delete_snapshot", snapshot=moment.id):
            flow.driver.delete_snapshot(moment)
    before = backup_bases.remove(flow, volume) if kept is None else []
    where = _where(backup, copied) | {"base_kept": keeping}
    with flow.ending() as connection:
        backup_bases.forget(connection, before)
        moves.move(connection, "backup", backup.id, "create_done", **where)
        made = backups.get(connection, backup.id)
        outbox.backup_event(connection, "createprogress", made, flow.id, backup_percent=100)
        outbox.backup_event(connection, "create.end", made, flow.id)
        _release(connection, flow, backup)


def _where(backup: Backup, copied: dict[str, Any] | int) -> dict[str, Any]:
    """What the row says of a finished copy. A flow of a release before 2 noted the number of chunks alone."""
    if isinstance(copied, int):
        return {"object_count": copied, "data_timestamp": backup.data_timestamp or backup.created_at}
    return {"object_count": copied["chunks"], "service": SERVICE, "service_metadata": _placed(backup).service_metadata}


def _placed(backup: Backup) -> Backup:
    """The backup with its place in the store, which a request of a release before 2 did not give it."""
    place = backup.service_metadata or str(Place(backup.volume_id, backup.id))
    return msgspec.structs.replace(backup, service_metadata=place)


def copy_moment(flow: Flow, backup: Backup, moment: Snapshot) -> dict[str, Any]:
    """Copy what a backup is of into the store, when it is its turn."""
    flow.take_copy_turn(backup.project_id)
    store, incremental = open_store(flow.backend.settings), backup.parent_id is not None
    store.legacy.delete(backup.id)  # a worker of a release before 2 may have begun it
    with flow.explained("copy", snapshot=moment.id, parent=backup.parent_id) as result:
        known = changed_blocks.look(flow, store.repository, backup, moment)
        with flow.driver.open_volume(moment) as source:
            place, report = Place(backup.volume_id, backup.id), _reporter(flow, backup)
            copied = copy_out(flow, place, source, report, incremental=incremental, known=known)
        done = msgspec.structs.asdict(copied) | {"reads": known.reads}
        result.update(done)
    return done


def _reporter(flow: Flow, backup: Backup) -> Report:
    """Tells the operation how far a copy is, and every `backup_timer_interval` seconds the events too, as Cinder does."""
    interval = float(flow.backend.settings.default["backup_timer_interval"])
    told = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal told
        flow.progress(done, total)
        if time.monotonic() - told >= interval:
            told = time.monotonic()
            with flow.saving() as connection:
                percent = done * 100 // total
                outbox.backup_event(connection, "createprogress", backup, flow.id, backup_percent=percent)

    return report


def _release(connection: Connection, flow: Flow, backup: Backup) -> None:
    """What the backup was made of is what it was before: the snapshot available, the volume available or in use."""
    operations.wake_waiting(connection, flow.id)
    if flow.arguments.get("of_snapshot"):
        moves.try_move(connection, "snapshot", str(backup.snapshot_id), "backup_done")
        return
    in_use = bool(attachments.of_volume(connection, backup.volume_id))
    moves.try_move(connection, "volume", backup.volume_id, "backup_done", "in-use" if in_use else "available")
