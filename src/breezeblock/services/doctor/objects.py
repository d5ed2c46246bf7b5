"""Rows against objects: orphans, ghosts, remains of failed creates, and wrong sizes."""

from collections.abc import Iterator

from breezeblock.flows import reconcile
from breezeblock.flows.backup_bases import moment_id
from breezeblock.flows.remaking import MOMENT
from breezeblock.keys.store import name_for
from breezeblock.model.backup import Backup
from breezeblock.model.snapshot import Snapshot
from breezeblock.model.volume import Volume
from breezeblock.services.doctor import backups
from breezeblock.services.doctor.finding import Finding
from breezeblock.services.doctor.picture import Picture
from breezeblock.services.doctor.stores import UPLOAD, Storage
from breezeblock.services.hydration import HYDRATE

HELD = {
    "volume": frozenset(
        "available in-use reserved attaching detaching maintenance error_extending error_restoring error_deleting".split()
    ),
    "snapshot": frozenset(("available", "error_deleting")),
}
"""Statuses in which the storage must have the object."""


def check(picture: Picture) -> Iterator[Finding]:
    """All findings about what is kept where."""
    for storage in picture.storages.values():
        yield from _troubles(picture, storage)
        if storage.problem is not None:
            continue
        yield from _orphans(picture, storage)
        yield from _rows_of(picture, storage)
        yield from _hydrating(picture, storage)
        yield from _adopted(picture, storage)
    yield from backups.check(picture)
    yield from _images(picture)
    yield from _keys(picture)


def _troubles(picture: Picture, storage: Storage) -> Iterator[Finding]:
    reported = picture.rows.problems.get(storage.backend)
    for kind, told, why in (
        ("unreachable", "its storage cannot be looked at", storage.problem),
        ("unreachable", "what it exports cannot be looked at", storage.silence),
        ("down", "its worker cannot use it, and tries again", reported),
    ):
        if why is not None:
            yield Finding(kind=kind, resource="backend", id=storage.backend, wrong=f"{told}: {why}", fix=None)


def _orphans(picture: Picture, storage: Storage) -> Iterator[Finding]:
    everywhere: list[Volume | Snapshot] = [*picture.rows.volumes, *picture.rows.snapshots]
    rows = [one for one in everywhere if one.host is None or one.host.partition("#")[0] == storage.backend]
    known = {one.storage_name for one in rows}
    wanted = {one.storage_name for one in rows if not reconcile.failed_create(one)}
    replicated = {one.storage_name for one in picture.rows.volumes if one.replication_status is not None}
    bases = {f"snapshot-{moment_id(one.id)}" for one in picture.rows.backups if one.base_kept}
    moments = {one.admin_metadata.get(MOMENT, "") for one in picture.rows.volumes}
    for name in sorted(storage.objects - known - bases - moments):
        size = storage.sizes.get(name)
        yield from _purgeable(picture, storage, "orphan", name, "lies on the storage and has no row", size=size)
    for name in sorted(storage.unfinished):
        kept = name in wanted  # to remove the remains is to remove the object: its own deletion does that
        wrong = "half-made on the storage, and nothing makes it" + (" (beside what is whole)" if kept else "")
        yield from _purgeable(picture, storage, "unfinished", name, wrong, removable=not kept)
    for name in sorted((storage.replicas or frozenset()) - replicated):
        yield from _purgeable(picture, storage, "orphan_replica", name, "a replica of no volume that has one")


def _purgeable(
    picture: Picture,
    storage: Storage,
    kind: str,
    name: str,
    wrong: str,
    *,
    size: int | None = None,
    removable: bool = True,
) -> Iterator[Finding]:
    noun, _, resource_id = name.partition("-")
    if resource_id in picture.busy:
        return
    removable = removable and noun in {"volume", "snapshot"}
    yield Finding(
        kind=kind,
        resource=noun,
        id=resource_id,
        wrong=wrong + (f" ({size} bytes)" if size is not None else ""),
        fix="remove it from the storage" if removable else None,
        backend=storage.backend,
        details={"name": name, "size": size},
    )


def _rows_of(picture: Picture, storage: Storage) -> Iterator[Finding]:
    for volume in picture.rows.volumes:
        if volume.backend != storage.backend or volume.id in picture.busy:
            continue
        yield from _row(storage, volume, "volume", volume.size)
    for snapshot in picture.rows.snapshots:
        if (snapshot.host or "").partition("#")[0] == storage.backend and snapshot.id not in picture.busy:
            yield from _row(storage, snapshot, "snapshot", snapshot.volume_size)


def _row(storage: Storage, row: Volume | Snapshot, noun: str, gib: int) -> Iterator[Finding]:
    name = row.storage_name
    if reconcile.failed_create(row) and name in storage.objects:
        yield Finding(
            kind="remains",
            resource=noun,
            id=row.id,
            wrong="its create failed and left it on the storage",
            fix="remove it from the storage; the row stays in error",
            backend=storage.backend,
            details={"name": name},
        )
    if row.status not in HELD[noun]:
        return
    size = storage.sizes.get(name)
    if name not in storage.objects or (name in storage.sizes and size is None):
        yield Finding(
            kind="ghost",
            resource=noun,
            id=row.id,
            wrong=f"{row.status}, but its content is not on the storage",
            fix="set its status to error",
            backend=storage.backend,
            details={"status": row.status},
        )
    elif size is not None and size != gib << 30:
        extend = noun == "volume" and size < gib << 30 and row.status in {"available", "in-use"}
        yield Finding(
            kind="wrong_size",
            resource=noun,
            id=row.id,
            wrong=f"the row says {gib} GiB, the storage has {size} bytes",
            fix=f"extend it to {gib} GiB" if extend else f"have the row say {-(-size >> 30)} GiB",
            backend=storage.backend,
            details={"status": row.status, "row": gib, "size": size, "extend": extend},
        )


def _hydrating(picture: Picture, storage: Storage) -> Iterator[Finding]:
    brought = {request.arguments["volume_id"] for request in picture.rows.requests if request.flow == HYDRATE}
    for volume in picture.rows.volumes:
        if volume.backend != storage.backend or volume.storage_name not in storage.hydrating:
            continue
        if volume.status in HELD["volume"] - {"error_deleting"} and volume.id not in picture.busy | brought:
            yield Finding(
                kind="hydration_without_flow",
                resource="volume",
                id=volume.id,
                wrong="its content is on its way from its image, and nothing brings it",
                fix=None,
                backend=storage.backend,
            )


def _adopted(picture: Picture, storage: Storage) -> Iterator[Finding]:
    rows = {volume.storage_name: volume.id for volume in picture.rows.volumes}
    for name in sorted(storage.adopted):
        volume_id = rows.get(name) or name.removeprefix("volume-")
        if not picture.busy & {name, volume_id}:
            yield Finding(
                kind="adoption_without_flow",
                resource="volume",
                id=volume_id,
                wrong="an image's own file is read that was adopted for it, and nothing turns that into one of the storage's",
                fix="request that it is settled" if name in rows else None,
                backend=storage.backend,
            )


def _keys(picture: Picture) -> Iterator[Finding]:
    """None is removed: what was encrypted under a key is lost with it."""
    if picture.keys is None:
        return
    rows: list[Volume | Backup] = [*picture.rows.volumes, *picture.rows.backups]
    known = {one.encryption_key_id for one in (*rows, *picture.rows.image_keys)}
    known |= picture.busy | {name_for(one) for one in picture.busy}  # one that is about to go is named by a request
    for key_id in sorted(picture.keys - known):
        yield Finding(
            kind="orphan_key", resource="key", id=key_id, wrong="is the key of no volume, backup or image", fix=None
        )
    for row in rows:
        noun, backend = ("volume", row.backend) if isinstance(row, Volume) else ("backup", row.host)
        held = row.status in (HELD["volume"] if noun == "volume" else {"available", "error_deleting"})
        if row.encryption_key_id is None or not held or row.id in picture.busy or backend not in picture.storages:
            continue
        if row.encryption_key_id not in picture.keys:
            yield Finding(
                kind="lost_key",
                resource=noun,
                id=row.id,
                wrong=f"encrypted, and its key {row.encryption_key_id} is not in the key store",
                fix=None,
                backend=backend,
            )


def _images(picture: Picture) -> Iterator[Finding]:
    if picture.image_files is None:
        return
    status = picture.rows.images
    for key in picture.rows.image_keys:
        if key.id not in status and key.id not in picture.busy:
            yield Finding(
                kind="left_image_key",
                resource="image",
                id=key.id,
                wrong=f"is gone, and the key {key.encryption_key_id} that it was encrypted under is still kept",
                fix="forget the key",
            )
    for name in sorted(picture.image_files):
        if name.endswith(UPLOAD) or status.get(name) in {None, "queued"}:
            yield Finding(
                kind="orphan_image_file",
                resource="image",
                id=name.removesuffix(UPLOAD),
                wrong=f"the file {name} in the image store belongs to no image with data",
                fix="remove the file",
                details={"name": name},
            )
    for image_id in sorted(status):
        if status[image_id] == "active" and image_id not in picture.image_files_ever:
            yield Finding(
                kind="ghost",
                resource="image",
                id=image_id,
                wrong="active, but it has no file in the image store",
                fix="set its status to queued, so that it may be uploaded again",
                details={"status": "active"},
            )
