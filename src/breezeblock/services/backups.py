"""Use cases of backups: make, restore, change, delete."""

import uuid

import msgspec
from sqlalchemy.engine import Connection

from breezeblock.config import Settings
from breezeblock.context import RequestContext
from breezeblock.db import backups, moves, operations, outbox, snapshots, volumes
from breezeblock.db.connect import Database
from breezeblock.errors import InvalidInput, InvalidState
from breezeblock.images.catalog import ImageCatalog
from breezeblock.keys.store import name_for
from breezeblock.model import clock
from breezeblock.model.backup import Backup
from breezeblock.model.volume import Volume
from breezeblock.scheduling import quota
from breezeblock.scheduling.admission import take_turn
from breezeblock.services.hydration import require_hydrated
from breezeblock.services.volumes import CreateVolume, create_volume


def create_backup(
    database: Database,
    settings: Settings,
    context: RequestContext,
    *,
    volume_id: str,
    snapshot_id: str | None = None,
    name: str | None = None,
    description: str | None = None,
    container: str | None = None,
    metadata: dict[str, str] | None = None,
    incremental: bool = False,
    force: bool = False,
) -> Backup:
    """Have a volume, or a snapshot of it, backed up in full. A volume in use needs `force` (or a snapshot).

    Raises `NotFound`, `InvalidState`, `InvalidInput`, `OverQuota`.
    """
    if incremental:
        raise InvalidInput("Invalid backup: No backups available to do an incremental backup; only full ones are made.")
    with database.begin() as connection:
        take_turn(connection)
        volume = volumes.get(connection, volume_id, context.own_project)
        if snapshot_id is not None:
            _check_snapshot(connection, context, volume, snapshot_id)
        elif volume.status == "in-use" and not force:
            raise InvalidState(
                f"Invalid volume: Backing up volume {volume_id} in use needs the force flag set to True."
            )
        require_hydrated(connection, volume_id)
        quota.check(connection, settings, volume.project_id, backups=1, backup_gigabytes=volume.size)
        moves.move(connection, "volume", volume_id, "backup")
        backup_id = str(uuid.uuid4())
        backup = Backup(
            id=backup_id,
            project_id=volume.project_id,
            user_id=context.user_id,
            volume_id=volume_id,
            snapshot_id=snapshot_id,
            name=name,
            description=description,
            status="creating",
            size=volume.size,
            container=container or "backups",
            availability_zone=volume.availability_zone,
            host=volume.backend,
            volume_type_id=volume.volume_type_id,
            volume_bootable=volume.bootable,
            image_metadata=volume.image_metadata,
            metadata=metadata or {},
            encryption_key_id=name_for(backup_id) if volume.encryption_key_id else None,
            created_at=clock.now(),
        )
        backups.insert(connection, backup)
        _request(connection, context, "create_backup", backup, "create.start")
    return backup


def _check_snapshot(connection: Connection, context: RequestContext, volume: Volume, snapshot_id: str) -> None:
    snapshot = snapshots.get(connection, snapshot_id, context.own_project)
    if snapshot.volume_id != volume.id:
        raise InvalidInput(f"Invalid backup: Snapshot {snapshot_id} is not one of volume {volume.id}.")
    if snapshot.status != "available":
        raise InvalidState(f"Invalid snapshot: Snapshot {snapshot_id} must be available, but is {snapshot.status}.")


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

    Raises `NotFound`, `InvalidState`, `InvalidInput` (the volume is too small).
    """
    if volume_id is None:
        with database.read() as connection:
            backup = backups.get(connection, backup_id, context.own_project)
        wanted = CreateVolume(backup_id=backup_id, name=name or f"restore_backup_{backup_id}")
        return backup, create_volume(database, settings, catalog, context, wanted)
    with database.begin() as connection:
        backup = backups.get(connection, backup_id, context.own_project)
        volume = volumes.get(connection, volume_id, context.own_project)
        if volume.size < backup.size:
            raise InvalidInput(
                f"Invalid input received: volume size {volume.size} is too small to restore backup of size {backup.size}."
            )
        _check_encryption(backup, volume)
        if volume.status != "available":
            raise InvalidState(f"Invalid volume: Volume to be restored to must be available, but is {volume.status}.")
        require_hydrated(connection, volume_id)
        moves.move(connection, "backup", backup_id, "restore", restore_volume_id=volume_id)
        moves.move(connection, "volume", volume_id, "restore")
        there = msgspec.structs.replace(backup, host=volume.backend)  # the worker that owns the volume does it
        _request(connection, context, "restore_backup", there, "restore.start", volume_id=volume_id)
    return backup, volume


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


def delete_backup(database: Database, context: RequestContext, backup_id: str) -> None:
    """Have a backup deleted. Raises `InvalidState` while a volume is being made of it."""
    with database.begin() as connection:
        take_turn(connection)
        backup = backups.get(connection, backup_id, context.own_project)
        if backups.being_used(connection, backup_id):
            raise InvalidState(f"Invalid backup: Backup {backup_id} is being restored.")
        moves.move(connection, "backup", backup_id, "delete")
        _request(connection, context, "delete_backup", backup, "delete.start")


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
