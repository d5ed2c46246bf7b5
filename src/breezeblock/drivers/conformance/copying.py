"""Rules for snapshots, volumes of snapshots, and clones: each is on its own from the moment it is there."""

import pytest

from breezeblock.drivers.conformance.storage import EMPTY, FIRST, SECOND, Rules, Storage
from breezeblock.drivers.conformance.themes import IDEMPOTENCE, about
from breezeblock.errors import BackendNotFound
from breezeblock.model.volume import MODEL_UPDATE_FIELDS


class CopyingRules(Rules):
    """create_snapshot, create_volume_from_snapshot, create_cloned_volume."""

    def test_a_snapshot_stays_as_it_was(self, storage: Storage) -> None:
        """A snapshot has the content of its moment, whatever is written to the volume later."""
        volume = storage.volume(FIRST)
        snapshot = storage.snapshot(volume)
        storage.write(volume, SECOND)
        later = storage.snapshot(volume)
        storage.write(volume, EMPTY)
        storage.require_content(snapshot, FIRST)
        storage.require_content(later, SECOND)
        storage.require_content(volume, EMPTY)
        storage.require_objects(volume, snapshot, later)

    @about(IDEMPOTENCE)
    def test_a_snapshot_is_taken_once(self, storage: Storage) -> None:
        """Taking a snapshot that is there does not take it anew; also after a restart."""
        volume = storage.volume(FIRST)
        snapshot = storage.snapshot(volume)
        storage.write(volume, SECOND)
        storage.driver.create_snapshot(snapshot, volume)
        storage.restart().create_snapshot(snapshot, volume)
        storage.require_content(snapshot, FIRST)

    def test_a_volume_of_a_snapshot(self, storage: Storage) -> None:
        """It has the snapshot's content; what is written to it is seen in neither snapshot nor volume."""
        volume = storage.volume(FIRST)
        snapshot = storage.snapshot(volume)
        storage.write(volume, SECOND)
        copy = storage.from_snapshot(snapshot)
        storage.require_content(copy, FIRST)
        storage.write(copy, EMPTY)
        storage.require_content(snapshot, FIRST)
        storage.require_content(volume, SECOND)
        storage.require_objects(volume, snapshot, copy)

    def test_a_clone(self, storage: Storage) -> None:
        """It has the content of its moment; neither sees what is written to the other later."""
        volume = storage.volume(FIRST)
        clone = storage.clone(volume)
        storage.write(volume, SECOND)
        storage.require_content(clone, FIRST)
        storage.write(clone, EMPTY)
        storage.require_content(volume, SECOND)
        storage.require_objects(volume, clone)

    def test_clones_of_clones_of_snapshots(self, storage: Storage) -> None:
        """Copies of copies are as good as the first, and each generation stays as it was."""
        first = storage.volume(FIRST)
        snapshot = storage.snapshot(first)
        second = storage.from_snapshot(snapshot)
        third = storage.clone(second)
        later = storage.snapshot(third)
        fourth = storage.from_snapshot(later)
        storage.write(second, SECOND)
        storage.write(third, EMPTY)
        for thing in (first, snapshot, later, fourth):
            storage.require_content(thing, FIRST)
        storage.require_content(second, SECOND)
        storage.require_content(third, EMPTY)

    def test_copies_may_be_larger(self, storage: Storage) -> None:
        """A copy has its own size, and reads as zeros beyond the size of its source."""
        volume = storage.volume(FIRST)
        storage.require_content(storage.clone(volume, size=3), FIRST, size=3)
        storage.require_content(storage.from_snapshot(storage.snapshot(volume), size=2), FIRST, size=2)

    def test_a_snapshot_keeps_the_size_of_its_moment(self, storage: Storage) -> None:
        """A volume grown after its snapshot does not grow the snapshot; a larger copy of it has no data beyond."""
        volume = storage.volume(FIRST)
        snapshot = storage.snapshot(volume)
        storage.driver.extend_volume(volume, 2)
        storage.write(volume, {3 << 29: b"beyond" * 1000})
        storage.require_content(snapshot, FIRST)
        storage.require_content(storage.from_snapshot(snapshot, size=2), FIRST, size=2)

    def test_extend_of_a_copy(self, storage: Storage) -> None:
        """A grown copy keeps its content, and its source its size."""
        volume = storage.volume(FIRST)
        clone = storage.clone(volume)
        storage.driver.extend_volume(clone, 2)
        storage.require_content(clone, FIRST, size=2)
        storage.require_content(volume, FIRST)

    def test_copies_of_an_empty_volume(self, storage: Storage) -> None:
        """A volume never written to can be copied in every way."""
        volume = storage.volume()
        snapshot = storage.snapshot(volume)
        storage.write(volume, FIRST)
        storage.require_content(snapshot, EMPTY)
        storage.require_content(storage.from_snapshot(snapshot), EMPTY)

    @about(IDEMPOTENCE)
    def test_copying_twice_is_copying_once(self, storage: Storage) -> None:
        """A copy that is there is not made anew when its source has changed; also after a restart."""
        volume = storage.volume(FIRST)
        snapshot = storage.snapshot(volume)
        clone, copy = storage.clone(volume), storage.from_snapshot(snapshot)
        storage.write(volume, SECOND)
        for driver in (storage.driver, storage.restart()):
            driver.create_cloned_volume(clone, volume)
            driver.create_volume_from_snapshot(copy, snapshot)
        storage.require_content(clone, FIRST)
        storage.require_content(copy, FIRST)
        storage.require_objects(volume, snapshot, clone, copy)

    def test_copies_answer_what_the_row_keeps(self, storage: Storage) -> None:
        """Each model_update holds fields that a driver may set, and no others."""
        volume, snapshot = storage.volume(), storage.snapshot(storage.volume())
        update = storage.driver.create_snapshot(storage.snapshot_record(volume), volume)
        update |= storage.driver.create_cloned_volume(storage.volume_record(), volume)
        update |= storage.driver.create_volume_from_snapshot(storage.volume_record(), snapshot)
        assert set(update) <= MODEL_UPDATE_FIELDS

    def test_copies_of_nothing(self, storage: Storage) -> None:
        """A copy of what is not there is BackendNotFound, and leaves nothing."""
        missing = storage.volume_record()
        with pytest.raises(BackendNotFound):
            storage.driver.create_snapshot(storage.snapshot_record(missing), missing)
        with pytest.raises(BackendNotFound):
            storage.driver.create_cloned_volume(storage.volume_record(), missing)
        with pytest.raises(BackendNotFound):
            storage.driver.create_volume_from_snapshot(storage.volume_record(), storage.snapshot_record(missing))
        with pytest.raises(BackendNotFound), storage.driver.open_volume(missing):
            pass
        storage.require_objects()
