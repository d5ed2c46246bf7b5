"""The directory driver keeps the contract: by overlays on any filesystem, and by reflink on XFS."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from breezeblock.drivers.conformance import DriverConformance, Storage, settings_for
from breezeblock.drivers.contract import Driver
from breezeblock.drivers.directory.driver import DirectoryDriver, open_driver
from tests.drivers.directory_storage import mounted
from tests.processes import free_port


class DirectoryConformance(DriverConformance):
    """What both ways have in common: a driver that is done with gives its directory to the next one."""

    def close_driver(self, driver: Driver) -> None:
        assert isinstance(driver, DirectoryDriver)
        driver.close()


class TestOverlays(DirectoryConformance):
    """On any filesystem, by bases and overlays; with replicas."""

    def open_driver(self, directory: Path) -> Driver:
        device = str(directory / "replicas")
        return open_driver(settings_for("directory", directory, directory_reflink="never", replication_device=device))


class TestIscsi(DirectoryConformance):
    """The same, with hosts that come over iSCSI."""

    def open_driver(self, directory: Path) -> Driver:
        port = directory / "port"
        if not port.exists():
            port.write_text(str(free_port()))
        told = {"target_protocol": "iscsi", "target_port": port.read_text()}
        return open_driver(settings_for("directory", directory, directory_reflink="never", **told))


@pytest.fixture(scope="module")
def xfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with mounted("xfs", tmp_path_factory.mktemp("xfs")) as directory:
        yield directory


class TestReflink(DirectoryConformance):
    """On XFS, where snapshots and clones are files that share blocks."""

    @pytest.fixture
    def storage(self, xfs: Path) -> Iterator[Storage]:
        directory = xfs / uuid.uuid4().hex[:8]
        directory.mkdir()
        storage = Storage(self.open_driver, directory, self.close_driver)
        yield storage
        storage.clean()
        self.close_driver(storage.driver)

    def open_driver(self, directory: Path) -> Driver:
        return open_driver(settings_for("directory", directory, replication_device=str(directory / "replicas")))
