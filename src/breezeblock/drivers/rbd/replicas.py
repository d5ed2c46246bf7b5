"""Replicas in another cluster, kept in step by the differences between snapshots.

A replica is an image `volume-ID.replica` that has the volume's snapshots, and one more, the moment that it was last in
step at: `@replica-ID`, which the volume's image has too. What changed since that moment is read here and written there;
until the next moment is there as well, the replica is what it was at the last one.
"""

import uuid
from collections.abc import Iterable, Iterator

import msgspec

from breezeblock import killpoints
from breezeblock.drivers import copying
from breezeblock.drivers.contract import Extent
from breezeblock.drivers.rbd import names
from breezeblock.drivers.rbd.cluster import OpenImage
from breezeblock.drivers.rbd.content import PIECE, ImageSource
from breezeblock.drivers.rbd.places import Place
from breezeblock.drivers.rbd.store import Found, Info
from breezeblock.errors import BackendNotFound, ConfigError
from breezeblock.model import clock
from breezeblock.model.volume import ModelUpdate, Volume

_ZEROS = bytes(PIECE)


class Replicas:
    """The replicas `there` of the volumes `here`. Whoever calls holds the names of the volumes concerned."""

    def __init__(self, here: Place, there: Place, order: int) -> None:
        """`order` is that of the objects of new images."""
        self._here = here
        self._there = there
        self._order = order

    def update(self, volume: Volume) -> ModelUpdate:
        """Bring a replica in step, whatever it was. Raises `BackendInUse` where a client has it open."""
        image = self._here.store.get(volume.storage_name)
        self._be_owner()
        replica = self._demoted(volume.storage_name)
        common = _common(image, replica)
        _forget_moments(self._here, image, common)
        now, moment = clock.now(), f"{names.MOMENT}{uuid.uuid4().hex}"
        self._here.cluster.call("snapshot", image.name, moment)
        image = self._here.store.get(image.name)
        if replica is None or common is None:
            self._copy(volume, image, replica)
        else:
            rewind(self._there, replica, common)
            self._apply(image, _points(image, common), common, replica.name)
        self._tidy(volume, image, common, moment)
        return {"replication_status": "enabled", "replicated_at": now}

    def delete(self, volume: Volume) -> None:
        """Remove a replica with its snapshots; gone is done."""
        self._be_owner()
        name, store = volume.storage_name, self._there.store
        self._there.connections.remove(name, None)
        for form in (name + names.REPLICA, name):
            found = store.find(form)
            for image in _homes(self._there, found) if found is not None else []:
                for snapshot in image.kept():
                    store.delete_snapshot(Found(image.name, snapshot, 0))
            if found is not None:
                store.delete(form)
            store.discard(form)

    def listed(self) -> Iterator[str]:
        """The volumes that there are replicas of; those that were the volumes before a failover are replicas too."""
        found = set()
        for image in self._there.store.images():
            if names.is_volume(image) or image.endswith(names.REPLICA):
                found.add(names.origin(image))
            elif image.endswith(names.REPLICA + names.TMP):
                found.add(names.origin(image) + names.TMP)
        yield from sorted(found)

    def moment_of(self, volume: Volume) -> tuple[Info, str]:
        """A replica, and its snapshot of the moment that it was last in step at. Raises `BackendNotFound`."""
        name, store = volume.storage_name, self._there.store
        replica = store.find(name + names.REPLICA) or store.find(name)
        moments = [] if replica is None else _moments(replica)
        if replica is None or not moments:
            raise BackendNotFound(f"There is no replica of {name} in {self._there.access.pool}.")
        return replica, moments[-1]

    def fetch(self, replica: Info, moment: str, target: str) -> None:
        """Write what a replica was at a moment into an image here that reads as zeros."""
        with (
            ImageSource(self._there.cluster, replica.name, moment) as source,
            OpenImage(self._here.cluster, target, writable=True) as to,
        ):
            copy(source, to, source.extents(), is_empty=True)

    def _be_owner(self) -> None:
        """Shut out who wrote there before; that is, a worker that died."""
        there = self._there
        if there.cluster.is_owner:
            return
        place, own = ((one.cluster.call("fsid"), one.access.pool) for one in (there, self._here))
        if place == own:
            raise ConfigError(f"The replication_device is the pool of the volumes themselves: {there.access.pool}.")
        there.cluster.own()
        there.store.reap_all()

    def _demoted(self, name: str) -> Info | None:
        """The replica; what was the volume there, before a failover or failback, becomes it."""
        store = self._there.store
        if store.find(name + names.REPLICA) is None and (was := store.find(name)) is not None:
            store.refuse_open(was)
            self._there.connections.remove(name, None)
            self._there.cluster.call("rename", name, name + names.REPLICA)
        return store.info(name + names.REPLICA)

    def _copy(self, volume: Volume, image: Info, replica: Info | None) -> None:
        """Make a replica of all snapshots of an image, and of the moment."""
        store, name = self._there.store, volume.storage_name + names.REPLICA
        points, record = _points(image, None), msgspec.structs.replace(image.read(), older=())

        def build(new: str) -> None:
            size = points[0][1]
            self._there.cluster.call("create", new, size, self._order, volume.multiattach, record.text())
            self._apply(image, points, None, new)

        if replica is None:
            store.make(name, build)
            return
        store.refuse_open(replica)
        store.discard(name)
        build(name + names.TMP)
        store.replace(replica, record)

    def _apply(self, image: Info, points: list[tuple[str, int]], since: str | None, target: str) -> None:
        """Have an image there be what this one was at each of its snapshots, one after the other, and keep that."""
        there = self._there.cluster
        for point, size in points:
            there.call("resize", target, size)
            with (
                ImageSource(self._here.cluster, image.name, point) as source,
                OpenImage(there, target, writable=True) as to,
            ):
                copy(
                    source, to, source.extents() if since is None else source.changes(since, exact=True), since is None
                )
            killpoints.reached("before_publish")
            there.call("snapshot", target, point)
            killpoints.reached("after_publish")
            since = point

    def _tidy(self, volume: Volume, image: Info, common: str | None, moment: str) -> None:
        """Only the last moment stays; snapshots that the volume had at the one before, and has no more, go."""
        replica = self._there.store.get(volume.storage_name + names.REPLICA)
        content = image.read().content
        if replica.read().content != content:
            self._there.store.note(replica.name, msgspec.structs.replace(replica.read(), content=content))
        kept = {name for one in _homes(self._here, image) for name in one.kept()}
        for one in _homes(self._there, replica):
            listed = [name for name, _ in one.snapshots]
            until = listed.index(common) if common in listed else len(listed)
            for name in one.kept():
                if name not in kept and listed.index(name) < until:
                    self._there.store.delete_snapshot(Found(one.name, name, 0))
        _forget_moments(self._here, image, moment)
        _forget_moments(self._there, replica, moment)


def promote(place: Place, volume: Volume) -> None:
    """Make the replica at this place the volume; a volume already is done. Raises `BackendNotFound`."""
    name, store = volume.storage_name, place.store
    replica = store.find(name + names.REPLICA)
    store.discard(name + names.REPLICA)
    if replica is None:
        store.get(name)
        return
    moments = _moments(replica)
    if not moments:
        raise BackendNotFound(f"The replica of {name} was never in step.")
    rewind(place, replica, moments[-1])
    if store.info(name) is not None:
        store.delete(name)  # made here by a create that was cut short before the failover
    killpoints.reached("before_publish")
    place.cluster.call("rename", replica.name, name)
    killpoints.reached("after_publish")


def rewind(place: Place, image: Info, snapshot: str) -> None:
    """Give an image the content and size of its snapshot again, by what differs alone; already so is done."""
    size = dict(image.snapshots)[snapshot]
    with ImageSource(place.cluster, image.name) as head:
        runs = list(head.changes(snapshot, exact=True))
    if not runs and image.size == size:
        return
    place.store.refuse_open(image)
    place.cluster.call("set_size", image.name, size)
    with (
        ImageSource(place.cluster, image.name, snapshot) as source,
        OpenImage(place.cluster, image.name, writable=True) as to,
    ):
        copy(source, to, runs, False)


def copy(source: ImageSource, target: OpenImage, runs: Iterable[Extent], is_empty: bool) -> None:
    """Write these runs of a source to the same places of an image, and put them on stable storage. Zeros become holes.

    `is_empty`: the target reads as zeros.
    """
    done = 0
    for run in runs:
        end = min(run.offset + run.length, source.size)
        for at in range(run.offset, end, PIECE):
            data = source.of("read", min(PIECE, end - at), at)
            if data != _ZEROS[: len(data)]:
                target.of("write", at, data=data)
            elif not is_empty:
                target.of("zero", at, len(data))
            done += len(data)
            copying.tell(done, source.size)
    target.of("flush")


def _points(image: Info, since: str | None) -> list[tuple[str, int]]:
    """The snapshots to copy, oldest first, with their sizes: those that somebody made since then, and the moment."""
    listed = [name for name, _ in image.snapshots]
    newer = image.snapshots[listed.index(since) + 1 if since else 0 :]
    return [(name, size) for name, size in newer if not names.is_passing(name) or (name, size) == image.snapshots[-1]]


def _moments(image: Info) -> list[str]:
    return [name for name, _ in image.snapshots if name.startswith(names.MOMENT)]


def _common(image: Info, replica: Info | None) -> str | None:
    """The last moment that both have."""
    there = [] if replica is None else _moments(replica)
    return next((one for one in reversed(_moments(image)) if one in there), None)


def _forget_moments(place: Place, image: Info, but_for: str | None) -> None:
    for name in _moments(image):
        if name != but_for:
            place.cluster.call("remove_snapshot", image.name, name)


def _homes(place: Place, image: Info) -> list[Info]:
    """The images that have snapshots of a volume."""
    older = (place.store.info(name) for name in image.read().older)
    return [image, *(one for one in older if one is not None)]
