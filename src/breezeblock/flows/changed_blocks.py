"""What an incremental backup knows before it reads: the pieces of its parent in which the volume has not changed since.

The storage tells what differs between the snapshot that the parent was read from and the new one. Whatever is missing or
in doubt, all data are read: that is slower, and always right.
"""

import msgspec

from breezeblock.backups import manifest as manifests
from breezeblock.backups.manifest import Chunk
from breezeblock.backups.repository import Repository, place_of
from breezeblock.db import backups, snapshots, volumes
from breezeblock.drivers.contract import TellsChanges
from breezeblock.errors import BackendNotFound, DriverError, NotSupportedByBackend
from breezeblock.flows.backup_bases import moment_of
from breezeblock.flows.engine import Flow
from breezeblock.model.backup import Backup
from breezeblock.model.snapshot import Snapshot


class Known(msgspec.Struct, frozen=True):
    """What need not be read. `chunks` are the parent's, in order; `reads` tells a person what is read, and why."""

    reads: str
    chunks: tuple[Chunk, ...] = ()
    changed: frozenset[int] = frozenset()
    """The offsets of the pieces of the grid that have to be read."""
    upto: int = 0
    """Of what is behind this byte nothing is known."""

    def covers(self, cell: int) -> bool:
        """Whether the piece of the grid at this offset is as it was in the parent."""
        return cell < self.upto and cell not in self.changed


def look(flow: Flow, repository: Repository, backup: Backup, moment: Snapshot) -> Known:
    """What is known of a backup that is read from `moment`."""
    if backup.parent_id is None:
        return Known(reads="all data: a full backup")
    try:
        return _since_parent(flow, repository, backup, moment)
    except DriverError as error:
        return Known(reads=f"all data: {error.message}")


def _since_parent(flow: Flow, repository: Repository, backup: Backup, moment: Snapshot) -> Known:
    if not isinstance(flow.driver, TellsChanges):
        raise NotSupportedByBackend("the storage does not tell what has changed")
    parent, base = _parent_and_base(flow, str(backup.parent_id))
    place = place_of(parent.service_metadata or "")
    if place is None or place.volume_id != backup.volume_id:
        raise NotSupportedByBackend(f"the pieces of the backup {parent.id} lie elsewhere")
    manifest, size = repository.manifest(place), manifests.CHUNK_BYTES
    if any(chunk.offset % size or chunk.length > size for chunk in manifest.chunks):
        raise NotSupportedByBackend(f"the backup {parent.id} is cut otherwise")
    changed, told = set[int](), 0
    for extent in flow.driver.list_changed_extents(base, moment):
        changed.update(range(extent.offset // size * size, extent.offset + extent.length, size))
        told += extent.length
    there = repository.chunks(place.volume_id)
    lost = {chunk.offset for chunk in manifest.chunks if place.chunk(chunk.sha256) not in there}
    upto = manifest.volume_size // size * size  # the last piece may have been shorter than it is now
    known = Known(
        reads=f"what has changed since the backup {parent.id}: {told} bytes in {len(changed)} pieces",
        changed=frozenset(changed | lost),
        upto=upto,
    )
    chunks = tuple(chunk for chunk in manifest.chunks if known.covers(chunk.offset))
    return msgspec.structs.replace(known, chunks=chunks)


def _parent_and_base(flow: Flow, parent_id: str) -> tuple[Backup, Snapshot]:
    """An incremental backup's parent, and the snapshot it was read from. Raises `BackendNotFound` where that is gone."""
    with flow.backend.database.read() as connection:
        parent = backups.get(connection, parent_id)
        volume = volumes.find(connection, parent.volume_id)
        base = snapshots.find(connection, parent.snapshot_id) if parent.snapshot_id else None
    if parent.base_kept and volume is not None:
        base = moment_of(parent, volume)
    if base is None:
        raise BackendNotFound(f"the snapshot that the backup {parent.id} was read from is not kept")
    return parent, base
