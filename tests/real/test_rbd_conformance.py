"""The RBD driver keeps the contract, on a real Ceph."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from breezeblock.drivers.conformance import DriverConformance, Storage, settings_for
from breezeblock.drivers.contract import Driver
from breezeblock.drivers.rbd.driver import RbdDriver, open_driver
from tests.ceph import Ceph

pytestmark = pytest.mark.real


class RbdStorage:
    """The pool `volumes`, empty before and after."""

    options: ClassVar[dict[str, str]] = {}

    @pytest.fixture
    def storage(self, ceph: Ceph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
        ceph.wipe("volumes")
        monkeypatch.setenv("CEPH_CONF", str(ceph.conf))
        self.ceph = ceph
        directory = tmp_path / "storage"
        directory.mkdir()
        storage = Storage(self.open_driver, directory, self.close_driver)
        yield storage
        storage.clean()
        ceph.wait_for_images("volumes")
        self.close_driver(storage.driver)

    def open_driver(self, directory: Path) -> Driver:
        told = {"rbd_pool": "volumes", "rbd_user": "cinder", "rbd_ceph_conf": str(self.ceph.conf), **self.options}
        return open_driver(settings_for("rbd", directory, **told))

    def close_driver(self, driver: Driver) -> None:
        assert isinstance(driver, RbdDriver)
        driver.close()


class TestRbd(RbdStorage, DriverConformance):
    """Clones of the second format."""

    kill_places = 1
