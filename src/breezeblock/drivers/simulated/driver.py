"""The simulated driver: a small storage in a directory, with everything a storage can do, for tests and to learn from.

It keeps its promises with real bytes, so it can stand in for a storage anywhere; only a snapshot or clone takes as long
as its data is large (it is a copy), where a storage worth its name takes no time.

To write a driver, begin with `examples/acme-driver` (docs/drivers.md), and look here how the optional protocols are kept;
`@verb` and `faults.py` are for tests alone. Each verb has the same three lines: what is there already, make it under
another name, publish.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec
from oslo_config import cfg

from breezeblock.config import BackendSettings
from breezeblock.drivers.contract import (
    REWRITTEN_BYTES,
    BlockSource,
    Capabilities,
    ConnectionInfo,
    Connector,
    Extent,
    Fill,
    Manageable,
    Reference,
    Rewrite,
    who_connects,
)
from breezeblock.drivers.simulated.faults import Call, Faults, verb
from breezeblock.drivers.simulated.sparse import SparseFile, differences, open_sparse
from breezeblock.drivers.simulated.store import Record, Store
from breezeblock.errors import (
    BackendInUse,
    BackendNotFound,
    ConfigError,
    InvalidInput,
    InvalidReplicationTarget,
    NotSupportedByBackend,
)
from breezeblock.model import clock
from breezeblock.model.image import Image
from breezeblock.model.pool import Pool
from breezeblock.model.snapshot import Snapshot
from breezeblock.model.volume import ModelUpdate, Volume

GIB = 1 << 30

OPTIONS: list[cfg.Opt] = [
    cfg.StrOpt("simulated_path", help="Directory of the storage. Default: simulated-<backend> in the data directory."),
    cfg.ListOpt("pool_name", help="Names of the pools. Default: one, of the backend's name."),
    cfg.FloatOpt("simulated_capacity_gb", default=1000.0, min=0.0, help="Capacity of each pool in GiB."),
    cfg.StrOpt("simulated_provider_location", help="What provider_location says of each volume made."),
    cfg.BoolOpt("simulated_clone_image", default=False, help="Make volumes of raw images without the ladder's help."),
    cfg.BoolOpt("simulated_replication", default=False, help="Keep replicas of volumes."),
    cfg.StrOpt(
        "simulated_target",
        help="The backend_id by which the directory of replicas may be failed over to; none by default.",
    ),
    cfg.BoolOpt("simulated_revert", default=True, help="Revert volumes to snapshots without the service's help."),
    cfg.BoolOpt("simulated_group_snapshots", default=False, help="Take snapshots of groups at one moment."),
    cfg.BoolOpt("simulated_encryption", default=True, help="Hold encrypted volumes."),
    cfg.FloatOpt("simulated_latency", default=0.0, min=0.0, help="Seconds that each verb takes longer."),
    cfg.ListOpt("simulated_failures", default=[], help="Next calls that fail: VERB:KIND[:TIMES], ..."),
    cfg.ListOpt("simulated_kill_points", default=[], help="Where the process kills itself, once: VERB:before|after."),
]


def open_driver(settings: BackendSettings) -> "SimulatedDriver":
    """The entry point. Reads options, touches nothing yet; `check_for_setup_error` is called next."""
    return SimulatedDriver(settings)


class SimulatedDriver:
    """A storage of sparse files. See `contract.Driver` for what each verb promises."""

    def __init__(self, settings: BackendSettings) -> None:
        options = settings.read(OPTIONS)
        self.settings = settings
        self.root = Path(options["simulated_path"] or settings.data_dir / f"simulated-{settings.name}")
        self.places = (Store(self.root / "objects"), Store(self.root / "replicas"))
        self.volumes, self.replicas = self.places
        fails_over = options["simulated_replication"] and settings.backend_slots == 1
        self.target: str | None = options["simulated_target"] if fails_over else None
        self.unmanaged = Store(self.root / "unmanaged")
        self.images = self.root / "images"
        self.pools: list[str] = options["pool_name"] or [settings.name]
        self.pool_bytes = int(options["simulated_capacity_gb"] * GIB)
        self.provider_location: str | None = options["simulated_provider_location"]
        self.reverts: bool = options["simulated_revert"]
        self.capabilities = Capabilities(
            clone_image=options["simulated_clone_image"],
            replication=options["simulated_replication"],
            failover=self.target is not None,
            online_extend=True,
            multiattach=True,
            shared=True,
            consistent_group_snapshots=options["simulated_group_snapshots"],
            encryption=options["simulated_encryption"],
        )
        self.faults = Faults(
            self.root / "faults",
            options["simulated_latency"],
            options["simulated_failures"],
            options["simulated_kill_points"],
        )

    @property
    def calls(self) -> list[Call]:
        """Every call since the driver was opened, in order."""
        return self.faults.calls

    # What the storage is ---------------------------------------------------------------------------------------------

    def check_for_setup_error(self) -> None:
        """Say at start what would go wrong later. Whatever is set up here may be there already."""
        try:
            for directory in (
                self.volumes.root,
                self.replicas.root,
                self.unmanaged.root,
                self.images,
                self.faults.directory,
            ):
                directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise ConfigError(f"Backend {self.settings.name} cannot use {self.root}: {error.strerror}.") from error
        if not os.access(self.volumes.root, os.W_OK):
            raise ConfigError(f"Backend {self.settings.name} may not write to {self.root}.")

    @verb
    def get_volume_stats(self) -> list[Pool]:
        """Measured, not remembered: other processes use the storage too."""
        return [self._stats(pool) for pool in self.pools]

    @verb
    def list_objects(self) -> Iterator[str]:
        """Replicas are not listed: they lie elsewhere, under names of their own."""
        return iter(self.volumes.objects())

    # Volumes ---------------------------------------------------------------------------------------------------------

    @verb
    def create_volume(self, volume: Volume) -> ModelUpdate:
        """Two writes to stable storage (record, directory), however large: nothing but a length is kept."""
        if self.volumes.find(volume.storage_name) is None:
            with self.volumes.building(volume.storage_name, self._record(volume, made_of="")):
                pass
        return self._model_update()

    @verb
    def delete_volume(self, volume: Volume) -> None:
        """Files share nothing, so the order of deletion does not matter."""
        record = self.volumes.find(volume.storage_name)
        if record and record.exported_to:
            raise BackendInUse(f"{volume.storage_name} is connected to {', '.join(record.exported_to)}.")
        self.volumes.delete(volume.storage_name)

    @verb
    def extend_volume(self, volume: Volume, new_size: int) -> None:
        """Grows the file under those who have it open, too."""
        self.volumes.extend(volume.storage_name, new_size * GIB)

    @verb
    def copy_image_to_volume(self, volume: Volume, content: str, fill: Fill) -> None:
        """`fill` writes beside the volume, which stays as it was until the new content is whole and synced."""
        record = self.volumes.get(volume.storage_name)
        if record.made_of == content:
            self.volumes.sweep(volume.storage_name)
            return
        if record.exported_to:
            raise BackendInUse(f"{volume.storage_name} is connected, and so is not filled.")
        filled = msgspec.structs.replace(record, made_of=content)
        with self.volumes.building(volume.storage_name, filled, self._room(record.pool)) as target:
            fill(target)

    @verb
    def open_volume(self, volume: Volume | Snapshot) -> AbstractContextManager[BlockSource]:
        """Fails where the block is entered, should the volume not be there."""
        return self.volumes.open(volume.storage_name)

    # Snapshots and copies --------------------------------------------------------------------------------------------

    @verb
    def create_snapshot(self, snapshot: Snapshot, volume: Volume) -> ModelUpdate:
        """A snapshot is an object like a volume. Once there it is never made again: the moment has passed."""
        if self.volumes.find(snapshot.storage_name) is None:
            self._snapshot(snapshot, volume)
        return {}

    def _snapshot(self, snapshot: Snapshot, volume: Volume) -> None:
        source = self.volumes.get(volume.storage_name)
        record = Record(size=source.size, pool=source.pool, made_of=f"volume:{volume.id}")
        with self.volumes.open(volume.storage_name) as content:
            self._copy(content, snapshot.storage_name, record)

    @verb
    def create_group_snapshot(self, pairs: Sequence[tuple[Snapshot, Volume]]) -> dict[str, ModelUpdate]:
        """All or none: where only some are there, their moment has passed without the others."""
        names = [snapshot.storage_name for snapshot, _ in pairs]
        if not all(self.volumes.find(name) for name in names):
            for name in names:
                self.volumes.delete(name)
            try:
                for snapshot, volume in pairs:
                    self._snapshot(snapshot, volume)
            except Exception:
                for name in names:
                    self.volumes.delete(name)
                raise
        return {}

    @verb
    def delete_snapshot(self, snapshot: Snapshot) -> None:
        """As with volumes, nothing hangs on it."""
        self.volumes.delete(snapshot.storage_name)

    @verb
    def revert_to_snapshot(self, volume: Volume, snapshot: Snapshot) -> None:
        """Built in the slot not in use, like anything that takes the place of something."""
        if not self.reverts:
            raise NotSupportedByBackend("simulated_revert is off.")
        record = self.volumes.get(volume.storage_name)
        if record.exported_to:
            raise BackendInUse(f"{volume.storage_name} is connected, and so is not reverted.")
        made = msgspec.structs.replace(record, made_of=f"reverted:{snapshot.id}")
        with self.volumes.open(snapshot.storage_name) as content:
            self._copy(content, volume.storage_name, made)

    @verb
    def list_changed_extents(self, since: Snapshot, snapshot: Snapshot) -> Iterator[Extent]:
        """Both are read and compared: a storage worth its name knows."""
        with self.volumes.open(since.storage_name) as before, self.volumes.open(snapshot.storage_name) as now:
            return iter(list(differences(before, now)))

    @verb
    def create_volume_from_snapshot(
        self, volume: Volume, snapshot: Snapshot, *, rewrite: Rewrite | None = None
    ) -> ModelUpdate:
        """The record says which snapshot it was made of, so a second call knows it is done."""
        return self._make_of(volume, f"snapshot:{snapshot.id}", self.volumes.open(snapshot.storage_name), rewrite)

    @verb
    def create_cloned_volume(self, volume: Volume, source: Volume, *, rewrite: Rewrite | None = None) -> ModelUpdate:
        """As from a snapshot."""
        return self._make_of(volume, f"volume:{source.id}", self.volumes.open(source.storage_name), rewrite)

    @verb
    def migrate_volume(self, volume: Volume, host: str) -> ModelUpdate:
        """Between pools of this storage: what is written differs in one word."""
        backend, _, pool = host.partition("#")
        if backend != self.settings.backend or pool not in self.pools:
            raise NotSupportedByBackend(f"{host} is no pool of this storage.")
        record = self.volumes.get(volume.storage_name)
        if record.pool != pool:
            self.volumes.put(volume.storage_name, msgspec.structs.replace(record, pool=pool))
        return {}

    # Connections -----------------------------------------------------------------------------------------------------

    @verb
    def initialize_connection(self, volume: Volume, connector: Connector) -> ConnectionInfo:
        """A file needs no export; the record notes who uses it, so that deletion is refused also after a restart."""
        record = self.volumes.get(volume.storage_name)
        users = tuple(dict.fromkeys([*record.exported_to, who_connects(connector)]))
        if users != record.exported_to:
            self.volumes.put(volume.storage_name, msgspec.structs.replace(record, exported_to=users))
        path = self.volumes.content(volume.storage_name, record)
        return {"driver_volume_type": "local", "data": {"device_path": str(path), "access_mode": "rw"}}

    @verb
    def terminate_connection(self, volume: Volume, connector: Connector | None) -> None:
        """None stands for everybody."""
        record = self.volumes.find(volume.storage_name)
        if record is None:
            return
        users = tuple(user for user in record.exported_to if connector and user != who_connects(connector))
        if users != record.exported_to:
            self.volumes.put(volume.storage_name, msgspec.structs.replace(record, exported_to=users))

    @verb
    def ensure_export(self, volume: Volume) -> None:
        """Nothing runs for an export here, so nothing can have stopped; that the volume is there is all to see to."""
        self.volumes.get(volume.storage_name)

    # Optional: images (contract.ClonesImages) --------------------------------------------------------------------------

    @verb
    def clone_image(self, volume: Volume, image: Image, path: str | None) -> tuple[ModelUpdate, bool]:
        """Of an image that the storage holds itself, as raw file `images/<id>`, or of a raw file on this machine.

        Every reason to decline is said; it ends up in what `explain` prints.
        """
        if not self.capabilities.clone_image:
            raise NotSupportedByBackend("simulated_clone_image is off.")
        held = self.images / Path(image.id).name
        if held.is_file():
            path = str(held)
        elif path is None:
            raise NotSupportedByBackend("The image lies neither on the storage nor on this machine.")
        elif image.disk_format not in {"raw", "iso"}:
            raise NotSupportedByBackend(f"Only raw images are cloned here, and this one is {image.disk_format}.")
        if not os.path.isfile(path):
            raise BackendNotFound(f"There is no file {path}.")
        size = os.stat(path).st_size
        return self._make_of(volume, f"image:{image.id}", open_sparse(Path(path), size)), True

    # Optional: replication (contract.Replicates) -----------------------------------------------------------------------

    @verb
    def update_replica(self, volume: Volume) -> ModelUpdate:
        """Made anew each time; until the new one is whole the old one stands."""
        self._require_replication()
        now = clock.now()
        source = self.volumes.get(volume.storage_name)
        record = Record(size=source.size, pool=source.pool, made_of=f"volume:{volume.id}@{now}")
        with (
            self.volumes.open(volume.storage_name) as content,
            self.replicas.building(volume.storage_name, record) as target,
        ):
            target.copy_from(content)
        if self.target:
            self._replicate_snapshots(volume)
        return {"replication_status": "enabled", "replicated_at": now}

    def _replicate_snapshots(self, volume: Volume) -> None:
        """They never change, so that what is there already is right."""
        here, there = (self._snapshots_of(volume, store) for store in (self.volumes, self.replicas))
        for name in here.keys() - there.keys():
            with self.volumes.open(name) as content, self.replicas.building(name, here[name]) as target:
                target.copy_from(content)
        for name in there.keys() - here.keys():
            self.replicas.delete(name)

    def _snapshots_of(self, volume: Volume, store: Store) -> dict[str, Record]:
        found = ((name, store.find(name)) for name in store.names() if name.startswith("snapshot-"))
        return {name: record for name, record in found if record and record.made_of == f"volume:{volume.id}"}

    @verb
    def delete_replica(self, volume: Volume) -> None:
        """Needs no volume: it may be gone already."""
        for name in self._snapshots_of(volume, self.replicas):
            self.replicas.delete(name)
        self.replicas.delete(volume.storage_name)

    @verb
    def create_replica_test_volume(
        self, volume: Volume, source: Volume, *, rewrite: Rewrite | None = None
    ) -> ModelUpdate:
        """Reads nothing of the source itself, which may be lost."""
        self._require_replication()
        return self._make_of(volume, f"replica:{source.id}", self.replicas.open(source.storage_name), rewrite)

    # Optional: the other place (contract.FailsOver) -------------------------------------------------------------------

    @verb
    def replication_targets(self) -> list[str]:
        """One at most."""
        return [self.target] if self.target else []

    @verb
    def use_backend(self, backend_id: str | None) -> None:
        """A replica is an object like a volume, so the two directories change their parts."""
        if backend_id is not None and backend_id not in self.replication_targets():
            raise InvalidReplicationTarget(f"Backend {self.settings.name} has no replication target {backend_id}.")
        self.volumes, self.replicas = self.places if backend_id is None else reversed(self.places)

    @verb
    def promote_replica(self, volume: Volume) -> ModelUpdate:
        """It is one already."""
        self.volumes.get(volume.storage_name)
        return self._model_update()

    # Optional: what belongs to nobody (contract.Manages) ---------------------------------------------------------------

    @verb
    def manage_existing_get_size(self, thing: Volume | Snapshot, reference: Reference) -> int:
        """As its record says."""
        return -(-self.unmanaged.get(_named(reference)).size // GIB)

    @verb
    def manage_existing(self, volume: Volume, reference: Reference) -> ModelUpdate:
        """A link under the new name, then the record that makes it known, then the old name goes."""
        record = self._record(volume, f"managed:{_named(reference)}")
        self._manage(volume.storage_name, record, reference)
        return self._model_update()

    @verb
    def unmanage(self, volume: Volume) -> None:
        """The other way."""
        record = self.volumes.find(volume.storage_name)
        if record and record.exported_to:
            raise BackendInUse(f"{volume.storage_name} is connected to {', '.join(record.exported_to)}.")
        self._unmanage(volume.storage_name, record)

    @verb
    def get_manageable_volumes(self) -> Iterator[Manageable]:
        """What nobody manages, be it a former snapshot."""
        return self._manageable()

    @verb
    def manage_existing_snapshot(self, snapshot: Snapshot, reference: Reference) -> ModelUpdate:
        """A snapshot is an object like a volume."""
        size, pool = snapshot.volume_size * GIB, self._pool_of(snapshot.host)
        self._manage(
            snapshot.storage_name, Record(size=size, pool=pool, made_of=f"managed:{_named(reference)}"), reference
        )
        return {}

    @verb
    def unmanage_snapshot(self, snapshot: Snapshot) -> None:
        """Nothing hangs on it."""
        self._unmanage(snapshot.storage_name, self.volumes.find(snapshot.storage_name))

    @verb
    def get_manageable_snapshots(self) -> Iterator[Manageable]:
        """As with volumes."""
        return self._manageable()

    def _manage(self, name: str, record: Record, reference: Reference) -> None:
        old, found = _named(reference), self.volumes.find(name)
        if found is None or found.made_of != record.made_of:
            taken = self.unmanaged.get(old)
            if taken.size > record.size:
                raise InvalidInput(f"{old} has {taken.size} bytes, more than {record.size}.")
            self.volumes.take_over(self.unmanaged, old, taken, name, msgspec.structs.replace(taken, **_words(record)))
        self.volumes.extend(name, record.size)
        self.unmanaged.delete(old)

    def _unmanage(self, name: str, record: Record | None) -> None:
        if record is not None and self.unmanaged.find(name) is None:
            self.unmanaged.take_over(self.volumes, name, record, name, record)
        self.volumes.delete(name)

    def _manageable(self) -> Iterator[Manageable]:
        for name in self.unmanaged.names():
            record = self.unmanaged.find(name)
            if record is not None:
                yield Manageable(reference={"source-name": name}, size=-(-record.size // GIB), safe=True)

    # Optional: examination (contract.Examinable) -----------------------------------------------------------------------

    @verb
    def size_of(self, storage_name: str) -> int:
        """The length of the file, whatever the record says."""
        record = self.volumes.get(storage_name)
        try:
            return self.volumes.content(storage_name, record).stat().st_size
        except FileNotFoundError:
            raise BackendNotFound(f"The content of {storage_name} is lost.") from None

    @verb
    def list_exports(self) -> Iterator[str]:
        """As the records say."""
        for name in self.volumes.names():
            record = self.volumes.find(name)
            if record is not None and record.exported_to:
                yield name

    @verb
    def list_replicas(self) -> Iterator[str]:
        """What lies at the other place; snapshots that were left there are of the volumes."""
        return (name for name in self.replicas.objects() if name.startswith("volume-"))

    # Shared by the verbs -----------------------------------------------------------------------------------------------

    def _make_of(
        self,
        volume: Volume,
        made_of: str,
        source: AbstractContextManager[SparseFile],
        rewrite: Rewrite | None = None,
    ) -> ModelUpdate:
        """Make `volume` at its size with the content of `source`, unless that is what it is already."""
        found = self.volumes.find(volume.storage_name)
        if found is None or found.made_of != made_of:
            with source as content:
                self._copy(content, volume.storage_name, self._record(volume, made_of), rewrite)
        else:
            self.volumes.sweep(volume.storage_name)
        return self._model_update()

    def _copy(self, content: SparseFile, name: str, record: Record, rewrite: Rewrite | None = None) -> None:
        if content.size > record.size:
            raise InvalidInput(f"{name} would have {record.size} bytes, less than the {content.size} it is made of.")
        with self.volumes.building(name, record, self._room(record.pool)) as target:
            target.copy_from(content)
            if rewrite is not None:
                target.pwrite(rewrite(content.pread(REWRITTEN_BYTES, 0)), 0)

    def _record(self, volume: Volume, made_of: str) -> Record:
        return Record(size=volume.size_bytes, pool=self._pool_of(volume.host), made_of=made_of)

    def _pool_of(self, host: str | None) -> str:
        pool = (host or "").partition("#")[2] or self.pools[0]
        if pool not in self.pools:
            raise BackendNotFound(f"Backend {self.settings.name} has no pool {pool}; it has {', '.join(self.pools)}.")
        return pool

    def _model_update(self) -> ModelUpdate:
        return {"provider_location": self.provider_location} if self.provider_location else {}

    def _require_replication(self) -> None:
        if not self.capabilities.replication:
            raise NotSupportedByBackend("simulated_replication is off.")

    def _room(self, pool: str) -> int:
        return max(0, self.pool_bytes - self.volumes.allocated(pool))

    def _stats(self, pool: str) -> Pool:
        return Pool(
            name=f"{self.settings.backend}#{pool}",
            backend=self.settings.backend,
            total_capacity_gb=self.pool_bytes / GIB,
            free_capacity_gb=self._room(pool) / GIB,
            reserved_percentage=self.settings.reserved_percentage,
            max_over_subscription_ratio=self.settings.max_over_subscription_ratio,
            thin_provisioning_support=self.capabilities.thin,
            thick_provisioning_support=self.capabilities.thick,
            capabilities={
                "volume_backend_name": self.settings.volume_backend_name,
                "vendor_name": "Breezeblock",
                "driver_version": "1.0",
                "storage_protocol": "local",
                "pool_name": pool,
                "provisioned_capacity_gb": self.volumes.provisioned(pool) / GIB,
                "multiattach": self.capabilities.multiattach,
                "online_extend_support": self.capabilities.online_extend,
                "replication_enabled": self.capabilities.replication,
                "replication_targets": [self.target] if self.target else [],
                "replication_count": 1 if self.target else 0,
                "group_replication_enabled": self.capabilities.replication,
                "consistent_group_snapshot_enabled": (
                    self.capabilities.consistent_group_snapshots and self.settings.backend_slots == 1
                ),
                "encryption_support": self.capabilities.encryption,
            },
            availability_zone=self.settings.availability_zone,
            updated_at=clock.now(),
        )


def _named(reference: Reference) -> str:
    """The name that a reference gives; a snapshot's also as Cinder's LVM driver calls it."""
    name = reference.get("source-name", "")
    return name[1:] if name.startswith("_snapshot-") else name


def _words(record: Record) -> dict[str, str]:
    return {"pool": record.pool, "made_of": record.made_of}
