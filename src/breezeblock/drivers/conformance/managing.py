"""Rules for what nobody manages: contract.Manages."""

import pytest

from breezeblock.drivers.conformance.storage import CONNECTOR, FIRST, SECOND, Rules, Storage
from breezeblock.drivers.conformance.themes import CLAIMS, KILL_POINTS, about
from breezeblock.drivers.contract import Manages, Reference
from breezeblock.errors import BackendInUse, BackendNotFound, InvalidInput, NotSupportedByBackend
from breezeblock.model.snapshot import Snapshot
from breezeblock.model.volume import MODEL_UPDATE_FIELDS, Volume


class ManagingRules(Rules):
    """unmanage, manage_existing and what there is to be managed, of volumes and of snapshots."""

    theme = CLAIMS

    def test_unmanaged_and_managed_again(self, storage: Storage) -> None:
        """An unmanaged volume is found by its storage_name, and is another volume with the same content when managed."""
        driver = _managing(storage)
        volume, managed = storage.volume(FIRST), storage.volume_record()
        driver.unmanage(volume)
        storage.require_objects()
        found = {one.reference["source-name"]: one for one in driver.get_manageable_volumes()}
        assert (found[volume.storage_name].size, found[volume.storage_name].safe) == (1, True)
        assert driver.manage_existing_get_size(managed, _reference(volume)) == 1
        assert set(driver.manage_existing(managed, _reference(volume))) <= MODEL_UPDATE_FIELDS
        storage.require_content(managed, FIRST)
        storage.require_objects(managed)
        assert volume.storage_name not in {one.reference["source-name"] for one in driver.get_manageable_volumes()}

    def test_managing_twice_is_managing_once(self, storage: Storage) -> None:
        """Each verb called again, also after a restart, is done already."""
        driver = _managing(storage)
        volume, managed = storage.volume(FIRST), storage.volume_record()
        driver.unmanage(volume)
        driver.unmanage(volume)
        storage.restart()
        driver = _managing(storage)
        driver.unmanage(volume)
        driver.manage_existing(managed, _reference(volume))
        driver.manage_existing(managed, _reference(volume))
        storage.restart()
        _managing(storage).manage_existing(managed, _reference(volume))
        storage.require_content(managed, FIRST)
        storage.require_objects(managed)

    def test_a_managed_snapshot(self, storage: Storage) -> None:
        """A snapshot that was unmanaged and managed again is as good as any, whatever became of its volume."""
        driver = _managing(storage)
        volume = storage.volume(FIRST)
        snapshot, managed = storage.snapshot(volume), storage.snapshot_record(volume)
        storage.write(volume, SECOND)
        driver.unmanage_snapshot(snapshot)
        storage.require_objects(volume)
        for _ in range(2):
            driver.manage_existing_snapshot(managed, _reference(snapshot))
        storage.require_content(managed, FIRST)
        storage.require_content(storage.from_snapshot(managed), FIRST)
        storage.require_content(volume, SECOND)

    def test_others_keep_what_they_shared(self, storage: Storage) -> None:
        """An unmanaged volume takes along what it shared with snapshots and clones, and these keep it."""
        driver = _managing(storage)
        volume, managed = storage.volume(FIRST), storage.volume_record()
        snapshot, clone = storage.snapshot(volume), storage.clone(volume)
        driver.unmanage(volume)
        storage.driver.delete_snapshot(snapshot)
        storage.require_content(clone, FIRST)
        storage.driver.delete_volume(clone)
        driver.manage_existing(managed, _reference(volume))
        storage.require_content(managed, FIRST)
        storage.require_objects(managed)

    @about(KILL_POINTS)
    @pytest.mark.parametrize("point", ["before_publish", "after_publish", "between_removals"])
    def test_managing_that_is_killed(self, storage: Storage, point: str) -> None:
        """Killed at a point of unmanaging or managing and asked again, the content is whole and nothing is left."""
        _managing(storage)
        volume, managed = storage.volume(FIRST), storage.volume_record()
        storage.dies_at(point, "unmanage", volume)
        _managing(storage).unmanage(volume)
        storage.require_objects()
        storage.dies_at(point, "manage_existing", managed, _reference(volume))
        driver = _managing(storage)
        driver.manage_existing(managed, _reference(volume))
        storage.require_content(managed, FIRST)
        storage.require_objects(managed)
        assert list(driver.get_manageable_volumes()) == []

    def test_a_connected_volume_is_not_unmanaged(self, storage: Storage) -> None:
        """A volume that a client may write to is BackendInUse, and stays."""
        driver = _managing(storage)
        volume = storage.volume(FIRST)
        storage.driver.initialize_connection(volume, CONNECTOR)
        with pytest.raises(BackendInUse):
            driver.unmanage(volume)
        storage.driver.terminate_connection(volume, None)
        storage.require_content(volume, FIRST)

    def test_a_reference_of_nothing(self, storage: Storage) -> None:
        """What is not there, and what is no reference, is refused, and makes nothing."""
        driver, volume = _managing(storage), storage.volume_record()
        for reference in ({"source-name": "volume-nothing"}, {"source-name": "../x"}, {}):
            with pytest.raises((BackendNotFound, InvalidInput, NotSupportedByBackend)):
                driver.manage_existing_get_size(volume, reference)
            with pytest.raises((BackendNotFound, InvalidInput, NotSupportedByBackend)):
                driver.manage_existing(volume, reference)
        storage.require_objects()


def _reference(thing: Volume | Snapshot) -> Reference:
    return {"source-name": thing.storage_name}


def _managing(storage: Storage) -> Manages:
    driver = storage.driver
    if not isinstance(driver, Manages):
        pytest.skip("The driver manages nothing that it did not make.")
    return driver
