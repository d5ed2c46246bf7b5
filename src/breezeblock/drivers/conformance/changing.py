"""Rules for what differs between two snapshots. They hold for drivers that tell it: contract.TellsChanges."""

import pytest

from breezeblock.drivers.conformance.connecting import WRITTEN, WRITTEN_LATER
from breezeblock.drivers.conformance.storage import (
    CONNECTOR,
    EMPTY,
    FIRST,
    GIB,
    SECOND,
    Content,
    Rules,
    Storage,
    cut,
    with_size,
    write_through,
)
from breezeblock.drivers.conformance.themes import CLAIMS, HOSTILE_NAMES, IDEMPOTENCE, about
from breezeblock.drivers.contract import RevertsToSnapshots, TellsChanges
from breezeblock.errors import BackendNotFound, DriverError, InvalidInput, NotSupportedByBackend
from breezeblock.model.snapshot import Snapshot

SECTOR = 512


class ChangingRules(Rules):
    """list_changed_extents."""

    theme = CLAIMS

    def test_what_a_client_wrote_is_told(self, storage: Storage) -> None:
        """Between two snapshots of a volume in use, all that was written is told; between any two of three."""
        _changing(storage)
        volume = storage.volume()
        contents = (EMPTY, WRITTEN, WRITTEN_LATER)
        snapshots = []
        for content in contents:
            write_through(storage.driver.initialize_connection(volume, CONNECTOR), content)
            snapshots.append(storage.snapshot(volume))
        storage.driver.terminate_connection(volume, None)
        for old, new in ((0, 1), (1, 2), (0, 2)):
            self._require_told(storage, snapshots[old], contents[old], snapshots[new], contents[new])

    def test_what_was_filled_and_grew_is_told(self, storage: Storage) -> None:
        """A volume that got other content, zeros where there were data, and a larger size: all of that is told."""
        _changing(storage)
        volume = storage.volume(FIRST)
        first = storage.snapshot(volume)
        storage.write(volume, SECOND)
        second = storage.snapshot(volume)
        storage.driver.extend_volume(volume, 2)
        beyond: Content = {GIB + 4096: b"beyond" * 1000}
        storage.write(volume, beyond)
        third = storage.snapshot(with_size(volume, 2))
        self._require_told(storage, first, FIRST, second, SECOND)
        self._require_told(storage, second, SECOND, third, beyond, size=2)
        self._require_told(storage, first, FIRST, third, beyond, size=2)

    def test_what_a_revert_changed_is_told(self, storage: Storage) -> None:
        """A volume may have gone back to an older content in between."""
        driver = storage.driver
        _changing(storage)
        if not isinstance(driver, RevertsToSnapshots):
            pytest.skip("The driver does not revert volumes by itself.")
        volume = storage.volume(FIRST)
        old = storage.snapshot(volume)
        storage.write(volume, SECOND)
        base = storage.snapshot(volume)
        driver.revert_to_snapshot(volume, old)
        now = storage.snapshot(volume)
        self._require_told(storage, base, SECOND, now, FIRST)
        self._require_told(storage, old, FIRST, now, FIRST)

    @about(IDEMPOTENCE)
    def test_changes_are_told_after_all_else_is_gone(self, storage: Storage) -> None:
        """After a restart, and when the volume and the snapshots before and between them are gone, it is the same."""
        _changing(storage)
        volume = storage.volume(FIRST)
        before, base = storage.snapshot(volume), storage.snapshot(volume)
        storage.write(volume, SECOND)
        between, now = storage.snapshot(volume), storage.snapshot(volume)
        for one in (before, between):
            storage.driver.delete_snapshot(one)
        storage.driver.delete_volume(volume)
        storage.restart()
        self._require_told(storage, base, FIRST, now, SECOND)
        storage.require_objects(base, now)

    def test_changes_of_what_is_not_there(self, storage: Storage) -> None:
        """Where one of the snapshots is not there it is BackendNotFound; nothing is made."""
        driver = _changing(storage)
        volume = storage.volume(FIRST)
        snapshot, missing = storage.snapshot(volume), storage.snapshot_record(volume)
        for since, now in ((missing, snapshot), (snapshot, missing)):
            with pytest.raises(BackendNotFound):
                list(driver.list_changed_extents(since, now))
        storage.require_objects(volume, snapshot)

    @about(HOSTILE_NAMES)
    def test_changes_of_hostile_names(self, storage: Storage) -> None:
        """An id that is no plain name is refused."""
        driver = _changing(storage)
        volume = storage.volume(FIRST)
        snapshot, evil = storage.snapshot(volume), storage.snapshot_record(volume, id="../x")
        storage.snapshots.remove(evil)
        for since, now in ((evil, snapshot), (snapshot, evil)):
            with pytest.raises((DriverError, InvalidInput)):
                list(driver.list_changed_extents(since, now))

    def _require_told(
        self, storage: Storage, since: Snapshot, old: Content, snapshot: Snapshot, new: Content, size: int = 1
    ) -> None:
        """Hold that all is told in which the contents differ, in order, and that what is told reads as it is told."""
        storage.require_content(since, old, size=since.volume_size)
        storage.require_content(snapshot, new, size=size)
        try:
            told = list(_changing(storage).list_changed_extents(since, snapshot))
        except NotSupportedByBackend as declined:
            pytest.skip(f"The driver cannot tell it: {declined.message}")
        at = 0
        for extent in told:
            assert extent.length > 0, f"an extent at {extent.offset} is empty"
            assert extent.offset >= at, f"the extent at {extent.offset} begins before {at}"
            at = extent.offset + extent.length
        assert at <= size * GIB
        for offset in _sectors(old, new):
            read = cut(new, offset, SECTOR)
            covering = [one for one in told if one.offset <= offset < one.offset + one.length]
            if read != cut(old, offset, SECTOR):
                assert covering, f"byte {offset} differs and is not told"
            assert not covering or covering[0].data or not any(read), f"byte {offset} is told to be zero"


def _sectors(*contents: Content) -> list[int]:
    """Where any of these has or had something."""
    found = set[int]()
    for content in contents:
        for start, data in content.items():
            found.update(range(start // SECTOR * SECTOR, start + len(data), SECTOR))
    return sorted(found)


def _changing(storage: Storage) -> TellsChanges:
    driver = storage.driver
    if not isinstance(driver, TellsChanges):
        pytest.skip("The driver does not tell what has changed.")
    return driver
