"""Rules for drivers that can be examined (contract.Examinable), by a process that does not own the storage."""

import pytest

from breezeblock.drivers.conformance.storage import CONNECTOR, FIRST, GIB, Rules, Storage
from breezeblock.drivers.conformance.themes import CLAIMS
from breezeblock.drivers.contract import Examinable
from breezeblock.errors import BackendNotFound


class ExaminingRules(Rules):
    """contract.Examinable."""

    theme = CLAIMS

    def test_sizes_are_the_objects_own(self, storage: Storage) -> None:
        """Empty, filled, cloned, made of a snapshot or extended: the size is what the object has."""
        driver = self._examinable(storage)
        volume = storage.volume(FIRST)
        snapshot = storage.snapshot(volume)
        clone = storage.clone(volume, size=2)
        made = storage.from_snapshot(snapshot, size=3)
        storage.driver.extend_volume(volume, 4)
        empty = storage.volume()
        names = [one.storage_name for one in (volume, clone, made, empty)] + [snapshot.storage_name]
        assert [driver.size_of(name) for name in names] == [4 * GIB, 2 * GIB, 3 * GIB, GIB, GIB]
        with pytest.raises(BackendNotFound):
            driver.size_of(storage.volume_record().storage_name)

    def test_exports_come_and_go(self, storage: Storage) -> None:
        """Exported is what a connection was made to, until it is withdrawn."""
        driver = self._examinable(storage)
        volume, _ = storage.volume(), storage.volume()
        assert list(driver.list_exports()) == []
        storage.driver.initialize_connection(volume, CONNECTOR)
        assert list(driver.list_exports()) == [volume.storage_name]
        storage.driver.terminate_connection(volume, None)
        assert list(driver.list_exports()) == []

    def test_replicas_are_none_without_one(self, storage: Storage) -> None:
        """A volume alone is no replica."""
        driver = self._examinable(storage)
        storage.volume()
        assert list(driver.list_replicas()) == []

    def _examinable(self, storage: Storage) -> Examinable:
        if not isinstance(storage.driver, Examinable):
            pytest.skip("The driver cannot be examined.")
        return storage.driver
