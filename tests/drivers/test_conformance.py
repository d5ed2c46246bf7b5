"""Every driver of the product keeps the rules of `breezeblock.drivers.conformance`. A driver joins with one class."""

import os
from pathlib import Path

import msgspec
import pytest

from breezeblock.drivers import registry
from breezeblock.drivers.conformance import DriverConformance, Storage, settings_for
from breezeblock.drivers.contract import Driver, Fill, Rewrite
from breezeblock.drivers.directory.driver import DirectoryDriver
from breezeblock.drivers.simulated.driver import SimulatedDriver
from breezeblock.drivers.simulated.sparse import SparseFile
from breezeblock.errors import BackendNotFound
from breezeblock.model.pool import Pool
from breezeblock.model.snapshot import Snapshot
from breezeblock.model.volume import ModelUpdate, Volume


class TestSimulated(DriverConformance):
    def open_driver(self, directory: Path) -> Driver:
        options = {"simulated_clone_image": "true", "simulated_replication": "true", "pool_name": "DS01,DS02"}
        options |= {"simulated_target": "secondary"}
        options |= {"simulated_group_snapshots": "true", "simulated_capacity_gb": "0.2"}  # small enough to be filled up
        return registry.open_driver(settings_for("simulated", directory, **options))


class TestDirectory(DriverConformance):
    def open_driver(self, directory: Path) -> Driver:
        return registry.open_driver(
            settings_for("directory", directory, replication_device=str(directory / "replicas"))
        )

    def close_driver(self, driver: Driver) -> None:
        assert isinstance(driver, DirectoryDriver)
        driver.close()


class FillsAgain(SimulatedDriver):
    """Has no completion record."""

    def copy_image_to_volume(self, volume: Volume, content: str, fill: Fill) -> None:
        super().copy_image_to_volume(volume, f"{content}:{len(self.calls)}", fill)


class FillsInPlace(SimulatedDriver):
    """Publishes before the fill is over."""

    def copy_image_to_volume(self, volume: Volume, content: str, fill: Fill) -> None:
        record = self.volumes.get(volume.storage_name)
        fd = os.open(self.volumes.content(volume.storage_name, record), os.O_RDWR)
        try:
            fill(SparseFile(fd, record.size, "in-place"))
        finally:
            os.close(fd)


class SnapshotsAgain(SimulatedDriver):
    """Takes a snapshot anew when it is called twice."""

    def create_snapshot(self, snapshot: Snapshot, volume: Volume) -> ModelUpdate:
        self.delete_snapshot(snapshot)
        return super().create_snapshot(snapshot, volume)


class SharesSource(SimulatedDriver):
    """A clone and its source are one file."""

    def create_cloned_volume(self, volume: Volume, source: Volume, *, rewrite: Rewrite | None = None) -> ModelUpdate:
        record = self.volumes.get(source.storage_name)
        self.create_volume(volume)
        made = self.volumes.content(volume.storage_name, self.volumes.get(volume.storage_name))
        made.unlink()
        made.hardlink_to(self.volumes.content(source.storage_name, record))
        return {}


class DeletesInUse(SimulatedDriver):
    """Deletes what a client has open."""

    def delete_volume(self, volume: Volume) -> None:
        self.terminate_connection(volume, None)
        super().delete_volume(volume)


class LosesOnDelete(SimulatedDriver):
    """Does not forgive a second delete."""

    def delete_snapshot(self, snapshot: Snapshot) -> None:
        self.volumes.get(snapshot.storage_name)
        super().delete_snapshot(snapshot)


class Promises(SimulatedDriver):
    """Has more free than it has."""

    def get_volume_stats(self) -> list[Pool]:
        return [msgspec.structs.replace(pool, free_capacity_gb=2000.0) for pool in super().get_volume_stats()]


@pytest.mark.parametrize(
    ("broken", "rule"),
    [
        (FillsAgain, "test_the_same_content_is_not_filled_again"),
        (FillsInPlace, "test_a_fill_that_raises"),
        (FillsInPlace, "test_a_fill_that_is_killed"),
        (FillsInPlace, "test_other_content_starts_from_zeros"),
        (SnapshotsAgain, "test_a_snapshot_is_taken_once"),
        (SharesSource, "test_a_clone_is_written_alone"),
        (DeletesInUse, "test_a_connected_volume_is_not_deleted"),
        (LosesOnDelete, "test_deleting_twice"),
        (Promises, "test_pools_are_sane"),
    ],
)
def test_a_broken_driver_is_found_out(tmp_path: Path, broken: type[SimulatedDriver], rule: str) -> None:
    """The rules hold drivers to something: each of these breaks one, and that one says so."""
    storage = Storage(lambda directory: broken(settings_for("simulated", directory)), tmp_path)
    with pytest.raises((AssertionError, pytest.fail.Exception, BackendNotFound)):
        getattr(DriverConformance(), rule)(storage)
