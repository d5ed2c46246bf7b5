"""The driver: one short method for each verb of `breezeblock.drivers.contract.Driver`, in its order."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec
from oslo_config import cfg

from acme_breezeblock.files import Files
from breezeblock.config import BackendSettings
from breezeblock.drivers.contract import BlockSource, Capabilities, ConnectionInfo, Connector, Fill, Rewrite
from breezeblock.errors import BackendInUse, ConfigError, InvalidInput
from breezeblock.model import clock
from breezeblock.model.pool import Pool
from breezeblock.model.snapshot import Snapshot
from breezeblock.model.volume import ModelUpdate, Volume

GIB = 1 << 30

OPTIONS: list[cfg.Opt] = [
    cfg.StrOpt("acme_path", required=True, help="Directory of the volumes."),
]


def open_driver(settings: BackendSettings) -> "AcmeDriver":
    """The entry point. Reads the options and touches nothing yet."""
    return AcmeDriver(settings)


class AcmeDriver:
    """Volumes and snapshots are plain files; a copy is a copy."""

    capabilities = Capabilities()

    def __init__(self, settings: BackendSettings) -> None:
        self.settings = settings
        self.files = Files(Path(settings.read(OPTIONS)["acme_path"]))

    def check_for_setup_error(self) -> None:
        """Tell an administrator now what would fail later."""
        try:
            self.files.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise ConfigError(f"acme_path: {self.files.root} cannot be used: {error.strerror}.") from error
        if not os.access(self.files.root, os.W_OK):
            raise ConfigError(f"acme_path: {self.files.root} is not writable.")

    def get_volume_stats(self) -> list[Pool]:
        """One pool, with what the filesystem has."""
        found = os.statvfs(self.files.root)
        return [
            Pool(
                name=f"{self.settings.backend}#{self.settings.name}",
                backend=self.settings.backend,
                total_capacity_gb=found.f_blocks * found.f_frsize / GIB,
                free_capacity_gb=found.f_bavail * found.f_frsize / GIB,
                reserved_percentage=self.settings.reserved_percentage,
                max_over_subscription_ratio=self.settings.max_over_subscription_ratio,
                thin_provisioning_support=True,
                thick_provisioning_support=False,
                capabilities={
                    "volume_backend_name": self.settings.volume_backend_name,
                    "vendor_name": "Acme",
                    "driver_version": "1.0",
                    "storage_protocol": "local",
                },
                availability_zone=self.settings.availability_zone,
                updated_at=clock.now(),
            )
        ]

    def create_volume(self, volume: Volume) -> ModelUpdate:
        """Made already is done, also when it was filled meanwhile."""
        if self.files.find(volume.storage_name) is None:
            with self.files.building(volume.storage_name, "", volume.size_bytes):
                pass
        return {}

    def delete_volume(self, volume: Volume) -> None:
        """Files share nothing, so any may go first."""
        self._require_unconnected(volume)
        self.files.remove(volume.storage_name)

    def extend_volume(self, volume: Volume, new_size: int) -> None:
        """A file grows by a hole."""
        self.files.grow(volume.storage_name, new_size * GIB)

    def create_snapshot(self, snapshot: Snapshot, volume: Volume) -> ModelUpdate:
        """Taken already is done: the moment has passed."""
        self._copy(volume.storage_name, snapshot.storage_name, f"volume:{volume.id}")
        return {}

    def delete_snapshot(self, snapshot: Snapshot) -> None:
        """As a volume."""
        self.files.remove(snapshot.storage_name)

    def create_volume_from_snapshot(
        self, volume: Volume, snapshot: Snapshot, *, rewrite: Rewrite | None = None
    ) -> ModelUpdate:
        """`rewrite` comes only to drivers that claim `encryption`."""
        self._copy(snapshot.storage_name, volume.storage_name, f"snapshot:{snapshot.id}", volume.size_bytes)
        return {}

    def create_cloned_volume(self, volume: Volume, source: Volume, *, rewrite: Rewrite | None = None) -> ModelUpdate:
        """As of a snapshot."""
        self._copy(source.storage_name, volume.storage_name, f"volume:{source.id}", volume.size_bytes)
        return {}

    def copy_image_to_volume(self, volume: Volume, content: str, fill: Fill) -> None:
        """Filled beside what is there, which stays until the new content is whole."""
        record = self.files.get(volume.storage_name)
        if record.made_of == content:
            self.files.sweep(volume.storage_name)
            return
        self._require_unconnected(volume)
        size = self.files.path(record).stat().st_size  # may have grown beyond what the row says
        with self.files.building(volume.storage_name, content, size) as target:
            fill(target)

    def open_volume(self, volume: Volume | Snapshot) -> AbstractContextManager[BlockSource]:
        """Read it."""
        return self.files.open(volume.storage_name)

    def initialize_connection(self, volume: Volume, connector: Connector) -> ConnectionInfo:
        """Note who uses it; clients on this machine open the file."""
        record = self.files.get(volume.storage_name)
        users = tuple(dict.fromkeys([*record.connected, _who(connector)]))
        if users != record.connected:
            self.files.publish(volume.storage_name, msgspec.structs.replace(record, connected=users))
        return {"driver_volume_type": "local", "data": {"device_path": str(self.files.path(record))}}

    def terminate_connection(self, volume: Volume, connector: Connector | None) -> None:
        """None stands for all."""
        record = self.files.find(volume.storage_name)
        if record is not None and record.connected:
            users = tuple(user for user in record.connected if connector is not None and user != _who(connector))
            self.files.publish(volume.storage_name, msgspec.structs.replace(record, connected=users))

    def ensure_export(self, volume: Volume) -> None:
        """A file needs no export; it has to be there."""
        self.files.get(volume.storage_name)

    def list_objects(self) -> Iterator[str]:
        """As the directory has them."""
        return self.files.objects()

    def _copy(self, source: str, name: str, made_of: str, size: int | None = None) -> None:
        found = self.files.find(name)
        if found is not None and found.made_of == made_of:
            self.files.sweep(name)
            return
        with self.files.open(source) as content:
            if size is not None and size < content.size:
                raise InvalidInput(f"{name} would be smaller than what it is made of.")
            with self.files.building(name, made_of, size or content.size) as target:
                target.copy_from(content)

    def _require_unconnected(self, volume: Volume) -> None:
        record = self.files.find(volume.storage_name)
        if record is not None and record.connected:
            raise BackendInUse(f"{volume.storage_name} is connected to {', '.join(record.connected)}.")


def _who(connector: Connector) -> str:
    return str(connector.get("host") or connector.get("initiator") or "unknown")
