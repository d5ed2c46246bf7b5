"""What really lies in the backup store."""

import msgspec

from breezeblock.backups.legacy import PREFIX
from breezeblock.backups.repository import Place
from breezeblock.backups.store import BackupStore
from breezeblock.config import Settings
from breezeblock.errors import BackendNotFound, DriverError
from breezeblock.flows.backup_content import open_store
from breezeblock.model.backup import Backup


class StoredBackups(msgspec.Struct, frozen=True, kw_only=True):
    """Backups by where they lie: `volume-<id>/<backup id>`, or `backup-<id>` for one of a release before 2."""

    finished: dict[str, str | None]
    """With what is wrong with each: objects are missing, the manifest is damaged."""
    begun: frozenset[str]
    """Those that are being made, or that somebody began to make."""
    unwanted: dict[str, int]
    """By volume, how many chunks no finished backup needs."""


def location_of(backup: Backup) -> str:
    """Where a row says that its backup lies."""
    return backup.service_metadata or PREFIX + backup.id


def look_at_backups(settings: Settings) -> StoredBackups:
    """All there is. Manifests are read before the chunks are listed, so that only what is being made looks unwanted."""
    store = open_store(settings)
    seen = StoredBackups(finished={}, begun=frozenset(), unwanted={})
    if not store.root.exists():
        return seen
    begun = _look_at_former(store, seen)
    for volume_id in store.repository.volumes():
        begun |= _look_at_volume(store, volume_id, seen)
    return msgspec.structs.replace(seen, begun=frozenset(begun))


def _look_at_former(store: BackupStore, seen: StoredBackups) -> set[str]:
    begun = set()
    for backup_id, finished in store.legacy.stored().items():
        if not finished:
            begun.add(PREFIX + backup_id)
            continue
        try:
            seen.finished[PREFIX + backup_id] = _lack(store.legacy.missing(backup_id, store.legacy.manifest(backup_id)))
        except DriverError as error:
            seen.finished[PREFIX + backup_id] = error.message
    return begun


def _look_at_volume(store: BackupStore, volume_id: str, seen: StoredBackups) -> set[str]:
    repository = store.repository
    wanted: dict[Place, set[str]] = {}
    damaged = False
    for place in repository.finished(volume_id):
        try:
            wanted[place] = {place.chunk(chunk.sha256) for chunk in repository.manifest(place).chunks}
        except BackendNotFound:
            continue  # removed just now
        except DriverError as error:
            seen.finished[str(place)], damaged = error.message, True
    chunks = repository.chunks(volume_id)
    for place, names in wanted.items():
        seen.finished[str(place)] = _lack(sorted(names - chunks))
    unwanted = chunks - set().union(*wanted.values())
    if unwanted and not damaged:
        seen.unwanted[volume_id] = len(unwanted)
    return {str(Place(volume_id, backup_id)) for backup_id in repository.claimed(volume_id)}


def _lack(missing: list[str]) -> str | None:
    return f"{len(missing)} of its chunks are missing, such as {missing[0]}" if missing else None
