"""Rules for failing over to where replicas lie, and back. They hold for drivers that claim it."""

import pytest

from breezeblock.drivers.conformance.storage import FIRST, SECOND, Content, Rules, Storage
from breezeblock.drivers.conformance.themes import CLAIMS
from breezeblock.drivers.contract import FailsOver
from breezeblock.errors import BackendNotFound, InvalidReplicationTarget
from breezeblock.model.volume import MODEL_UPDATE_FIELDS

THIRD: Content = {512: b"third" * 2000, (1 << 30) - (1 << 20): b"\x3c" * 4096}


class FailoverRules(Rules):
    """contract.FailsOver."""

    theme = CLAIMS

    def test_a_failover_and_a_failback(self, storage: Storage) -> None:
        """The volume is as it was when last in step, is used there, also after a restart, and comes back as it was there."""
        driver, target = self._failing_over(storage)
        volume = storage.volume(FIRST)
        driver.update_replica(volume)
        storage.write(volume, SECOND)
        driver.use_backend(target)
        driver.check_for_setup_error()
        assert set(driver.promote_replica(volume)) <= MODEL_UPDATE_FIELDS
        storage.require_content(volume, FIRST)
        driver = self._opened_at(storage, target)
        assert set(driver.promote_replica(volume)) <= MODEL_UPDATE_FIELDS
        clone = storage.clone(volume)
        storage.write(volume, THIRD)
        storage.require_content(clone, FIRST)
        for one in (volume, clone):
            driver.update_replica(one)
        driver = self._opened_at(storage, None)
        for one in (volume, clone):
            driver.promote_replica(one)
        storage.require_content(volume, THIRD)
        storage.require_content(clone, FIRST)
        storage.require_objects(volume, clone)
        driver.update_replica(volume)
        driver.delete_replica(volume)
        driver.delete_replica(clone)
        assert list(driver.list_replicas()) == []

    def test_growth_and_snapshots_come_along(self, storage: Storage) -> None:
        """A volume that grows between two passes is as large there; a snapshot is there whole, or not at all."""
        driver, target = self._failing_over(storage)
        volume = storage.volume(FIRST)
        driver.update_replica(volume)
        snapshot = storage.snapshot(volume)
        storage.driver.extend_volume(volume, 2)
        beyond = {(1 << 30) + 512: b"beyond" * 512}
        storage.write(volume, beyond)
        driver.update_replica(volume)
        driver.use_backend(target)
        driver.check_for_setup_error()
        driver.promote_replica(volume)
        storage.require_content(volume, beyond, size=2)
        if snapshot.storage_name in set(driver.list_objects()):
            copy = storage.from_snapshot(snapshot)
            storage.require_content(copy, FIRST)
            driver.delete_volume(copy)
        driver.update_replica(volume)
        self._opened_at(storage, None).promote_replica(volume)
        storage.require_content(volume, beyond, size=2)

    def test_what_was_left_behind(self, storage: Storage) -> None:
        """A volume without a replica is not there after a failover, and is found again after the failback."""
        driver, target = self._failing_over(storage)
        volume, other = storage.volume(FIRST), storage.volume(SECOND)
        driver.update_replica(volume)
        driver.use_backend(target)
        driver.check_for_setup_error()
        with pytest.raises(BackendNotFound):
            driver.promote_replica(other)
        driver.promote_replica(volume)
        storage.require_objects(volume)
        driver.update_replica(volume)
        driver = self._opened_at(storage, None)
        for one in (volume, other):
            driver.promote_replica(one)
        storage.require_content(volume, FIRST)
        storage.require_content(other, SECOND)

    def test_an_unknown_target(self, storage: Storage) -> None:
        """It is refused, and the driver goes on where it is."""
        driver, _ = self._failing_over(storage)
        volume = storage.volume(FIRST)
        with pytest.raises(InvalidReplicationTarget):
            driver.use_backend("nowhere")
        storage.require_content(volume, FIRST)

    def _opened_at(self, storage: Storage, place: str | None) -> FailsOver:
        """A new driver that works at this place, as a worker opens it."""
        storage.close_driver(storage.driver)
        storage.driver = driver = storage.open_driver(storage.directory)
        assert isinstance(driver, FailsOver)
        driver.use_backend(place)
        driver.check_for_setup_error()
        return driver

    def _failing_over(self, storage: Storage) -> tuple[FailsOver, str]:
        driver = storage.driver
        if not driver.capabilities.failover or not isinstance(driver, FailsOver):
            pytest.skip("The driver does not claim failover.")
        return driver, driver.replication_targets()[0]
