"""Take in a backup that an exported record tells of, when all that it needs is in the store."""

from typing import Any

from breezeblock.backups.legacy import PREFIX
from breezeblock.backups.manifest import Manifest
from breezeblock.backups.repository import Place, place_of
from breezeblock.backups.store import BackupStore
from breezeblock.db import backups, moves, operations
from breezeblock.errors import DriverError
from breezeblock.flows import encrypting
from breezeblock.flows.backup_content import open_store
from breezeblock.flows.engine import Flow, flow, message_for_user, state_after
from breezeblock.model.backup import Backup

SHOWN = 3
"""So many missing objects are named."""


def abandon_import(flow: Flow, error: BaseException) -> None:
    """The backup is in `error` and says what is missing. What was made for a copy of another backup is removed."""
    with flow.backend.database.read() as connection:
        backup = backups.find(connection, flow.arguments["backup_id"])
    if backup is None:
        return
    values: dict[str, Any] = {}
    if _copies(flow, backup) is not None:
        open_store(flow.backend.settings).remove(backup)
        encrypting.forget_key(flow, backup.encryption_key_id)
        values["encryption_key_id"] = None
    with flow.ending(state_after(error), message_for_user(error)) as connection:
        moves.try_move(connection, "backup", backup.id, "create_failed", fail_reason=message_for_user(error), **values)
        operations.wake_waiting(connection, flow.id)


@flow("import_backup", abandon=abandon_import)
def import_backup(flow: Flow) -> None:
    """Look whether all is there; where the record was given another id, the backup gets a manifest of its own first."""
    with flow.backend.database.read() as connection:
        backup = backups.get(connection, flow.arguments["backup_id"])
    encrypting.copy_imported_key(flow, backup, flow.arguments["key_id"])
    store = open_store(flow.backend.settings)
    with flow.explained("verify", origin=flow.arguments["origin"]) as result:
        copy = _copies(flow, backup)
        if copy is not None:
            _take_over(flow, store, copy)
        manifest, _ = store.opened(backup)
        check(backup, manifest, store.missing(backup))
        result["chunks"] = len(manifest.chunks)
    with flow.ending() as connection:
        moves.move(connection, "backup", backup.id, "create_done", object_count=len(manifest.chunks))
        operations.wake_waiting(connection, flow.id)


def _copies(flow: Flow, backup: Backup) -> Place | None:
    """The backup's place where that is not the one that the record tells of."""
    place = place_of(backup.service_metadata or "")
    return None if place is None or str(place) == flow.arguments["origin"] else place


def _take_over(flow: Flow, store: BackupStore, place: Place) -> None:
    """Publish a manifest like the origin's. A backup of a former release has its chunks copied for that."""
    repository, origin = store.repository, place_of(flow.arguments["origin"])
    if repository.has(place):
        repository.unclaim(place)
        return
    repository.claim(place)
    if origin is not None:
        manifest = repository.manifest(origin)
    else:
        former = flow.arguments["origin"].removeprefix(PREFIX)
        manifest = store.legacy.manifest(former)
        for chunk in manifest.chunks:
            flow.look()
            repository.keep(place, store.legacy.read(former, chunk), trusting=False)
    repository.publish(place, Manifest(volume_size=manifest.volume_size, chunks=manifest.chunks))
    repository.unclaim(place)


def check(backup: Backup, manifest: Manifest, missing: list[str]) -> None:
    """Raises `DriverError` where objects are missing, or where the record tells of another size."""
    size = -(-manifest.volume_size >> 30)
    if size != backup.size:
        raise DriverError(f"The record says {backup.size} GiB, but the backup in the store has {size} GiB.")
    if missing:
        named = ", ".join(missing[:SHOWN]) + (" …" if len(missing) > SHOWN else "")
        raise DriverError(f"{len(missing)} objects of the backup are not in the store: {named}.")
