"""Rules for snapshots of groups. They hold for drivers that claim consistent_group_snapshots."""

import pytest

from breezeblock.drivers.conformance.storage import EMPTY, FIRST, SECOND, Rules, Storage
from breezeblock.drivers.conformance.themes import CLAIMS
from breezeblock.drivers.contract import SnapshotsGroups
from breezeblock.errors import BackendNotFound
from breezeblock.model.snapshot import Snapshot
from breezeblock.model.volume import Volume


class GroupRules(Rules):
    """contract.SnapshotsGroups."""

    theme = CLAIMS

    def test_all_volumes_of_a_group(self, storage: Storage) -> None:
        """Each snapshot has its volume's content, and keeps it; taken again, also after a restart, all stay."""
        driver, pairs = self._driver_and_pairs(storage)
        driver.create_group_snapshot(pairs)
        for _, volume in pairs:
            storage.write(volume, EMPTY)
        again = storage.restart()
        assert isinstance(again, SnapshotsGroups)
        again.create_group_snapshot(pairs)
        for (snapshot, _), content in zip(pairs, (FIRST, SECOND), strict=True):
            storage.require_content(snapshot, content)
        for snapshot, _ in pairs:
            storage.driver.delete_snapshot(snapshot)
        storage.require_objects(*(volume for _, volume in pairs))

    def test_one_moment_for_all(self, storage: Storage) -> None:
        """What a call that was cut short has taken is of another moment: all are taken anew."""
        driver, pairs = self._driver_and_pairs(storage)
        (first, volume), _ = pairs
        storage.driver.create_snapshot(first, volume)
        storage.write(volume, EMPTY)
        driver.create_group_snapshot(pairs)
        for (snapshot, _), content in zip(pairs, (EMPTY, SECOND), strict=True):
            storage.require_content(snapshot, content)

    def test_all_or_none(self, storage: Storage) -> None:
        """Where one volume cannot be snapshotted none is."""
        driver, pairs = self._driver_and_pairs(storage)
        missing = storage.volume_record()
        with pytest.raises(BackendNotFound):
            driver.create_group_snapshot([*pairs, (storage.snapshot_record(missing), missing)])
        storage.require_objects(*(volume for _, volume in pairs))

    def _driver_and_pairs(self, storage: Storage) -> tuple[SnapshotsGroups, list[tuple[Snapshot, Volume]]]:
        driver = storage.driver
        if not driver.capabilities.consistent_group_snapshots or not isinstance(driver, SnapshotsGroups):
            pytest.skip("The driver does not claim consistent_group_snapshots.")
        volumes = [storage.volume(content) for content in (FIRST, SECOND)]
        return driver, [(storage.snapshot_record(volume), volume) for volume in volumes]
