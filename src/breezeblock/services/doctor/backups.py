"""Rows of backups against what lies in the backup store."""

from collections.abc import Iterator

from breezeblock.services.doctor.backup_store import location_of
from breezeblock.services.doctor.finding import Finding
from breezeblock.services.doctor.picture import Picture


def check(picture: Picture) -> Iterator[Finding]:
    """All findings about the backup store."""
    yield from _orphans(picture)
    yield from _begun(picture)
    yield from _chunks(picture)
    yield from _ghosts(picture)


def _orphans(picture: Picture) -> Iterator[Finding]:
    known = {location_of(one) for one in picture.rows.backups}
    stored = picture.stored_backups
    for location in sorted(stored.finished.keys() | stored.begun):
        backup_id = location[-36:]
        if location not in known and backup_id not in picture.busy:
            yield _removable(
                backup_id, location, "lies in the backup store and has no row", location in stored.finished
            )


def _begun(picture: Picture) -> Iterator[Finding]:
    rows = {location_of(one): one for one in picture.rows.backups}
    for location in sorted(picture.stored_backups.begun & rows.keys()):
        backup = rows[location]
        if backup.id not in picture.busy and backup.status != "creating":  # such a one is stuck
            yield _removable(backup.id, location, "begun in the backup store, and nothing makes it", finished=False)


def _removable(backup_id: str, location: str, wrong: str, finished: bool) -> Finding:
    return Finding(
        kind="orphan_backup",
        resource="backup",
        id=backup_id,
        wrong=wrong,
        fix="remove it from the store",
        details={"location": location, "finished": finished},
    )


def _chunks(picture: Picture) -> Iterator[Finding]:
    stored = picture.stored_backups
    claimed = {location[len("volume-") : -37] for location in stored.begun}
    for volume_id, count in sorted(stored.unwanted.items()):
        if volume_id not in picture.busy | claimed:
            yield Finding(
                kind="orphan_chunks",
                resource="volume",
                id=volume_id,
                wrong=f"{count} chunks in the backup store are needed by no backup of it",
                fix="remove them from the store",
            )


def _ghosts(picture: Picture) -> Iterator[Finding]:
    finished = picture.stored_backups.finished
    for backup in picture.rows.backups:
        if backup.status not in {"available", "error_deleting"} or backup.id in picture.busy:
            continue
        location = location_of(backup)
        wrong = finished.get(location, "the store has no manifest of it")
        if backup.host not in picture.storages or wrong is None:
            continue
        yield Finding(
            kind="ghost",
            resource="backup",
            id=backup.id,
            wrong=f"{backup.status}, but {wrong}",
            fix="set its status to error",
            details={"status": backup.status, "reason": f"Found by breezeblock doctor: {wrong}."},
        )
