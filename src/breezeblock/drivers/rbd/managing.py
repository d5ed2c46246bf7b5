"""Images and snapshots that belong to nobody: they become volumes and snapshots by a rename, and these such again."""

from collections.abc import Iterator

import msgspec

from breezeblock import killpoints
from breezeblock.drivers.contract import Manageable, Reference
from breezeblock.drivers.rbd import names
from breezeblock.drivers.rbd.cluster import Cluster
from breezeblock.drivers.rbd.store import Found, Info, Record, Store
from breezeblock.errors import BackendNotFound, InvalidInput, NotSupportedByBackend
from breezeblock.model.snapshot import Snapshot

SOURCE_NAME = "source-name"
GIB = 1 << 30


def name_in(reference: Reference) -> str:
    """The name that a reference has. Raises `InvalidInput`."""
    name = reference.get(SOURCE_NAME, "")
    if (
        not name
        or any(character in name for character in "/@\0")
        or name.endswith((names.TMP, names.GONE, names.REPLICA))
    ):
        raise InvalidInput(f"A reference here is a name in the pool: {{'{SOURCE_NAME}': 'NAME'}}.")
    return name


def gib_of(size: int) -> int:
    """Whole GiB that hold so many bytes."""
    return max(1, -(-size // GIB))


def find(store: Store, reference: Reference) -> Info:
    """The image that a reference names. Raises `InvalidInput`, `BackendNotFound`, `NotSupportedByBackend(reason)`."""
    name = name_in(reference)
    found = store.info(name + names.UNMANAGED) or (None if names.is_volume(name) else store.info(name))
    if found is None:
        raise BackendNotFound(f"There is no image {name} in the pool that belongs to nobody.")
    if (reason := _why_not(found)) is not None:
        raise NotSupportedByBackend(reason)
    return found


def _why_not(image: Info) -> str | None:
    if not image.plain:
        return f"{image.name} is an image of the first format."
    if image.watchers:
        return f"{image.name} is open at {', '.join(image.watchers)}."
    return None


def take(cluster: Cluster, store: Store, name: str, size: int, reference: Reference) -> None:
    """Publish the image as the volume `name` of `size` bytes. Taken already is done."""
    content = f"managed:{name_in(reference)}"
    taken = store.find(name)
    if taken is not None and taken.read().content == content:
        return
    found = find(store, reference)
    if found.size > size:
        raise InvalidInput(f"{found.name} holds {found.size} bytes, more than {size}.")
    store.discard(name)
    cluster.call("resize", found.name, size)
    store.note(found.name, msgspec.structs.replace(found.read(), content=content))
    killpoints.reached("before_publish")
    cluster.call("rename", found.name, name)
    killpoints.reached("after_publish")


def release(cluster: Cluster, store: Store, image: Info) -> None:
    """Leave a volume to nobody. Where it has snapshots these keep the image, and a clone of it is left."""
    store.refuse_open(image)
    if store.info(image.name + names.UNMANAGED) is not None:
        store.delete(image.name)  # the rest of what was cut short
        return
    if image.kept() or image.read().older:
        moment = names.moment_for(image.name)
        cluster.call("snapshot", image.name, moment)
        record = Record(content=f"unmanaged:{image.name}")
        new = image.name + names.TMP
        store.discard(image.name)
        cluster.call("clone", (None, image.name, moment), new, None, False, record.text())
        cluster.call("remove_snapshot", image.name, moment)
        cluster.call("rename", new, image.name + names.UNMANAGED)
        store.delete(image.name)
        return
    store.discard(image.name)
    killpoints.reached("before_publish")
    cluster.call("rename", image.name, image.name + names.UNMANAGED)
    killpoints.reached("after_publish")


def volumes(store: Store) -> Iterator[Manageable]:
    """All images that belong to nobody, also those that cannot be taken, with the reason."""
    for listed in store.images():
        if names.is_volume(listed) or listed.endswith((names.TMP, names.GONE, names.REPLICA)):
            continue
        image = store.info(listed)
        if image is not None:
            reason = _why_not(image)
            reference = {SOURCE_NAME: listed.removesuffix(names.UNMANAGED)}
            yield Manageable(reference=reference, size=gib_of(image.size), safe=reason is None, reason=reason)


def find_snapshot(store: Store, snapshot: Snapshot, reference: Reference) -> Found:
    """The snapshot of the volume that a reference names. Raises `InvalidInput` or `BackendNotFound`."""
    name = name_in(reference)
    found = store.find_snapshot(snapshot, name + names.UNMANAGED)
    if found is None and not names.is_snapshot(name) and not names.is_passing(name):
        found = store.find_snapshot(snapshot, name)
    if found is None:
        raise BackendNotFound(f"The volume has no snapshot {name} that belongs to nobody.")
    return found


def take_snapshot(cluster: Cluster, store: Store, snapshot: Snapshot, reference: Reference) -> None:
    """Give the snapshot its new name. Taken already is done."""
    if store.find_snapshot(snapshot) is not None:
        return
    found = find_snapshot(store, snapshot, reference)
    if found.size > snapshot.volume_size * GIB:
        raise InvalidInput(f"{found.name} holds {found.size} bytes, more than {snapshot.volume_size} GiB.")
    _rename_snapshot(cluster, found, snapshot.storage_name)


def release_snapshot(cluster: Cluster, store: Store, snapshot: Snapshot) -> None:
    """Leave a snapshot to nobody; gone is done."""
    found = store.find_snapshot(snapshot)
    if found is not None:
        _rename_snapshot(cluster, found, snapshot.storage_name + names.UNMANAGED)


def _rename_snapshot(cluster: Cluster, found: Found, name: str) -> None:
    killpoints.reached("before_publish")
    cluster.call("rename_snapshot", found.image, found.name, name)
    killpoints.reached("after_publish")


def snapshots(store: Store) -> Iterator[Manageable]:
    """All snapshots that belong to nobody, of volumes that are managed."""
    for image, _, found in store.scan():
        for name, size in found:
            if names.origin(image).startswith("volume-") and not names.is_snapshot(name) and not names.is_passing(name):
                yield Manageable(
                    reference={SOURCE_NAME: name.removesuffix(names.UNMANAGED)}, size=gib_of(size), safe=True
                )
