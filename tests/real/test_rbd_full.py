"""A pool on a real Ceph whose quota is used: what fails says so, and what makes room works."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from breezeblock.drivers.conformance import Storage
from breezeblock.drivers.conformance.filling_up import FillingUpRules
from breezeblock.drivers.conformance.storage import FIRST
from breezeblock.errors import BackendOutOfSpace
from tests.ceph import Ceph
from tests.clients.test_lazy_hydration import until
from tests.real.test_rbd_conformance import RbdStorage
from tests.real.test_rbd_service import doctor, make, serving, show

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

QUOTA = 64 << 20


@pytest.fixture
def quota(storage: Storage, ceph: Ceph) -> Iterator[None]:
    """The pool has little room, after it was emptied."""
    _limit(ceph, QUOTA)
    yield
    _limit(ceph, 0)


@pytest.mark.usefixtures("quota")
class TestFullPool(RbdStorage, FillingUpRules):
    """The rules for a storage that has no room left, and what is special to Ceph."""

    def _more_than_fits(self, storage: Storage) -> int:
        return 8  # GiB, since Ceph looks at quotas once a second only

    def _wait_for_room(self, storage: Storage) -> None:
        _wait_for_room(self.ceph)

    def test_a_worker_starts_on_a_full_pool(self, storage: Storage, ceph: Ceph) -> None:
        """And deletes what is there, clones and what they stand on as well, in any order."""
        volume, other = storage.volume(FIRST), storage.volume(FIRST)
        clone = storage.clone(volume)
        snapshot = storage.snapshot(other)
        _fill_up(ceph)
        driver = storage.restart()
        for thing in (volume, clone, snapshot, other):
            storage.require_content(thing, FIRST)
        with pytest.raises(BackendOutOfSpace, match="quota"):
            driver.create_volume(storage.volume_record())
        with pytest.raises(BackendOutOfSpace):
            storage.snapshot(other)  # librbd would make one that nobody can open
        with pytest.raises(BackendOutOfSpace):
            driver.delete_volume(volume)  # the clone stands on it
        storage.require_content(volume, FIRST)
        driver.delete_volume(clone)
        driver.delete_volume(volume)
        driver.delete_snapshot(snapshot)
        driver.delete_volume(other)


def _limit(ceph: Ceph, size: int) -> None:
    ceph.run("ceph", "osd", "pool", "set-quota", "volumes", "max_bytes", str(size))


def _fill_up(ceph: Ceph) -> None:
    """Have a quota that is less than what is used."""
    _limit(ceph, 4096)
    until(lambda: "full" in ceph.run("ceph", "health"))


def _wait_for_room(ceph: Ceph) -> None:
    """Until Ceph has counted, which it does every few seconds."""
    until(lambda: "full" not in ceph.run("ceph", "health"))


def test_a_service_with_a_full_pool(ceph: Ceph, tmp_path: Path) -> None:
    """Users are told why, nothing is left behind, and all is well when there is room again."""
    with serving(tmp_path, ceph) as running:
        image_id = running.image("some", "raw")
        content = tmp_path / "image"
        content.write_bytes(bytes(range(256)) * 4096)
        with content.open("rb") as file:
            running.upload(image_id, file, content.stat().st_size)
        kept, doomed = make(running, imageRef=image_id), make(running)
        _fill_up(ceph)
        try:
            sources: tuple[dict[str, str], ...] = ({}, {"imageRef": image_id}, {"source_volid": kept})
            refused = [running.create("volume", size=1, volume_type="ceph", **source) for source in sources]
            until(lambda: all(show(running, one)["status"] == "error" for one in refused))
            for one in refused:
                (operation,) = running.client.call("GET", f"/operations?resource_id={one}")["operations"]
                assert "no room left" in operation["message"], operation
            until(lambda: not [name for name in ceph.images("volumes") if any(one in name for one in refused)])
            make(running, volume_type="plain")
            for one in (doomed, *refused):
                running.client.call("DELETE", f"/volumes/{one}")
            until(lambda: f"volume-{doomed}" not in ceph.images("volumes"))
        finally:
            _limit(ceph, 0)
        _wait_for_room(ceph)
        make(running, imageRef=image_id)
        make(running, source_volid=kept)
        assert doctor(running)[1]["findings"] == []
