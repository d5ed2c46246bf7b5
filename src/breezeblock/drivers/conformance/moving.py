"""Rules for volumes that the storage moves by itself: contract.MigratesVolumes."""

import pytest

from breezeblock.drivers.conformance.storage import FIRST, Rules, Storage
from breezeblock.drivers.conformance.themes import CLAIMS, KILL_POINTS, about
from breezeblock.drivers.contract import MigratesVolumes
from breezeblock.errors import BackendNotFound, NotSupportedByBackend
from breezeblock.model.volume import MODEL_UPDATE_FIELDS


class MovingRules(Rules):
    """migrate_volume."""

    theme = CLAIMS

    def test_a_moved_volume(self, storage: Storage) -> None:
        """Moved to another pool, twice and after a restart, it holds what it held; its snapshots and clones stay."""
        driver, there = _moving(storage)
        volume = storage.volume(FIRST)
        snapshot, clone = storage.snapshot(volume), storage.clone(volume)
        assert set(driver.migrate_volume(volume, there)) <= MODEL_UPDATE_FIELDS
        driver.migrate_volume(volume, there)
        storage.restart()
        _moving(storage)[0].migrate_volume(volume, there)
        for thing in (volume, snapshot, clone):
            storage.require_content(thing, FIRST)
        storage.require_objects(volume, snapshot, clone)

    @about(KILL_POINTS)
    @pytest.mark.parametrize("point", ["before_publish", "after_publish"])
    def test_a_move_that_is_killed(self, storage: Storage, point: str) -> None:
        """Killed just before or after it is published, the volume is whole; asked again, it is there."""
        _, there = _moving(storage)
        volume = storage.volume(FIRST)
        storage.dies_at(point, "migrate_volume", volume, there)
        storage.require_content(volume, FIRST)
        _moving(storage)[0].migrate_volume(volume, there)
        storage.require_content(volume, FIRST)
        storage.require_objects(volume)

    def test_a_move_that_cannot_be(self, storage: Storage) -> None:
        """To a place that is none of this storage's it is declined; of a volume that is not there it is BackendNotFound."""
        driver, there = _moving(storage)
        volume = storage.volume(FIRST)
        with pytest.raises(NotSupportedByBackend):
            driver.migrate_volume(volume, "other@backend#pool")
        with pytest.raises(BackendNotFound):
            driver.migrate_volume(storage.volume_record(), there)
        storage.require_content(volume, FIRST)


def _moving(storage: Storage) -> tuple[MigratesVolumes, str]:
    """The driver, and a pool beside the one that volumes are made in."""
    driver = storage.driver
    if not isinstance(driver, MigratesVolumes):
        pytest.skip("The driver does not move volumes by itself.")
    pools = [pool.name for pool in storage.driver.get_volume_stats() if pool.name != storage.pool]
    if not pools:
        pytest.skip("The driver has no second pool here.")
    return driver, pools[0]
