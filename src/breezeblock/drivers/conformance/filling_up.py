"""Rules for a storage that has no room left."""

import os
from collections.abc import Callable

import pytest

from breezeblock.drivers.conformance.storage import EMPTY, FIRST, GIB, SECOND, Rules, Storage
from breezeblock.drivers.conformance.themes import CAPACITY
from breezeblock.drivers.contract import BlockTarget
from breezeblock.errors import BackendNotFound, BackendOutOfSpace
from breezeblock.model.volume import Volume

PIECE = 1 << 20


class FillingUpRules(Rules):
    """What is full says so in its kind, loses nothing, and has room again when something is deleted.

    They hold for storages that are small enough to be filled (`Rules.fill_up_bytes`).
    """

    theme = CAPACITY

    def test_a_fill_without_room(self, storage: Storage) -> None:
        """A fill that the storage has no room for is BackendOutOfSpace; nothing of it stays, and the others are whole."""
        size = self._more_than_fits(storage)
        standing, volume = storage.volume(FIRST), storage.volume(size=size)
        with pytest.raises(BackendOutOfSpace):
            storage.driver.copy_image_to_volume(volume, "test:much", _endless)
        storage.require_content(standing, FIRST)
        self._require_nothing_filled(storage, volume)
        self._wait_for_room(storage)
        storage.driver.create_volume(volume)
        storage.driver.copy_image_to_volume(volume, "test:little", lambda target: target.pwrite(b"little", 0))
        storage.require_content(volume, {0: b"little"}, size=size)
        storage.require_objects(standing, volume)

    def test_a_full_storage_can_be_emptied(self, storage: Storage) -> None:
        """What is there can be read and deleted while there is no room; then there is room again."""
        size = self._more_than_fits(storage)
        standing, gone, volume = storage.volume(FIRST), storage.volume(FIRST), storage.volume(size=size)
        snapshot = storage.snapshot(standing)

        def while_full() -> None:
            storage.require_content(standing, FIRST)
            storage.driver.delete_snapshot(snapshot)
            storage.driver.delete_volume(gone)

        with pytest.raises(BackendOutOfSpace):
            storage.driver.copy_image_to_volume(volume, "test:full", lambda target: _endless(target, while_full))
        storage.driver.delete_volume(volume)
        storage.require_objects(standing)
        self._wait_for_room(storage)
        storage.require_content(storage.volume(SECOND), SECOND)
        storage.require_content(standing, FIRST)

    def test_volumes_are_provisioned(self, storage: Storage) -> None:
        """Where a pool reports provisioned_capacity_gb, it rises with each volume's size, and falls when that goes."""
        if not all("provisioned_capacity_gb" in pool.capabilities for pool in storage.driver.get_volume_stats()):
            pytest.skip("The driver's pools do not report provisioned_capacity_gb.")
        before = _provisioned(storage)
        volume = storage.volume(size=3)
        storage.driver.extend_volume(volume, 5)
        assert _provisioned(storage) == before + 5
        storage.driver.delete_volume(volume)
        assert _provisioned(storage) == before

    def _more_than_fits(self, storage: Storage) -> int:
        """GiB of a volume that cannot be filled. Skips where it would take too much to try."""
        free = next(one.free_capacity_gb for one in storage.driver.get_volume_stats() if one.name == storage.pool)
        if free * GIB > self.fill_up_bytes:
            pytest.skip(
                f"The storage has {free:.1f} GiB free; one of less than {self.fill_up_bytes / GIB:.1f} GiB is filled up."
            )
        if not storage.driver.capabilities.thin:
            pytest.skip("A storage that is not thin has no volumes larger than it is.")
        return int(free) + 1

    def _wait_for_room(self, storage: Storage) -> None:
        """Until the storage knows what was deleted: a cluster may count its room from time to time only."""

    def _require_nothing_filled(self, storage: Storage, volume: Volume) -> None:
        if volume.storage_name in set(storage.driver.list_objects()):
            storage.require_content(volume, EMPTY, size=volume.size)
        else:
            with pytest.raises(BackendNotFound), storage.driver.open_volume(volume):
                pass


def _endless(target: BlockTarget, when_full: Callable[[], None] = lambda: None) -> None:
    """Write what cannot be compressed until there is no room."""
    try:
        for offset in range(0, target.size - PIECE, PIECE):
            target.pwrite(os.urandom(PIECE), offset)
    except BackendOutOfSpace:
        when_full()
        raise
    pytest.fail(f"{target.size} bytes were written to a storage that has less room.")


def _provisioned(storage: Storage) -> float:
    return sum(float(pool.capabilities["provisioned_capacity_gb"]) for pool in storage.driver.get_volume_stats())
