"""Rules for making and growing volumes."""

import pytest

from breezeblock.drivers.conformance.storage import EMPTY, FIRST, Rules, Storage, with_size
from breezeblock.drivers.conformance.themes import IDEMPOTENCE, about
from breezeblock.errors import BackendNotFound
from breezeblock.model.volume import MODEL_UPDATE_FIELDS


class MakingRules(Rules):
    """create_volume and extend_volume."""

    def test_a_new_volume_reads_as_zeros(self, storage: Storage) -> None:
        """A new volume has the size asked for and reads as zeros."""
        volume = storage.volume(size=3)
        storage.require_content(volume, EMPTY, size=3)
        storage.require_objects(volume)

    @about(IDEMPOTENCE)
    def test_create_answers_what_the_row_keeps(self, storage: Storage) -> None:
        """A model_update holds fields that a driver may set, and no others; made twice, it answers the same."""
        volume = storage.volume_record()
        update = storage.driver.create_volume(volume)
        assert set(update) <= MODEL_UPDATE_FIELDS
        assert storage.driver.create_volume(volume) == update

    @about(IDEMPOTENCE)
    def test_create_twice_keeps_the_content(self, storage: Storage) -> None:
        """Creating a volume that is there, and even filled, leaves it as it is."""
        volume = storage.volume(FIRST)
        storage.driver.create_volume(volume)
        storage.require_content(volume, FIRST)
        storage.require_objects(volume)

    @about(IDEMPOTENCE)
    def test_volumes_outlive_the_driver(self, storage: Storage) -> None:
        """After a restart volumes are there with their contents, and creating them again changes nothing."""
        volume = storage.volume(FIRST)
        storage.restart().create_volume(volume)
        storage.require_content(volume, FIRST)
        storage.require_objects(volume)

    def test_extend_keeps_the_content(self, storage: Storage) -> None:
        """A grown volume keeps its content and reads as zeros beyond it."""
        volume = storage.volume(FIRST)
        storage.driver.extend_volume(volume, 2)
        storage.require_content(with_size(volume, 2), FIRST, size=2)

    @about(IDEMPOTENCE)
    def test_extend_twice(self, storage: Storage) -> None:
        """Growing to a size that is reached, whatever size the row says, is done already; also after a restart."""
        volume = storage.volume(FIRST)
        storage.driver.extend_volume(volume, 2)
        storage.driver.extend_volume(volume, 2)
        storage.restart().extend_volume(with_size(volume, 2), 2)
        storage.require_content(volume, FIRST, size=2)

    def test_extend_never_shrinks(self, storage: Storage) -> None:
        """A volume that is larger than asked stays as large as it is."""
        volume = storage.volume(FIRST, size=2)
        storage.driver.extend_volume(volume, 1)
        storage.require_content(volume, FIRST, size=2)

    @about(IDEMPOTENCE)
    def test_create_after_extend(self, storage: Storage) -> None:
        """A create repeated after the volume was grown leaves it grown."""
        volume = storage.volume(FIRST)
        storage.driver.extend_volume(volume, 2)
        storage.driver.create_volume(volume)
        storage.require_content(volume, FIRST, size=2)

    def test_extend_of_nothing(self, storage: Storage) -> None:
        """Growing a volume that is not there is BackendNotFound, and makes none."""
        with pytest.raises(BackendNotFound):
            storage.driver.extend_volume(storage.volume_record(), 2)
        storage.require_objects()
