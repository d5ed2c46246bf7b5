"""The rules for the driver that a check is about; collected by `run`, which has the fixture `checked`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from breezeblock.drivers.check.run import Checked
from breezeblock.drivers.conformance import DriverConformance, Storage
from breezeblock.drivers.contract import Driver


class TestInstalledDriver(DriverConformance):
    """All rules, on the storage of a section of the configuration."""

    @pytest.fixture(autouse=True)
    def _given(self, checked: Checked) -> None:
        self.checked = checked
        self.kill_places = checked.kill_places
        self.fill_up_bytes = checked.fill_up_bytes

    def open_driver(self, directory: Path) -> Driver:
        return self.checked.open_driver(directory)

    @pytest.fixture
    def storage(self, tmp_path: Path, checked: Checked) -> Iterator[Storage]:
        """The section's storage, which has to be empty, and is left so."""
        directory = tmp_path / "storage"
        directory.mkdir()
        storage = Storage(self.open_driver, directory, self.close_driver)
        try:
            checked.require_empty(storage.driver)
            yield storage
            storage.clean()
        finally:
            self.close_driver(storage.driver)
