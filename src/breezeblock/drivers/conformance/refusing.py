"""Rules for ids that are no ids: they come from a database that somebody may have written to."""

import contextlib
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from breezeblock.drivers.conformance.storage import (
    CONNECTOR,
    EMPTY,
    FIRST,
    SECOND,
    Rules,
    Storage,
    everything_below,
    fill_with,
    must_not_fill,
)
from breezeblock.drivers.conformance.themes import HOSTILE_NAMES
from breezeblock.drivers.contract import Driver, Manages, Replicates, RevertsToSnapshots, SnapshotsGroups
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

TEXTS = {
    "path": "../../x",
    "quotes": "'\"`$(reboot); --",
    "lines": "one\ntwo\r\n[section]\nkey = value",
    "nul": "a\0b",
    "unicode": "\u202e\N{SNOWMAN}\ud7ff\N{FACE WITH TEARS OF JOY}",
    "long": "x" * 4096,
}
"""What may stand where no id stands."""


class RefusingRules(Rules):
    """Every verb refuses a hostile id, and nothing anywhere is touched."""

    theme = HOSTILE_NAMES

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

    @pytest.mark.parametrize("text", list(TEXTS.values()), ids=list(TEXTS))
    def test_hostile_texts(self, storage: Storage, text: str) -> None:
        """What users write into name, description and metadata is nothing to the storage: all goes as with any volume."""
        before = everything_below(storage.directory.parent, but=storage.directory)
        words: dict[str, Any] = {"name": text, "description": text, "metadata": {text: text}}
        volume = msgspec.structs.replace(storage.volume_record(), **words)
        storage.driver.create_volume(volume)
        storage.write(volume, FIRST)
        snapshot = msgspec.structs.replace(storage.snapshot_record(volume), **words)
        storage.driver.create_snapshot(snapshot, volume)
        clone = msgspec.structs.replace(storage.volume_record(), **words)
        storage.driver.create_cloned_volume(clone, volume)
        storage.restart()
        for thing in (volume, snapshot, clone):
            storage.require_content(thing, FIRST)
        storage.require_objects(volume, snapshot, clone)
        assert everything_below(storage.directory.parent, but=storage.directory) == before

    @pytest.mark.parametrize("text", list(TEXTS.values()), ids=list(TEXTS))
    def test_hostile_contents(self, storage: Storage, text: str) -> None:
        """The name of a content is kept as it is, whatever stands in it: the same is not filled again, another is."""
        volume = storage.volume()
        storage.driver.copy_image_to_volume(volume, f"image:{text}", fill_with(FIRST))
        storage.restart().copy_image_to_volume(volume, f"image:{text}", must_not_fill)
        storage.require_content(volume, FIRST)
        storage.driver.copy_image_to_volume(volume, f"image:{text} ", fill_with(SECOND))
        storage.require_content(volume, SECOND)
        storage.require_objects(volume)

    @pytest.mark.parametrize("text", list(TEXTS.values()), ids=list(TEXTS))
    def test_hostile_connectors(self, storage: Storage, text: str) -> None:
        """A connector that calls itself anything is connected and leaves, or is refused; nothing else is touched."""
        before = everything_below(storage.directory.parent, but=storage.directory)
        volume = storage.volume(FIRST)
        connector = {"host": text, "ip": text, "initiator": text, "nqn": text}
        with contextlib.suppress(DriverError, InvalidInput):
            storage.driver.initialize_connection(volume, connector)
        storage.driver.terminate_connection(volume, connector)
        storage.require_content(volume, FIRST)
        storage.driver.delete_volume(volume)
        storage.require_objects()
        assert everything_below(storage.directory.parent, but=storage.directory) == before


def _acts(
    driver: Driver, storage: Storage, good: Volume, snapshot: Snapshot, evil: Volume, evil_snapshot: Snapshot
) -> dict[str, Callable[[], object]]:
    def read() -> None:
        with driver.open_volume(evil):
            pass

    acts = {
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
    return acts | _optional_acts(driver, good, snapshot, evil, evil_snapshot)


def _optional_acts(
    driver: Driver, good: Volume, snapshot: Snapshot, evil: Volume, evil_snapshot: Snapshot
) -> dict[str, Callable[[], object]]:
    acts: dict[str, Callable[[], object]] = {}
    if isinstance(driver, RevertsToSnapshots):
        acts["revert_to_snapshot"] = lambda: driver.revert_to_snapshot(evil, snapshot)
        acts["revert_to_snapshot to it"] = lambda: driver.revert_to_snapshot(good, evil_snapshot)
    if isinstance(driver, Manages):
        nothing = {"source-name": "volume-nothing"}
        acts["unmanage"] = lambda: driver.unmanage(evil)
        acts["manage_existing"] = lambda: driver.manage_existing(evil, nothing)
        acts["unmanage_snapshot"] = lambda: driver.unmanage_snapshot(evil_snapshot)
        acts["manage_existing_snapshot"] = lambda: driver.manage_existing_snapshot(evil_snapshot, nothing)
    if driver.capabilities.replication and isinstance(driver, Replicates):
        acts["update_replica"] = lambda: driver.update_replica(evil)
        acts["delete_replica"] = lambda: driver.delete_replica(evil)
        acts["create_replica_test_volume of it"] = lambda: driver.create_replica_test_volume(good, evil)
    if driver.capabilities.consistent_group_snapshots and isinstance(driver, SnapshotsGroups):
        acts["create_group_snapshot"] = lambda: driver.create_group_snapshot([(evil_snapshot, good)])
    return acts
