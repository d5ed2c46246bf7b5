"""The directory driver: volumes are files below a directory, on any filesystem.

The verbs are in the order of the contract. They name what is asked of `Lineage`, hold the objects they touch, and
turn errors of the filesystem into the contract's kinds.
"""

import contextlib
import functools
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
from oslo_config import cfg

from breezeblock.config import BackendSettings
from breezeblock.drivers.contract import (
    AdoptedFile,
    BlockSource,
    Capabilities,
    ConnectionInfo,
    Connector,
    Extent,
    Fill,
    FillBehind,
    Manageable,
    NbdSource,
    Reference,
    Rewrite,
    who_connects,
)
from breezeblock.drivers.directory import capacity, durable, images, managing, reflink, repair, reverting
from breezeblock.drivers.directory.adoption import Adoption
from breezeblock.drivers.directory.bases import Bases
from breezeblock.drivers.directory.changes import changed, places
from breezeblock.drivers.directory.content import ChainSource, RawTarget
from breezeblock.drivers.directory.exporting import Exporting, Exports, disk_file
from breezeblock.drivers.directory.hydration import Hydration
from breezeblock.drivers.directory.lineage import DISK, Lineage, empty_disk, grow
from breezeblock.drivers.directory.replicas import Replicas
from breezeblock.drivers.directory.store import Record, Store
from breezeblock.drivers.held import Held
from breezeblock.errors import BackendInUse, ConfigError, NotSupportedByBackend
from breezeblock.exports import iscsi, listing
from breezeblock.exports.connection import connection_of, is_writable
from breezeblock.exports.iscsi import Access, IscsiTargets
from breezeblock.exports.nbd import NbdExports
from breezeblock.model.image import Image
from breezeblock.model.pool import Pool
from breezeblock.model.snapshot import Snapshot
from breezeblock.model.volume import ModelUpdate, Volume

LOG = logging.getLogger(__name__)

OPTIONS: list[cfg.Opt] = [
    cfg.StrOpt("directory_path", help="Where the volumes lie. Default: volumes in the data directory."),
    cfg.StrOpt("pool_name", help="Name of the pool. Default: the section's name."),
    cfg.StrOpt("replication_device", help="A second directory, on another disk, that replicas are kept in."),
    cfg.IntOpt("directory_max_chain_depth", default=16, min=1, help="Bases below a volume before it is flattened."),
    cfg.StrOpt(
        "directory_reflink",
        default="auto",
        choices=["auto", "never"],
        help="Share blocks by reflink where the filesystem can, or use overlays on every filesystem.",
    ),
    *iscsi.OPTIONS,
]


def open_driver(settings: BackendSettings, open_exports: Callable[[Path], Exports] | None = None) -> "DirectoryDriver":
    """The driver of one section. `open_exports` makes the exports of a run directory (for tests of crashes)."""
    return DirectoryDriver(settings, settings.read(OPTIONS), open_exports)


class DirectoryDriver:
    """One directory of volumes, snapshots and bases."""

    def __init__(
        self,
        settings: BackendSettings,
        options: Mapping[str, Any],
        open_exports: Callable[[Path], Exports] | None = None,
    ) -> None:
        self._settings = settings
        self._options = options
        root = Path(options["directory_path"] or settings.data_dir / "volumes")
        self._store = Store(root.absolute())
        self._bases = Bases(self._store)
        run_dir = settings.data_dir / "run" / "nbd" / settings.name
        self._run_dir = run_dir
        self._portal = iscsi.portal(options)
        targets = IscsiTargets(settings.data_dir / "run" / "iscsi", self._portal)
        self._exporting = Exporting(functools.partial(open_exports or NbdExports, run_dir), targets)
        self._max_depth: int = options["directory_max_chain_depth"]
        self._lineage = Lineage(self._store, self._bases, self._exporting, self._max_depth)
        self._hydration = Hydration(self._store, self._bases, self._lineage, self._exporting)
        self._adoption = Adoption(self._store, self._bases, self._lineage, self._exporting)
        self._held = Held()
        self._settling = Held()  # apart: whoever settles an image holds its users, one after the other
        device = options["replication_device"]
        self._replicas = (
            Replicas(Path(device).absolute(), self._lineage, self._bases, self._max_depth) if device else None
        )
        self.capabilities = Capabilities(
            clone_image=True,
            replication=bool(device),
            online_extend=True,
            multiattach=True,
            thin=True,
            thick=True,
            consistent_group_snapshots=True,
            encryption=True,
        )

    def close(self) -> None:
        """Give up the ownership of the directory; export daemons go on serving."""
        self._exporting.close()
        self._store.close()
        if self._replicas is not None:
            self._replicas.close()

    # setup and capacity

    def check_for_setup_error(self) -> None:
        """Make the directories, look for reflink, and mend what a process left that was killed."""
        if self._options["target_protocol"] == "iscsi":
            iscsi.installed()
        root = self._store.root
        try:
            self._store.prepare()
            shares = reflink.is_shared_by(root / "tmp")
            owner = self._store.own()
        except OSError as error:
            raise ConfigError(
                f"The directory {root} of backend {self._settings.name} is not usable: {error}"
            ) from error
        self._exporting.prepare()
        self._lineage.shares_blocks = shares and self._options["directory_reflink"] == "auto"
        if self._replicas is not None:
            self._replicas.prepare(apart_from=root)
        if owner:
            with durable.storage_errors("mend what was cut short"):
                repair.mend(self._store, self._bases, self._lineage)

    def get_volume_stats(self) -> list[Pool]:
        """The one pool, with the capacity of the directory's filesystem."""
        with durable.storage_errors("measure its capacity"):
            return [capacity.pool(self._settings, self._options, self._store.root, self.capabilities)]

    # volumes

    def create_volume(self, volume: Volume) -> ModelUpdate:
        """Make a sparse raw file, or one with all its room (`admin_metadata` provisioning: thick)."""
        thick = volume.admin_metadata.get("provisioning") == "thick"
        with self._doing("create a volume", volume):
            if self._store.read(volume.storage_name) is None:
                record = Record(
                    name=volume.storage_name, size=volume.size_bytes, content="empty", disk=DISK, thick=thick
                )
                self._lineage.make(record, empty_disk(volume.size_bytes, thick))
        return {}

    def delete_volume(self, volume: Volume) -> None:
        """Remove the volume; what stands on its content lives on. Raises `BackendInUse` while it is exported."""
        with self._doing("delete a volume", volume):
            self._refuse_exported(volume.storage_name)
            self._lineage.remove(volume.storage_name)

    def extend_volume(self, volume: Volume, new_size: int) -> None:
        """Grow to `new_size` GiB. An exported volume is cut from its clients for the moment, who connect again."""
        with self._doing("extend a volume", volume):
            self._extend(volume, new_size << 30)

    def _extend(self, volume: Volume, size: int) -> None:
        record = self._lineage.current(volume.storage_name)
        if record.size >= size:
            return
        exported = self._exporting.is_exported(record.name)
        if exported:
            self._exporting.pause(record.name)
        try:
            self._lineage.tidy(record)
            if record.disk is not None:
                grow(self._store.disk(record), record.format, size, record.thick)
            self._store.write(msgspec.structs.replace(record, size=size))
        finally:
            if exported:
                self._export(volume)

    # snapshots and clones

    def create_snapshot(self, snapshot: Snapshot, volume: Volume) -> ModelUpdate:
        """Keep the volume's content of this moment, in constant time."""
        with self._doing("snapshot a volume", snapshot, volume):
            if self._store.read(snapshot.storage_name) is None:
                size = self._lineage.current(volume.storage_name).size
                self._lineage.derive(
                    volume.storage_name, snapshot.storage_name, f"volume:{volume.id}", size, with_disk=False
                )
        return {}

    def create_group_snapshot(self, pairs: Sequence[tuple[Snapshot, Volume]]) -> dict[str, ModelUpdate]:
        """Keep the content of volumes that nobody has open meanwhile. Raises `BackendInUse` while one is exported."""
        with self._doing("snapshot a group", *(thing for pair in pairs for thing in pair)):
            names = [snapshot.storage_name for snapshot, _ in pairs]
            if all(self._store.read(name) is not None for name in names):
                return {}
            for _, volume in pairs:
                self._refuse_exported(volume.storage_name)
            for name in names:
                self._lineage.remove(name)
            try:
                for snapshot, volume in pairs:
                    size = self._lineage.current(volume.storage_name).size
                    content = f"volume:{volume.id}"
                    self._lineage.derive(volume.storage_name, snapshot.storage_name, content, size, with_disk=False)
            except Exception:
                for name in names:
                    self._lineage.remove(name)
                raise
        return {}

    def delete_snapshot(self, snapshot: Snapshot) -> None:
        """Remove the snapshot; volumes made of it live on."""
        with self._doing("delete a snapshot", snapshot):
            self._lineage.remove(snapshot.storage_name)

    def revert_to_snapshot(self, volume: Volume, snapshot: Snapshot) -> None:
        """Give the volume a new file that reads as the snapshot does, in constant time."""
        with self._doing("revert a volume", volume, snapshot):
            self._refuse_exported(volume.storage_name)
            reverting.revert(self._store, self._bases, self._lineage, volume.storage_name, snapshot.storage_name)

    def create_volume_from_snapshot(
        self, volume: Volume, snapshot: Snapshot, *, rewrite: Rewrite | None = None
    ) -> ModelUpdate:
        """Make a volume of a snapshot, in constant time."""
        return self._derive(volume, snapshot, f"snapshot:{snapshot.id}", rewrite)

    def create_cloned_volume(self, volume: Volume, source: Volume, *, rewrite: Rewrite | None = None) -> ModelUpdate:
        """Make a volume of another, in constant time."""
        return self._derive(volume, source, f"volume:{source.id}", rewrite)

    def _derive(self, volume: Volume, source: Volume | Snapshot, content: str, rewrite: Rewrite | None) -> ModelUpdate:
        with self._doing("copy a volume or snapshot", volume, source):
            if not self._is_made(volume, content):
                size = max(volume.size_bytes, self._lineage.current(source.storage_name).size)
                self._lineage.derive(source.storage_name, volume.storage_name, content, size, rewrite=rewrite)
        return {}

    def _is_made(self, volume: Volume, content: str) -> bool:
        """Whether the volume is there with this content; what else lies under its name is removed."""
        record = self._store.read(volume.storage_name)
        if record is None:
            return False
        if record.content == content:
            self._extend(volume, volume.size_bytes)
            return True
        LOG.warning("%s holds %s instead of %s; it is made anew", record.name, record.content, content)
        self._refuse_exported(record.name)
        self._lineage.remove(record.name)
        return False

    def clone_image(self, volume: Volume, image: Image, path: str | None) -> tuple[ModelUpdate, bool]:
        """Make a volume of an image's file: share its blocks, or stand on it where it is qcow2."""
        content = f"image:{image.id}:{image.checksum or ''}"
        base = images.base_name(image)
        with self._doing("adopt an image", volume), self._held.hold(base):
            if not self._is_made(volume, content):
                images.adopt(self._store, self._lineage, volume, image, path, content)
        return {}, True

    # content

    def copy_image_to_volume(self, volume: Volume, content: str, fill: Fill) -> None:
        """Fill a volume, once for each `content`: into a hidden file that takes the disk's place when it is whole."""
        with self._filled(volume, content, fill, None) as is_new:
            if is_new:
                self._lineage.end_fill(volume.storage_name, content)

    @contextlib.contextmanager
    def _filled(self, volume: Volume, content: str, fill: Fill, length: int | None) -> Iterator[bool]:
        """In the block, what `fill` wrote is in the hidden file of `length` bytes, to be published; unless there is nothing
        to be done, which is False."""
        with self._held.hold(volume.storage_name):
            with self._doing("fill a volume", volume):
                record = self._lineage.current(volume.storage_name)
                if record.content == content and record.hydrating is None:
                    yield False
                    return
                self._refuse_exported(record.name)
                file, kept = self._lineage.begin_fill(record, content, length)
            try:
                note = functools.partial(self._lineage.keep, record.name)
                with contextlib.closing(RawTarget(file, length or record.size, kept, note)) as target:
                    fill(target)
                    target.sync()
            except Exception:
                durable.remove_file(file)
                raise
            with self._doing("fill a volume", volume):
                yield True

    def adopt_image(self, volume: Volume, content: str, file: AdoptedFile, fill: Fill) -> None:
        """Fetch the image's file, and let the volume be an overlay of it."""
        with self._filled(volume, content, fill, file.length) as is_new:
            if is_new:
                self._adoption.publish(volume.storage_name, content, file.virtual_size)

    def settle_image(self, storage_name: str) -> None:
        """Copy the image into a raw base, and move those to it who stand on the image."""
        with self._settling.hold(storage_name):
            self._adoption.settle(storage_name, self._held.hold)

    def adopted_below(self, volume: Volume) -> str | None:
        """As the record of its base says."""
        with durable.storage_errors("look at a volume"):
            return self._adoption.below(volume.storage_name)

    def list_adopted(self) -> Iterator[str]:
        """As the records of the bases say."""
        return self._adoption.names()

    @contextlib.contextmanager
    def open_volume(self, volume: Volume | Snapshot) -> Iterator[BlockSource]:
        """Read a volume or snapshot through all its files. Raises `BackendInUse` for a volume that is exported."""
        with self._doing("open a volume or snapshot", volume):
            self._refuse_exported(volume.storage_name)
            record = self._lineage.current(volume.storage_name)
            self._lineage.refuse_hydrating(record)
            source = ChainSource(self._bases.links(record), record.size)
        with source:
            yield source

    def list_changed_extents(self, since: Snapshot, snapshot: Snapshot) -> Iterator[Extent]:
        """By where their bytes lie; nothing is read of them."""
        with self._doing("compare two snapshots", since, snapshot):
            records = [self._lineage.current(one.storage_name) for one in (since, snapshot)]
            with ExitStack() as stack:
                before, now = (stack.enter_context(ChainSource(self._bases.links(one), one.size)) for one in records)
                mapped, size = self._lineage.shares_blocks, now.size
                old, new = (list(places(one, size, mapped)) for one in (before, now))
                if mapped and list(places(before, size, mapped)) != old:  # what it left may be the other's now
                    raise NotSupportedByBackend("The filesystem moves the blocks of the files right now.")
        return changed(old, new)

    # hydration

    def create_hydrating_volume(self, volume: Volume, content: str, source: NbdSource) -> ModelUpdate:
        """Make an empty overlay over the source."""
        with self._doing("create a volume", volume):
            if not self._is_made(volume, content):
                self._hydration.create(volume.storage_name, volume.size_bytes, content, source)
        return {}

    def hydrate_volume(self, volume: Volume, fill: FillBehind) -> None:
        """Fill a raw file beside the overlay, then put it below; or what another volume of this content has brought. An
        export is not interrupted."""
        with self._doing("hydrate a volume", volume):
            record = self._lineage.current(volume.storage_name)
            if record.hydrating is None or self._hydration.join(record):
                return
            file, kept = self._hydration.landing(record)

        def note(progress: bytes) -> None:
            with self._doing("hydrate a volume", volume):
                self._lineage.keep(record.name, progress)

        with contextlib.closing(RawTarget(file, record.hydrating.size, kept, note)) as target:
            fill(target)
            target.sync()
            with self._doing("hydrate a volume", volume):
                record = self._lineage.current(volume.storage_name)
                if record.hydrating is not None:
                    self._hydration.settle(record)

    def fence_volume(self, volume: Volume) -> None:
        """Withdraw the export for good; the overlay stays."""
        with self._doing("fence a volume", volume):
            record = self._lineage.current(volume.storage_name)
            if record.hydrating is not None:
                self._hydration.fence(record)

    def list_hydrating(self) -> Iterator[str]:
        """As the records say."""
        for name in self._store.published("volumes"):
            record = self._store.read(name)
            if record is not None and record.hydrating is not None:
                yield name

    # exports

    def initialize_connection(self, volume: Volume, connector: Connector) -> ConnectionInfo:
        """Export the volume as the backend does, or over NBD for who asks for that, and tell where.

        Raises `BackendInUse` for a volume that others have open in the other way.
        """
        with self._doing("export a volume", volume):
            record = self._lineage.current(volume.storage_name)
            access = self._access(record, connector)
            if record.connected and (access is None) != (record.iscsi is None):
                way = "NBD" if record.iscsi is None else "iSCSI"
                raise BackendInUse(
                    f"{record.name} is connected over {way}, and has to be detached before it can be otherwise."
                )
            connected = dict.fromkeys((*record.connected, who_connects(connector)))
            self._note_connected(record, connected, access)
            return self._export(volume)

    def _access(self, record: Record, connector: Connector) -> Access | None:
        """How initiators open the volume, this one among them; None for who opens it over NBD."""
        if self._options["target_protocol"] != "iscsi" or connector.get("driver_volume_type") == "nbd":
            return None
        initiator = iscsi.initiator_of(connector)
        access = record.iscsi or iscsi.new_access(self._options["target_prefix"] + record.name)
        initiators = {**access.initiators, who_connects(connector): initiator}
        return msgspec.structs.replace(access, initiators=initiators)

    def terminate_connection(self, volume: Volume, connector: Connector | None) -> None:
        """Withdraw the export with the last connector; clients that are still on are cut."""
        with self._doing("withdraw an export", volume):
            record = self._store.read(volume.storage_name)
            connected = record.connected if record is not None and connector is not None else ()
            left = [one for one in connected if connector is None or one != who_connects(connector)]
            if not left:
                self._exporting.withdraw(volume.storage_name)
            if record is None:
                return
            access = record.iscsi if left else None
            if access is not None:
                staying = {who: one for who, one in access.initiators.items() if who in left}
                access = msgspec.structs.replace(access, initiators=staying)
            self._lineage.tidy(self._note_connected(self._lineage.current(record.name), left, access))
            if access is not None:
                self._export(volume)  # whose initiator has left is let in no more

    def _note_connected(self, record: Record, connected: Iterable[str], access: Access | None) -> Record:
        now = msgspec.structs.replace(record, connected=tuple(connected), iscsi=access)
        return record if now == record else self._store.write(now)

    def ensure_export(self, volume: Volume) -> None:
        """Serve the volume if it is not served; clients that are connected stay so."""
        with self._doing("export a volume", volume):
            self._export(volume)

    def _export(self, volume: Volume) -> ConnectionInfo:
        name, writable = volume.storage_name, is_writable(volume)
        exported = self._exporting.is_exported(name)
        record = self._lineage.current(name)
        if record.hydrating is not None:
            disk = self._hydration.disk(record)
        else:
            disk = disk_file(self._lineage.links(name) if exported else self._lineage.ready_to_export(name))
        if record.iscsi is None:
            return connection_of(self._exporting.export(name, disk, writable), volume)
        self._exporting.export_target(name, disk, record.iscsi, writable)
        return iscsi.connection_of(self._portal, record.iscsi, volume)

    def _refuse_exported(self, name: str) -> None:
        if self._exporting.is_exported(name):
            raise BackendInUse(f"{name} is exported to a client; it has to be detached first.")

    def list_objects(self) -> Iterator[str]:
        """Every volume and snapshot, half-made and half-removed ones with a trailing `.tmp`; not the hidden bases."""
        yield from self._store.published("volumes")
        yield from self._store.published("snapshots")
        for name in self._store.unfinished():
            if name.startswith(("volume-", "snapshot-")):
                yield f"{name}.tmp"

    # examination

    def size_of(self, storage_name: str) -> int:
        """What the topmost file holds: its length where it is raw, what its header says where it is qcow2."""
        with durable.storage_errors("measure a volume"):
            return self._lineage.measure(self._store.get(storage_name))

    def list_exports(self) -> Iterator[str]:
        """As the export daemons say."""
        return iter(listing.exported_names(self._run_dir))

    def list_replicas(self) -> Iterator[str]:
        """Every replica, half-made ones with a trailing `.tmp`."""
        return iter(self._replicas.names() if self._replicas is not None else ())

    # what belongs to nobody

    def manage_existing_get_size(self, thing: Volume | Snapshot, reference: Reference) -> int:
        """By the file's length, or by its header."""
        with self._doing("look at a file", thing):
            return managing.gib_of(managing.find(self._store, reference))

    def manage_existing(self, volume: Volume, reference: Reference) -> ModelUpdate:
        """Give the file its place among the volumes."""
        with self._doing("manage a file", volume):
            managing.take(self._store, self._lineage, volume.storage_name, volume.size_bytes, reference)
        return {}

    def unmanage(self, volume: Volume) -> None:
        """Leave the volume as a file in `unmanaged/`."""
        with self._doing("unmanage a volume", volume):
            self._refuse_exported(volume.storage_name)
            managing.release(self._store, self._bases, self._lineage, volume.storage_name)

    def get_manageable_volumes(self) -> Iterator[Manageable]:
        """The files in `unmanaged/`."""
        return managing.listed(self._store)

    def manage_existing_snapshot(self, snapshot: Snapshot, reference: Reference) -> ModelUpdate:
        """Give the file its place among the snapshots."""
        with self._doing("manage a file", snapshot):
            managing.take(self._store, self._lineage, snapshot.storage_name, snapshot.volume_size << 30, reference)
        return {}

    def unmanage_snapshot(self, snapshot: Snapshot) -> None:
        """Leave the snapshot as a file in `unmanaged/`."""
        with self._doing("unmanage a snapshot", snapshot):
            managing.release(self._store, self._bases, self._lineage, snapshot.storage_name)

    def get_manageable_snapshots(self) -> Iterator[Manageable]:
        """The same files: what they were is not known."""
        return managing.listed(self._store)

    # replicas

    def update_replica(self, volume: Volume) -> ModelUpdate:
        """Bring the replica in step with the volume."""
        with self._doing("refresh a replica", volume):
            return self._replicating().update(volume.storage_name, self._exporting.is_exported(volume.storage_name))

    def delete_replica(self, volume: Volume) -> None:
        """Remove the replica; gone is done."""
        with self._doing("delete a replica", volume):
            self._replicating().delete(volume.storage_name)

    def create_replica_test_volume(
        self, volume: Volume, source: Volume, *, rewrite: Rewrite | None = None
    ) -> ModelUpdate:
        """Make a volume of the replica of `source`, as it was when last in step."""
        content = f"replica:{source.id}"
        with self._doing("copy a replica", volume, source):
            replicas = self._replicating()
            replicas.require(source.storage_name)
            if not self._is_made(volume, content):
                replicas.copy_to(source.storage_name, volume, content, rewrite)
        return {}

    def _replicating(self) -> Replicas:
        if self._replicas is None:
            raise NotSupportedByBackend(
                f"Backend {self._settings.name} keeps no replicas; replication_device is not set in its section."
            )
        return self._replicas

    @contextlib.contextmanager
    def _doing(self, what: str, *objects: Volume | Snapshot) -> Iterator[None]:
        """Holds the objects against other threads and turns errors into the contract's kinds."""
        names = [thing.storage_name for thing in objects]
        for name in names:
            self._store.home(name)
        with self._held.hold(*names), durable.storage_errors(what):
            yield
