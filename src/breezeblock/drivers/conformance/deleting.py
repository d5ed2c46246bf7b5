"""Rules for deleting: in any order, as often as one likes."""

from itertools import permutations

import pytest

from breezeblock.drivers.conformance.storage import EMPTY, FIRST, SECOND, Content, Rules, Storage
from breezeblock.drivers.conformance.themes import CAPACITY, IDEMPOTENCE, about
from breezeblock.errors import BackendNotFound
from breezeblock.model.snapshot import Snapshot
from breezeblock.model.volume import Volume

FAMILY = ("volume", "snapshot", "copy", "clone")
"""A volume, its snapshot, a volume of the snapshot, and that one's clone."""


class DeletingRules(Rules):
    """delete_volume and delete_snapshot."""

    def test_deleted_is_gone(self, storage: Storage) -> None:
        """A deleted volume or snapshot is neither listed nor can it be read."""
        volume = storage.volume(FIRST)
        snapshot = storage.snapshot(volume)
        storage.driver.delete_snapshot(snapshot)
        storage.require_objects(volume)
        storage.driver.delete_volume(volume)
        storage.require_objects()
        for thing in (volume, snapshot):
            with pytest.raises(BackendNotFound), storage.driver.open_volume(thing):
                pass

    @about(IDEMPOTENCE)
    def test_deleting_twice(self, storage: Storage) -> None:
        """Deleting what is gone succeeds; also after a restart."""
        volume = storage.volume(FIRST)
        snapshot = storage.snapshot(volume)
        for driver in (storage.driver, storage.driver, storage.restart()):
            driver.delete_snapshot(snapshot)
            driver.delete_volume(volume)
        storage.require_objects()

    @about(IDEMPOTENCE)
    def test_deleting_what_never_was(self, storage: Storage) -> None:
        """Deleting what the storage never had succeeds, and touches nothing else."""
        volume = storage.volume(FIRST)
        storage.driver.delete_volume(storage.volume_record())
        storage.driver.delete_snapshot(storage.snapshot_record(volume))
        storage.require_content(volume, FIRST)
        storage.require_objects(volume)

    def test_made_again_after_deletion(self, storage: Storage) -> None:
        """A volume made again under the id of a deleted one reads as zeros."""
        volume = storage.volume(FIRST)
        storage.driver.delete_volume(volume)
        storage.driver.create_volume(volume)
        storage.require_content(volume, EMPTY)

    @pytest.mark.parametrize("order", list(permutations(FAMILY)), ids="-".join)
    def test_any_order(self, storage: Storage, order: tuple[str, ...]) -> None:
        """Volumes, snapshots and clones are deleted in any order; those still there stay as they were."""
        volume = storage.volume(FIRST)
        snapshot = storage.snapshot(volume)
        storage.write(volume, SECOND)
        copy = storage.from_snapshot(snapshot)
        clone = storage.clone(copy)
        storage.write(copy, EMPTY)
        left: dict[str, tuple[Volume | Snapshot, Content]] = {
            "volume": (volume, SECOND),
            "snapshot": (snapshot, FIRST),
            "copy": (copy, EMPTY),
            "clone": (clone, FIRST),
        }
        for name in order:
            thing, _ = left.pop(name)
            if isinstance(thing, Snapshot):
                storage.driver.delete_snapshot(thing)
            else:
                storage.driver.delete_volume(thing)
            storage.require_objects(*(other for other, _ in left.values()))
            for other, content in left.values():
                storage.require_content(other, content)

    def test_any_order_across_restarts(self, storage: Storage) -> None:
        """Who depends on whom is known from the storage alone: the source goes first, and the driver anew each time."""
        volume = storage.volume(FIRST)
        clones = [storage.clone(volume) for _ in range(3)]
        storage.restart().delete_volume(volume)
        while clones:
            storage.restart()
            for clone in clones:
                storage.require_content(clone, FIRST)
            storage.driver.delete_volume(clones.pop(0))
            storage.require_objects(*clones)

    @about(CAPACITY)
    def test_deletion_gives_the_room_back(self, storage: Storage) -> None:
        """When everything is deleted, the storage is as free as it was, but for what filesystems keep to themselves."""
        before = sum(pool.free_capacity_gb for pool in storage.driver.get_volume_stats())
        provisioned = _provisioned(storage)
        volume = storage.volume({0: b"x" * (8 << 20)})
        snapshot = storage.snapshot(volume)
        clone = storage.clone(volume)
        for thing in (volume, clone):
            storage.driver.delete_volume(thing)
        storage.driver.delete_snapshot(snapshot)
        storage.require_objects()
        assert _provisioned(storage) == provisioned
        assert sum(pool.total_capacity_gb for pool in storage.driver.get_volume_stats()) >= before


def _provisioned(storage: Storage) -> float:
    return sum(float(pool.capabilities.get("provisioned_capacity_gb", 0)) for pool in storage.driver.get_volume_stats())
