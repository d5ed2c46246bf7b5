"""Rules for ids that are no ids: they come from a database that somebody may have written to."""

from collections.abc import Callable

import pytest

from breezeblock.drivers.conformance.storage import (
    CONNECTOR,
    EMPTY,
    FIRST,
    Rules,
    Storage,
    everything_below,
    must_not_fill,
)
from breezeblock.drivers.contract import Driver
from breezeblock.errors import DriverError, InvalidInput
from breezeblock.model.snapshot import Snapshot
from breezeblock.model.volume import Volume

HOSTILE = {
    "parent": "../x",
    "far": "x/../../../x",
    "absolute": "/x",
    "slash": "a/b",
    "empty": "",
    "dots": "..",
    "nul": "a\0b",
    "newline": "a\nb",
    "long": "x" * 300,
    "remains": "x.tmp",
}


class RefusingRules(Rules):
    """Every verb refuses a hostile id, and nothing anywhere is touched."""

    @pytest.mark.parametrize("id", list(HOSTILE.values()), ids=list(HOSTILE))
    def test_hostile_ids(self, storage: Storage, id: str) -> None:
        """An id that is no plain name is refused with a DriverError or InvalidInput by every verb that is given it."""
        good = storage.volume(FIRST)
        snapshot = storage.snapshot(good)
        outside = storage.directory.parent
        (outside / "x").write_text("not the driver's")
        before = everything_below(outside, but=storage.directory)
        evil = storage.volume_record(id=id)
        evil_snapshot = storage.snapshot_record(good, id=id)
        storage.volumes.remove(evil)
        storage.snapshots.remove(evil_snapshot)
        for name, act in _acts(storage.driver, storage, good, snapshot, evil, evil_snapshot).items():
            try:
                act()
            except (DriverError, InvalidInput):
                continue
            pytest.fail(f"{name} does not refuse the id {id[:20]!r}.")
        assert everything_below(outside, but=storage.directory) == before
        storage.require_objects(good, snapshot)
        storage.require_content(good, FIRST)
        storage.require_content(snapshot, FIRST)

    def test_ids_are_not_patterns(self, storage: Storage) -> None:
        """Deleting a volume touches no other whose id begins alike or would match it as a pattern."""
        volumes = [storage.volume_record(id=id) for id in ("aaaa", "aaaa-1", "aaaa_1", "aaaab", "baaaa")]
        for volume in volumes:
            storage.driver.create_volume(volume)
        storage.driver.delete_volume(volumes[0])
        storage.require_objects(*volumes[1:])
        for volume in volumes[1:]:
            storage.require_content(volume, EMPTY)


def _acts(
    driver: Driver, storage: Storage, good: Volume, snapshot: Snapshot, evil: Volume, evil_snapshot: Snapshot
) -> dict[str, Callable[[], object]]:
    def read() -> None:
        with driver.open_volume(evil):
            pass

    return {
        "create_volume": lambda: driver.create_volume(evil),
        "delete_volume": lambda: driver.delete_volume(evil),
        "extend_volume": lambda: driver.extend_volume(evil, 2),
        "create_snapshot": lambda: driver.create_snapshot(evil_snapshot, good),
        "create_snapshot of it": lambda: driver.create_snapshot(storage.snapshot_record(good), evil),
        "delete_snapshot": lambda: driver.delete_snapshot(evil_snapshot),
        "create_volume_from_snapshot": lambda: driver.create_volume_from_snapshot(evil, snapshot),
        "create_volume_from_snapshot of it": lambda: driver.create_volume_from_snapshot(
            storage.volume_record(), evil_snapshot
        ),
        "create_cloned_volume": lambda: driver.create_cloned_volume(evil, good),
        "create_cloned_volume of it": lambda: driver.create_cloned_volume(storage.volume_record(), evil),
        "copy_image_to_volume": lambda: driver.copy_image_to_volume(evil, "test:hostile", must_not_fill),
        "open_volume": read,
        "initialize_connection": lambda: driver.initialize_connection(evil, CONNECTOR),
        "terminate_connection": lambda: driver.terminate_connection(evil, None),
        "ensure_export": lambda: driver.ensure_export(evil),
    }
