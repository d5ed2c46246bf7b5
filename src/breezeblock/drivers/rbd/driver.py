"""The RBD driver: volumes are images in a pool of a Ceph cluster, with Cinder's names for them and for their snapshots.

The verbs are in the order of the contract. docs/rbd.md tells what each does on the cluster.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from breezeblock.config import BackendSettings
from breezeblock.drivers.contract import (
    BlockSource,
    Capabilities,
    ConnectionInfo,
    Connector,
    Extent,
    Fill,
    Manageable,
    Reference,
    Rewrite,
)
from breezeblock.drivers.held import Held
from breezeblock.drivers.rbd import capacity, images, managing, names
from breezeblock.drivers.rbd.content import ImageSource, ImageTarget, rewrite_beginning
from breezeblock.drivers.rbd.options import OPTIONS
from breezeblock.drivers.rbd.places import Place, own_place, target_place
from breezeblock.drivers.rbd.replicas import Replicas, promote
from breezeblock.drivers.rbd.store import Found, Info, Record
from breezeblock.errors import BackendInUse, BackendNotFound, InvalidReplicationTarget, NotSupportedByBackend
from breezeblock.model.image import Image
from breezeblock.model.pool import Pool
from breezeblock.model.snapshot import Snapshot
from breezeblock.model.volume import ModelUpdate, Volume

MIB = 1 << 20
GIB = 1 << 30


def open_driver(settings: BackendSettings) -> "RbdDriver":
    """The driver of one section. Touches nothing yet."""
    return RbdDriver(settings, settings.read(OPTIONS))


class RbdDriver:
    """One pool of a Ceph cluster."""

    def __init__(self, settings: BackendSettings, options: Mapping[str, Any]) -> None:
        self._settings = settings
        self._options = options
        self._own, self._target = own_place(settings, options), target_place(settings, options)
        self._order = (options["rbd_store_chunk_size"] * MIB).bit_length() - 1
        self._work_at(self._own, self._target)
        self._held = Held()
        self._seen: dict[str, str] = {}
        self.capabilities = Capabilities(
            clone_image=True,
            online_extend=True,
            multiattach=True,
            consistent_group_snapshots=True,
            encryption=True,
            replication=self._target is not None,
            failover=self._target is not None,
        )

    def _work_at(self, here: Place, there: Place | None) -> None:
        self._here, self._there = here, there
        self._cluster, self._store = here.cluster, here.store
        self._connections, self._exporting = here.connections, here.exporting
        self._replicas = Replicas(here, there, self._order) if there is not None else None

    def close(self) -> None:
        """End the connections to the clusters; export daemons go on serving."""
        for place in (self._here, self._there):
            if place is not None:
                place.close()

    # setup and capacity

    def check_for_setup_error(self) -> None:
        """Connect, shut out a former owner that died, and remove what it was removing."""
        self._cluster.own()
        self._store.reap_all()

    def get_volume_stats(self) -> list[Pool]:
        """The one pool, with what Ceph says of its room."""
        return [capacity.pool(self._settings, self._options, self._here, self.capabilities, self.replication_targets())]

    # volumes

    def create_volume(self, volume: Volume) -> ModelUpdate:
        """Make an image under another name, and rename it."""
        with self._doing(volume):
            if self._store.find(volume.storage_name) is None:
                self._store.make(volume.storage_name, lambda new: self._create(new, volume, volume.size_bytes, None))
        return {}

    def _create(self, name: str, volume: Volume, size: int, record: Record | None) -> None:
        text = None if record is None else record.text()
        self._cluster.call("create", name, size, self._order, volume.multiattach, text)

    def delete_volume(self, volume: Volume) -> None:
        """Hide the image, and remove it; where snapshots or clones of it live on the last of them takes it along."""
        with self._doing(volume):
            self._refuse_exported(volume.storage_name)
            self._store.delete(volume.storage_name)

    def extend_volume(self, volume: Volume, new_size: int) -> None:
        """Grow the image under whoever has it open; a client over NBD is cut for the moment, and connects again."""
        with self._doing(volume):
            image = self._store.get(volume.storage_name)
            if image.size >= new_size * GIB:
                self._exporting.ensure(volume)  # whoever grew it may have died before that
                return
            with self._exporting.cut(volume):
                self._cluster.call("resize", image.name, new_size * GIB)

    # snapshots and clones

    def create_snapshot(self, snapshot: Snapshot, volume: Volume) -> ModelUpdate:
        """Take a snapshot of the image."""
        with self._doing(snapshot, volume):
            self._snapshot(snapshot, volume)
        return {}

    def _snapshot(self, snapshot: Snapshot, volume: Volume) -> None:
        _, image = self._store.snapshot(volume.storage_name, snapshot.storage_name)
        older = filter(None, map(self._store.info, image.read().older))
        if any(snapshot.storage_name in dict(one.snapshots) for one in older):
            # it was taken already, of what the volume was before
            self._cluster.call("remove_snapshot", image.name, snapshot.storage_name)

    def _is_taken(self, snapshot: Snapshot) -> bool:
        found = self._store.find_snapshot(snapshot)
        return found is not None and self._cluster.call("is_taken", found.image, found.name)

    def create_group_snapshot(self, pairs: Sequence[tuple[Snapshot, Volume]]) -> dict[str, ModelUpdate]:
        """Keep the content of volumes that nobody has open meanwhile. Raises `BackendInUse` while one is exported."""
        with self._doing(*(thing for pair in pairs for thing in pair)):
            if all(self._is_taken(snapshot) for snapshot, _ in pairs):
                return {}
            for _, volume in pairs:
                self._refuse_exported(volume.storage_name)
            self._delete_snapshots(pairs)
            try:
                for snapshot, volume in pairs:
                    self._snapshot(snapshot, volume)
            except Exception:
                self._delete_snapshots(pairs)
                raise
        return {}

    def _delete_snapshots(self, pairs: Sequence[tuple[Snapshot, Volume]]) -> None:
        for snapshot, _ in pairs:
            self._delete_snapshot(snapshot)

    def delete_snapshot(self, snapshot: Snapshot) -> None:
        """Remove the snapshot; what clones need of it stays hidden as long as they need it."""
        with self._doing(snapshot):
            self._delete_snapshot(snapshot)

    def _delete_snapshot(self, snapshot: Snapshot) -> None:
        found = self._store.find_snapshot(snapshot)
        if found is not None:
            self._store.delete_snapshot(found)
        else:
            self._store.settle(f"volume-{snapshot.volume_id}")  # whoever deleted it may have died before the rest

    def revert_to_snapshot(self, volume: Volume, snapshot: Snapshot) -> None:
        """Put a clone of the snapshot in the image's place, in constant time."""
        with self._doing(volume, snapshot):
            self._refuse_exported(volume.storage_name)
            image, found = self._store.get(volume.storage_name), self._store.get_snapshot(snapshot)
            self._store.refuse_open(image)
            self._store.discard(image.name)
            self._store.settle(image.name)  # whoever began this may have died before the last removal
            record = Record(content=f"reverted:{snapshot.id}")
            self._clone(image.name + names.TMP, volume, found, image.size, record)
            self._store.replace(image, record)

    def create_volume_from_snapshot(
        self, volume: Volume, snapshot: Snapshot, *, rewrite: Rewrite | None = None
    ) -> ModelUpdate:
        """Clone the snapshot."""
        record = Record(content=f"snapshot:{snapshot.id}")
        with self._doing(volume, snapshot):
            if not self._is_made(volume, record.content):
                found = self._store.get_snapshot(snapshot)

                def build(new: str) -> None:
                    flatten: bool = self._options["rbd_flatten_volume_from_snapshot"]
                    self._clone(new, volume, found, volume.size_bytes, record, flatten=flatten)
                    if rewrite is not None:
                        rewrite_beginning(self._cluster, new, rewrite)

                self._store.make(volume.storage_name, build)
        return {}

    def create_cloned_volume(self, volume: Volume, source: Volume, *, rewrite: Rewrite | None = None) -> ModelUpdate:
        """Clone a moment that is taken for this, or was taken for the clone before if nothing was written since."""
        record = Record(content=f"volume:{source.id}")
        with self._doing(volume, source):
            if not self._is_made(volume, record.content):

                def build(new: str) -> None:
                    try:
                        self._clone_moment(new, volume, source, record, or_moment=True)
                    except BackendNotFound:
                        # the clone that it was taken for is being deleted, and the moment with it
                        self._clone_moment(new, volume, source, record, or_moment=False)
                    if rewrite is not None:
                        rewrite_beginning(self._cluster, new, rewrite)

                self._store.make(volume.storage_name, build)
        return {}

    def _clone_moment(self, new: str, volume: Volume, source: Volume, record: Record, *, or_moment: bool) -> None:
        own = names.moment_for(volume.storage_name)
        moment, image = self._store.snapshot(source.storage_name, own, or_moment=or_moment)
        for passed, _ in image.snapshots:
            if names.clone_of(passed) == volume.storage_name and passed != moment:
                self._cluster.call("remove_snapshot", image.name, passed)  # taken before, in vain
        try:
            self._clone(new, volume, Found(image.name, moment, image.size, image.parent), volume.size_bytes, record)
        except Exception:
            if names.clone_of(moment) == volume.storage_name:
                self._cluster.call("remove_snapshot", image.name, moment)
            raise

    def _clone(
        self, name: str, volume: Volume, source: Found, size: int, record: Record, *, flatten: bool = False
    ) -> None:
        """Make an image of a snapshot, of `size` bytes at least, standing on it unless that would be too deep."""
        deepest: int = self._options["rbd_max_clone_depth"]
        below = source.parent
        too_deep = deepest == 0 or (
            below is not None and self._cluster.call("depth", below.pool, below.id) + 1 >= deepest
        )
        self._clone_of((None, source.image, source.name), name, volume, size if size > source.size else None, record)
        if flatten or too_deep:
            made = self._store.info(name)
            assert made is not None, "it was made just now"
            with self._store.leaving_parent(made):
                self._cluster.call("flatten", name)

    def _clone_of(
        self, source: tuple[str | None, str, str], name: str, volume: Volume, size: int | None, record: Record
    ) -> None:
        self._cluster.call("clone", source, name, size, volume.multiattach, record.text())

    def _is_made(self, volume: Volume, content: str) -> bool:
        """Whether the volume is there with this content; what else lies under its name is removed."""
        image = self._store.find(volume.storage_name)
        if image is None:
            return False
        if image.read().content == content:
            self._cluster.call("resize", image.name, volume.size_bytes)
            return True
        self._refuse_exported(image.name)
        self._store.delete(image.name)
        return False

    def clone_image(self, volume: Volume, image: Image, path: str | None) -> tuple[ModelUpdate, bool]:
        """Clone the image's snapshot where Glance keeps it in the same cluster."""
        record = Record(content=f"image:{image.id}:{image.checksum or ''}")
        with self._doing(volume):
            if not self._is_made(volume, record.content):
                place = images.locate(self._cluster, self._store, image, volume.size_bytes)

                def build(new: str) -> None:
                    source = (place.pool, place.image, place.snapshot)
                    self._clone_of(source, new, volume, volume.size_bytes, record)

                self._store.make(volume.storage_name, build)
        return {}, True

    # content

    def copy_image_to_volume(self, volume: Volume, content: str, fill: Fill) -> None:
        """Fill another image, once for each `content`, and put it in the volume's place when it is whole."""
        with self._doing(volume):
            image = self._store.get(volume.storage_name)
            if image.read().content == content:
                self._store.discard(image.name)
                self._store.settle(image.name)
                return
            self._refuse_exported(image.name)
            self._store.refuse_open(image)
            record = Record(content=content)
            new = image.name + names.TMP
            kept = self._begin_fill(volume, image, record)
            try:
                with ImageTarget(self._cluster, new, self._uri(new), kept, self._noting(new, record)) as target:
                    fill(target)
                    target.sync()
            except Exception:
                self._store.discard(image.name)
                raise
            self._store.replace(image, record)

    def _begin_fill(self, volume: Volume, image: Info, record: Record) -> bytes | None:
        """Make the image that is filled, unless one of the same content was begun; that one's last note."""
        begun = self._store.info(image.name + names.TMP)
        if begun is not None and begun.size == image.size:
            kept = begun.read()
            if kept.content == record.content and kept.note is not None:
                return kept.note
        self._store.discard(image.name)
        self._create(image.name + names.TMP, volume, image.size, record)
        return None

    def _noting(self, name: str, record: Record) -> Callable[[bytes], None]:
        return lambda note: self._store.note(name, msgspec.structs.replace(record, note=note))

    def _uri(self, image: str) -> str:
        """As qemu opens it on this machine."""
        access = self._here.access
        options = {"id": access.user, "conf": access.conf}
        return ":".join([f"rbd:{access.pool}/{image}", *(f"{key}={value}" for key, value in options.items() if value)])

    @contextlib.contextmanager
    def open_volume(self, volume: Volume | Snapshot) -> Iterator[BlockSource]:
        """Read an image or a snapshot. Raises `BackendInUse` for a volume that is exported."""
        with self._doing(volume):
            if isinstance(volume, Snapshot):
                found = self._store.get_snapshot(volume)
                source = ImageSource(self._cluster, found.image, found.name)
            else:
                self._refuse_exported(volume.storage_name)
                source = ImageSource(self._cluster, self._store.get(volume.storage_name).name)
        with source:
            yield source

    def list_changed_extents(self, since: Snapshot, snapshot: Snapshot) -> Iterator[Extent]:
        """As the cluster knows it of two snapshots of one image. A volume that was filled anew has got another one."""
        with self._doing(since, snapshot):
            before, now = (self._store.get_snapshot(one) for one in (since, snapshot))
            if before.image != now.image:
                raise NotSupportedByBackend("Between the two snapshots the volume got another image.")
            with ImageSource(self._cluster, now.image, now.name) as source:
                return iter(list(source.changes(before.name)))

    # connections

    def initialize_connection(self, volume: Volume, connector: Connector) -> ConnectionInfo:
        """Say how the image is opened, and note who was told; a host without Ceph gets an export."""
        with self._doing(volume):
            self._store.get(volume.storage_name)
            if self._exporting.is_for(connector):
                return self._exporting.connect(volume, connector)
            return self._connections.add(volume, connector)

    def terminate_connection(self, volume: Volume, connector: Connector | None) -> None:
        """Forget who was told."""
        with self._doing(volume):
            self._exporting.leave(volume.storage_name, connector)
            self._connections.remove(volume.storage_name, connector)

    def ensure_export(self, volume: Volume) -> None:
        """Ceph serves its images always; what is noted may have been lost, and an export daemon may have died."""
        with self._doing(volume):
            self._store.get(volume.storage_name)
            self._connections.restore(volume.storage_name)
            self._exporting.ensure(volume)

    def _refuse_exported(self, name: str) -> None:
        if self._connections.any_of(name):
            raise BackendInUse(f"{name} is exported to a client; it has to be detached first.")

    def list_objects(self) -> Iterator[str]:
        """Every volume and snapshot, half-made ones with a trailing `.tmp`; not the hidden images that clones stand on."""
        found: set[str] = set()
        scanned = self._store.scan()
        known = {names.origin(image) for image, _, _ in scanned}
        for image, _, snapshots in scanned:
            if names.is_volume(image):
                found.add(image)
            elif image.endswith(names.TMP) and not image.endswith(names.REPLICA + names.TMP):
                found.add(names.origin(image) + names.TMP)
            if not image.startswith("volume-") or names.is_discarded(image):
                continue
            for snapshot, _ in snapshots:
                if names.is_snapshot(snapshot):
                    found.add(snapshot)
                    self._seen[snapshot] = image
                elif (clone := names.clone_of(snapshot)) is not None and names.is_volume(clone) and clone not in known:
                    found.add(clone + names.TMP)
        yield from sorted(found)

    # examination

    def size_of(self, storage_name: str) -> int:
        """What the image's header says of it or of its snapshot."""
        if names.is_snapshot(names.plain(storage_name)):
            for _ in range(2):
                image = self._store.info(self._seen.get(storage_name, ""))
                sizes = dict(image.snapshots) if image is not None else {}
                if storage_name in sizes:
                    return sizes[storage_name]
                list(self.list_objects())
        elif (image := self._store.info(storage_name)) is not None:
            return image.size
        raise BackendNotFound(f"The pool has no {storage_name}.")

    def list_exports(self) -> Iterator[str]:
        """As is noted in the pool."""
        return self._connections.names()

    def list_replicas(self) -> Iterator[str]:
        """What the other cluster has."""
        return iter(()) if self._replicas is None else self._replicas.listed()

    # replicas, and the other place

    def update_replica(self, volume: Volume) -> ModelUpdate:
        """Write there what changed here since the last time."""
        with self._doing(volume):
            return self._replicating().update(volume)

    def delete_replica(self, volume: Volume) -> None:
        """Remove it with its snapshots; there is none without a `replication_device`."""
        with self._doing(volume):
            if self._replicas is not None:
                self._replicas.delete(volume)

    def create_replica_test_volume(
        self, volume: Volume, source: Volume, *, rewrite: Rewrite | None = None
    ) -> ModelUpdate:
        """Copy the replica's last moment."""
        with self._doing(volume, source):
            replica, moment = self._replicating().moment_of(source)
            size, record = dict(replica.snapshots)[moment], Record(content=f"replica:{source.id}")
            if not self._is_made(volume, record.content):

                def build(new: str) -> None:
                    self._create(new, volume, max(size, volume.size_bytes), record)
                    self._replicating().fetch(replica, moment, new)
                    if rewrite is not None:
                        rewrite_beginning(self._cluster, new, rewrite)

                self._store.make(volume.storage_name, build)
        return {}

    def _replicating(self) -> Replicas:
        if self._replicas is None:
            raise NotSupportedByBackend(
                f"Backend {self._settings.name} keeps no replicas; replication_device is not set in its section."
            )
        return self._replicas

    def replication_targets(self) -> list[str]:
        """The backend_id of the `replication_device`, where there is one."""
        return [self._target.backend_id] if self._target is not None and self._target.backend_id else []

    def use_backend(self, backend_id: str | None) -> None:
        """Change the clusters, unless it is there already."""
        if backend_id == self._here.backend_id:
            return
        if backend_id is not None and backend_id not in self.replication_targets():
            raise InvalidReplicationTarget(f"Backend {self._settings.name} has no replication target {backend_id}.")
        assert self._there is not None
        self._exporting.end()
        self.close()
        self._work_at(self._there, self._here)

    def promote_replica(self, volume: Volume) -> ModelUpdate:
        """Rename it, once it is as it was when last in step."""
        with self._doing(volume):
            promote(self._here, volume)
        return {}

    # what belongs to nobody

    def manage_existing_get_size(self, thing: Volume | Snapshot, reference: Reference) -> int:
        """By the image's header."""
        with self._doing(thing):
            if isinstance(thing, Snapshot):
                return managing.gib_of(managing.find_snapshot(self._store, thing, reference).size)
            return managing.gib_of(managing.find(self._store, reference).size)

    def manage_existing(self, volume: Volume, reference: Reference) -> ModelUpdate:
        """Rename the image."""
        with self._doing(volume):
            managing.take(self._cluster, self._store, volume.storage_name, volume.size_bytes, reference)
        return {}

    def unmanage(self, volume: Volume) -> None:
        """Rename the image, or leave a clone of it where it has snapshots."""
        with self._doing(volume):
            self._refuse_exported(volume.storage_name)
            image = self._store.find(volume.storage_name)
            if image is not None:
                managing.release(self._cluster, self._store, image)

    def get_manageable_volumes(self) -> Iterator[Manageable]:
        """The images of other names."""
        return managing.volumes(self._store)

    def manage_existing_snapshot(self, snapshot: Snapshot, reference: Reference) -> ModelUpdate:
        """Rename the snapshot."""
        with self._doing(snapshot):
            managing.take_snapshot(self._cluster, self._store, snapshot, reference)
        return {}

    def unmanage_snapshot(self, snapshot: Snapshot) -> None:
        """Rename the snapshot."""
        with self._doing(snapshot):
            managing.release_snapshot(self._cluster, self._store, snapshot)

    def get_manageable_snapshots(self) -> Iterator[Manageable]:
        """The snapshots of other names that volumes have."""
        return managing.snapshots(self._store)

    @contextlib.contextmanager
    def _doing(self, *objects: Volume | Snapshot) -> Iterator[None]:
        """Holds the objects, and the volumes of snapshots, against other threads."""
        held = [names.plain(thing.storage_name) for thing in objects]
        held += [f"volume-{thing.volume_id}" for thing in objects if isinstance(thing, Snapshot)]
        with self._held.hold(*held):
            yield
