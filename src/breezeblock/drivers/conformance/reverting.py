"""Rules for volumes that get a snapshot's content again: contract.RevertsToSnapshots."""

import pytest

from breezeblock.drivers.conformance.storage import CONNECTOR, EMPTY, FIRST, SECOND, Rules, Storage
from breezeblock.drivers.conformance.themes import CLAIMS, KILL_POINTS, about
from breezeblock.drivers.contract import RevertsToSnapshots
from breezeblock.errors import BackendInUse, BackendNotFound


class RevertingRules(Rules):
    """revert_to_snapshot."""

    theme = CLAIMS

    def test_a_reverted_volume(self, storage: Storage) -> None:
        """It holds what the snapshot holds; both stay, and neither sees what is written to the other later."""
        driver = _reverting(storage)
        volume = storage.volume(FIRST)
        snapshot = storage.snapshot(volume)
        storage.write(volume, SECOND)
        clone = storage.clone(volume)
        driver.revert_to_snapshot(volume, snapshot)
        storage.require_content(volume, FIRST)
        storage.write(volume, EMPTY)
        storage.require_content(snapshot, FIRST)
        storage.require_content(clone, SECOND)
        storage.require_objects(volume, snapshot, clone)

    def test_reverting_twice_is_reverting_once(self, storage: Storage) -> None:
        """Called again, also after a restart, the volume holds what the snapshot holds."""
        driver = _reverting(storage)
        volume = storage.volume(FIRST)
        snapshot = storage.snapshot(volume)
        storage.write(volume, SECOND)
        driver.revert_to_snapshot(volume, snapshot)
        driver.revert_to_snapshot(volume, snapshot)
        storage.require_content(volume, FIRST)
        storage.restart()
        _reverting(storage).revert_to_snapshot(volume, snapshot)
        storage.require_content(volume, FIRST)
        storage.require_objects(volume, snapshot)

    def test_a_snapshot_may_go_after_a_revert(self, storage: Storage) -> None:
        """A reverted volume needs its snapshot no more; snapshots and clones of it are as good as any."""
        driver = _reverting(storage)
        volume = storage.volume(FIRST)
        snapshot = storage.snapshot(volume)
        storage.write(volume, SECOND)
        driver.revert_to_snapshot(volume, snapshot)
        later, clone = storage.snapshot(volume), storage.clone(volume)
        storage.driver.delete_snapshot(snapshot)
        storage.driver.delete_volume(volume)
        storage.require_content(later, FIRST)
        storage.require_content(clone, FIRST)
        storage.require_objects(later, clone)

    @about(KILL_POINTS)
    @pytest.mark.parametrize("point", ["before_publish", "after_publish"])
    def test_a_revert_that_is_killed(self, storage: Storage, point: str) -> None:
        """Killed just before or after it is published, the volume holds the old or the new; asked again, the new."""
        _reverting(storage)
        volume = storage.volume(FIRST)
        snapshot = storage.snapshot(volume)
        storage.write(volume, SECOND)
        storage.dies_at(point, "revert_to_snapshot", volume, snapshot)
        storage.require_one_of(volume, FIRST, SECOND)
        _reverting(storage).revert_to_snapshot(volume, snapshot)
        storage.require_content(volume, FIRST)
        storage.require_content(snapshot, FIRST)
        storage.require_objects(volume, snapshot)

    def test_a_connected_volume_is_not_reverted(self, storage: Storage) -> None:
        """A volume that a client may write to is BackendInUse, and stays as it is."""
        driver = _reverting(storage)
        volume = storage.volume(FIRST)
        snapshot = storage.snapshot(volume)
        storage.write(volume, SECOND)
        storage.driver.initialize_connection(volume, CONNECTOR)
        with pytest.raises(BackendInUse):
            driver.revert_to_snapshot(volume, snapshot)
        storage.driver.terminate_connection(volume, None)
        storage.require_content(volume, SECOND)

    def test_a_revert_of_nothing(self, storage: Storage) -> None:
        """Where volume or snapshot is not there it is BackendNotFound, and nothing is made."""
        driver = _reverting(storage)
        volume = storage.volume(FIRST)
        missing = storage.volume_record()
        for one, snapshot in ((volume, storage.snapshot_record(volume)), (missing, storage.snapshot(volume))):
            with pytest.raises(BackendNotFound):
                driver.revert_to_snapshot(one, snapshot)
        storage.require_content(volume, FIRST)


def _reverting(storage: Storage) -> RevertsToSnapshots:
    driver = storage.driver
    if not isinstance(driver, RevertsToSnapshots):
        pytest.skip("The driver does not revert volumes by itself.")
    return driver
