"""Use cases of backups: make, restore, change, delete, set a status by hand."""

import functools
import uuid

import msgspec
from sqlalchemy.engine import Connection

from breezeblock.backups.repository import Place
from breezeblock.config import Settings
from breezeblock.context import RequestContext
from breezeblock.db import backups, moves, operations, outbox, pools, snapshots, volumes
from breezeblock.db.connect import Database
from breezeblock.errors import InvalidInput, InvalidState
from breezeblock.images.catalog import ImageCatalog
from breezeblock.keys.store import name_for
from breezeblock.model import clock
from breezeblock.model.backup import Backup
from breezeblock.model.snapshot import Snapshot
from breezeblock.model.states import BACKUP_MOVES
from breezeblock.model.volume import Volume
from breezeblock.scheduling import quota
from breezeblock.scheduling.admission import take_turn
from breezeblock.services.hydration import require_hydrated
from breezeblock.services.volumes import CreateVolume, create_volume


class CreateBackup(msgspec.Struct, frozen=True, kw_only=True):
    """What a client asks for, with Cinder's names."""

    volume_id: str
    snapshot_id: str | None = None
    name: str | None = None
    description: str | None = None
    container: str | None = None
    metadata: dict[str, str] = {}
    incremental: bool = False
    force: bool = False
    availability_zone: str | None = None


def create_backup(database: Database, settings: Settings, context: RequestContext, request: CreateBackup) -> Backup:
    """Have a volume, or a snapshot of it, backed up. A volume in use needs `force` (or a snapshot).

    Mirrors `cinder.backup.api.API.create`. Raises `NotFound`, `InvalidState`, `InvalidInput`, `OverQuota`.
    """
    with database.begin() as connection:
        take_turn(connection)
        volume = volumes.get(connection, request.volume_id, context.own_project)
        snapshot = _snapshot_of(connection, context, volume, request.snapshot_id)
        if snapshot is None:
            _check_volume(volume, request.force)
        require_hydrated(connection, volume.id)
        zone = _zone(connection, volume, request.availability_zone)
        quota.check(connection, settings, context.project_id, backups=1, backup_gigabytes=volume.size)
        parent = _parent(connection, context, volume, snapshot) if request.incremental else None
        backup = _drafted(context, volume, snapshot, parent, request, zone)
        backups.insert(connection, backup)
        if snapshot is not None:
            moves.move(connection, "snapshot", snapshot.id, "backup")
        else:
            moves.move(connection, "volume", volume.id, "backup")
        of_snapshot = snapshot is not None
        _request(connection, context, "create_backup", backup, "create.start", of_snapshot=of_snapshot)
    return backup


def _drafted(
    context: RequestContext,
    volume: Volume,
    snapshot: Snapshot | None,
    parent: Backup | None,
    request: CreateBackup,
    zone: str | None,
) -> Backup:
    backup_id, now = str(uuid.uuid4()), clock.now()
    return Backup(
        id=backup_id,
        project_id=context.project_id,
        user_id=context.user_id,
        volume_id=volume.id,
        snapshot_id=request.snapshot_id,
        parent_id=parent.id if parent else None,
        name=request.name,
        description=request.description,
        status="creating",
        size=volume.size,
        container=request.container or "backups",
        service_metadata=str(Place(volume.id, backup_id)),
        availability_zone=zone,
        host=volume.backend,
        volume_type_id=volume.volume_type_id,
        volume_bootable=volume.bootable,
        image_metadata=volume.image_metadata,
        volume_metadata=volume.metadata,
        metadata=request.metadata,
        data_timestamp=snapshot.created_at if snapshot else now,
        encryption_key_id=name_for(backup_id) if volume.encryption_key_id else None,
        created_at=now,
    )


def _snapshot_of(
    connection: Connection, context: RequestContext, volume: Volume, snapshot_id: str | None
) -> Snapshot | None:
    if snapshot_id is None:
        return None
    snapshot = snapshots.get(connection, snapshot_id, context.own_project)
    if snapshot.volume_id != volume.id:
        raise InvalidInput(
            f"Invalid volume: Volume {volume.id} does not match with snapshot.volume_id {snapshot.volume_id}."
        )
    if snapshot.status != "available":
        raise InvalidState(
            "Invalid snapshot: Snapshot to be backed up must be available, but the current status is "
            f'"{snapshot.status}".'
        )
    return snapshot


def _check_volume(volume: Volume, force: bool) -> None:
    if volume.status not in {"available", "in-use"}:
        raise InvalidState(
            "Invalid volume: Volume to be backed up must be available or in-use, but the current status is "
            f'"{volume.status}".'
        )
    if volume.status == "in-use" and not force:
        raise InvalidState("Invalid volume: Backing up an in-use volume must use the force flag.")


def _zone(connection: Connection, volume: Volume, asked: str | None) -> str | None:
    """The zone of the backup: the volume's, unless another one that there is was asked for."""
    if not asked:
        return volume.availability_zone
    if asked not in {pool.availability_zone for pool in pools.all_pools(connection)}:
        raise InvalidInput(f"Invalid input received: Availability zone '{asked}' is invalid.")
    return asked


def _parent(connection: Connection, context: RequestContext, volume: Volume, snapshot: Snapshot | None) -> Backup:
    """The backup with the newest data; with data older than the snapshot where one is backed up."""
    for backup in backups.available_of(connection, volume.id, context.project_id):
        if snapshot is None or str(backup.data_timestamp) < snapshot.created_at:
            return backup
    raise InvalidInput("Invalid backup: No backups available to do an incremental backup.")


def restore_backup(
    database: Database,
    settings: Settings,
    catalog: ImageCatalog,
    context: RequestContext,
    backup_id: str,
    *,
    volume_id: str | None = None,
    name: str | None = None,
) -> tuple[Backup, Volume]:
    """Restore into an existing volume, which loses its content, or into a new one of the backup's size.

    Mirrors `cinder.backup.api.API.restore`. Raises `NotFound`, `InvalidState`, `InvalidInput` (the volume is too small).
    """
    if volume_id is None:
        with database.read() as connection:
            backup = _restorable(connection, context, backup_id)
        name = f"restore_backup_{backup_id}" if name is None else name
        wanted = CreateVolume(backup_id=backup_id, name=name, description="auto-created_from_restore_from_backup")
        begin = functools.partial(_begin_restore, backup)
        return backup, create_volume(database, settings, catalog, context, wanted, admitted=begin)
    with database.begin() as connection:
        backup = _restorable(connection, context, backup_id)
        volume = volumes.get(connection, volume_id, context.own_project)
        if volume.status != "available":
            raise InvalidState("Invalid volume: Volume to be restored to must be available")
        if volume.size < backup.size:
            raise InvalidInput(
                f"Invalid volume: volume size {volume.size} is too small to restore backup of size {backup.size}."
            )
        _check_encryption(backup, volume)
        require_hydrated(connection, volume_id)
        _begin_restore(backup, connection, volume)
        there = msgspec.structs.replace(backup, host=volume.backend)  # the worker that owns the volume does it
        _request(connection, context, "restore_backup", there, "restore.start", volume_id=volume_id)
    return backup, volume


def _begin_restore(backup: Backup, connection: Connection, volume: Volume) -> None:
    moves.move(connection, "backup", backup.id, "restore", restore_volume_id=volume.id)
    moves.move(connection, "volume", volume.id, "restore")


def _restorable(connection: Connection, context: RequestContext, backup_id: str) -> Backup:
    backup = backups.get(connection, backup_id, context.own_project)
    if backup.status != "available":
        raise InvalidState("Invalid backup: Backup status must be available")
    return backup


def _check_encryption(backup: Backup, volume: Volume) -> None:
    """Cinder restores an encrypted backup only where the type is the same: another one may encrypt in another way."""
    encrypted = (backup.encryption_key_id is not None, volume.encryption_key_id is not None)
    if encrypted[0] != encrypted[1]:
        raise InvalidInput(
            "Invalid input received: Of the backup and the volume to be restored to one is encrypted and one is not."
        )
    if all(encrypted) and backup.volume_type_id != volume.volume_type_id:
        raise InvalidInput(
            f"Invalid input received: The encrypted backup {backup.id} can be restored to volumes of the type "
            f"{backup.volume_type_id} only."
        )


def update_backup(database: Database, context: RequestContext, backup_id: str, **values: object) -> Backup:
    """Change name, description or metadata (3.9)."""
    with database.begin() as connection:
        backups.get(connection, backup_id, context.own_project)
        if values:
            backups.update(connection, backup_id, **values)
        return backups.get(connection, backup_id)


def delete_backup(database: Database, context: RequestContext, backup_id: str, *, force: bool = False) -> None:
    """Have a backup deleted; with `force` from any status (admin), and what is done with it is cancelled.

    Raises `InvalidState` while a volume is being made of it, and while incremental backups depend on it.
    """
    with database.begin() as connection:
        take_turn(connection)
        backup = backups.get(connection, backup_id, context.own_project)
        if not force and backup.status not in {"available", "error"}:
            raise InvalidState("Invalid backup: Backup status must be available or error")
        if backups.count_dependents(connection, backup_id):
            raise InvalidState("Invalid backup: Incremental backups exist for this backup.")
        if backups.being_used(connection, backup_id):
            raise InvalidState(f"Invalid backup: Backup {backup_id} is being restored.")
        if force:
            _cancel(connection, backup_id)
        moves.move(connection, "backup", backup_id, "force_delete" if force else "delete")
        _request(connection, context, "delete_backup", backup, "delete.start")


def _cancel(connection: Connection, backup_id: str) -> None:
    for operation in operations.of_resource(connection, backup_id):
        if operation.kind != "delete_backup" and operations.is_pending(connection, operation.id):
            operations.request_cancel(connection, operation.id)


def reset_status(database: Database, context: RequestContext, backup_id: str, status: str) -> None:
    """Set a backup's status by hand (admin). Raises `InvalidInput` for a status that cannot be set."""
    if status not in BACKUP_MOVES["reset_status"].end:
        valid = list(BACKUP_MOVES["reset_status"].end)
        raise InvalidInput(f"Backup status: {status} is invalid, valid statuses are: {valid}.")
    with database.begin() as connection:
        before = backups.get(connection, backup_id, context.own_project)
        outbox.backup_event(connection, "reset_status.start", before, None)
        moves.move(connection, "backup", backup_id, "reset_status", status)
        outbox.backup_event(connection, "reset_status.end", backups.get(connection, backup_id), None)


def _request(
    connection: Connection, context: RequestContext, flow: str, backup: Backup, event: str, **more: object
) -> None:
    operation_id = str(uuid.uuid4())
    outbox.backup_event(connection, event, backups.get(connection, backup.id), operation_id)
    operations.request_flow(
        connection,
        context,
        flow,
        operation_id=operation_id,
        resource=backup,
        arguments={"backup_id": backup.id, **more},
    )
