"""The snapshots that backups are read from, and those of them that are kept: what the next backup compares with.

They are known to the storage and to `Backup.base_kept` alone. A volume has one at most, that of its last backup. It goes
with that backup, when a newer one takes its place, and when the volume goes or leaves its storage. Its loss costs that
the next incremental backup reads all data.
"""

import uuid
from collections.abc import Sequence

from sqlalchemy.engine import Connection

from breezeblock.context import admin_context
from breezeblock.db import backups
from breezeblock.drivers.contract import TellsChanges
from breezeblock.flows import reconcile
from breezeblock.flows.engine import Flow
from breezeblock.model.backup import Backup
from breezeblock.model.snapshot import Snapshot
from breezeblock.model.volume import Volume


def moment_id(backup_id: str) -> str:
    """The id of the snapshot that a backup of a volume is read from."""
    return str(uuid.uuid5(uuid.UUID(backup_id), "moment"))


def moment_of(backup: Backup, volume: Volume) -> Snapshot:
    """That snapshot; it has no row."""
    return Snapshot(
        id=moment_id(backup.id),
        project_id=backup.project_id,
        user_id=backup.user_id,
        volume_id=volume.id,
        status="creating",
        volume_size=volume.size,
        host=volume.host,
        created_at=backup.created_at,
    )


def wanted(flow: Flow) -> bool:
    """Whether this backend keeps them."""
    return flow.backend.own.backup_changed_blocks and isinstance(flow.driver, TellsChanges)


def remove(flow: Flow, volume: Volume, but: str | None = None) -> list[Backup]:
    """Remove those of a volume from this worker's storage, but for that of one backup; `forget` is to follow."""
    with flow.backend.database.read() as connection:
        kept = [one for one in backups.with_base(connection, volume.id) if one.id != but]
    for backup in kept:
        base = moment_of(backup, volume)
        with flow.explained("delete_snapshot", snapshot=base.id, backup=backup.id):
            flow.driver.delete_snapshot(base)
    return kept


def forget(connection: Connection, kept: Sequence[Backup]) -> None:
    """Say of them that they are gone from the storage."""
    for backup in kept:
        backups.update(connection, backup.id, base_kept=False)


def leave(connection: Connection, backend: str, kept: Sequence[Backup]) -> None:
    """Forget them, and have the owner of the storage that they lie on remove them."""
    forget(connection, kept)
    for backup in kept:
        name = f"snapshot-{moment_id(backup.id)}"
        reconcile.request_purge(connection, admin_context(), str(uuid.uuid4()), backend, name, False)
