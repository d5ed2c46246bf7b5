"""What the directory driver tells of changes costs no reading, and is no more than the clusters that were written."""

import pytest

from breezeblock.drivers.contract import Extent
from breezeblock.drivers.directory.content import ChainSource
from breezeblock.drivers.directory.qcow2 import CLUSTER
from breezeblock.errors import NotSupportedByBackend
from tests.drivers.directory_storage import GIB, MIB, a_snapshot, a_volume, fill_of, mounted, opened, write


@pytest.fixture(params=["reflink", "overlays"])
def driver(request, tmp_path):
    if request.param == "overlays":
        driver = opened(tmp_path, directory_reflink="never")
        yield driver
        driver.close()
        return
    with mounted("xfs", tmp_path) as directory:
        driver = opened(directory)
        assert driver._lineage.shares_blocks
        yield driver
        driver.close()


def taken(driver, volume):
    snapshot = a_snapshot(volume)
    driver.create_snapshot(snapshot, volume)
    return snapshot


def test_only_what_was_written_is_told_and_nothing_is_read(driver, monkeypatch):
    volume = a_volume()
    driver.create_volume(volume)
    driver.copy_image_to_volume(volume, "test:full", fill_of(b"full" * MIB, 0))
    first, same = taken(driver, volume), taken(driver, volume)
    for cluster in (5, 6, GIB // CLUSTER - 1):
        write(driver, volume, 7, cluster)
    now = taken(driver, volume)
    monkeypatch.setattr(ChainSource, "read", lambda self, piece: pytest.fail("It reads."))
    assert list(driver.list_changed_extents(first, same)) == []
    changed = [Extent(5 * CLUSTER, 2 * CLUSTER, True), Extent(GIB - CLUSTER, CLUSTER, True)]
    assert list(driver.list_changed_extents(first, now)) == changed
    assert list(driver.list_changed_extents(same, now)) == changed
    driver.delete_volume(volume)
    driver.delete_snapshot(same)
    assert list(driver.list_changed_extents(first, now)) == changed


def test_blocks_that_move_meanwhile_are_not_told_of(tmp_path, monkeypatch):
    """A block that the older file has left may be the newer one's by then."""
    with mounted("xfs", tmp_path) as directory:
        driver = opened(directory)
        volume = a_volume()
        driver.create_volume(volume)
        driver.copy_image_to_volume(volume, "test:full", fill_of(b"full" * MIB, 0))
        first, now = taken(driver, volume), taken(driver, volume)
        identity, asked = ChainSource.identity, []

        def moving(self, piece):
            asked.append(piece)
            return (*identity(self, piece)[:1], len(asked))

        monkeypatch.setattr(ChainSource, "identity", moving)
        monkeypatch.setattr("breezeblock.drivers.directory.changes._map", lambda *arguments: iter(()))
        with pytest.raises(NotSupportedByBackend, match="moves the blocks"):
            list(driver.list_changed_extents(first, now))
        driver.close()
