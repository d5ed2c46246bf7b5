"""The rules of the contract, for this driver: `pytest` in the package's directory runs them while one writes it."""

from pathlib import Path

from acme_breezeblock.driver import open_driver
from breezeblock.drivers.conformance import DriverConformance, settings_for
from breezeblock.drivers.contract import Driver


class TestAcme(DriverConformance):
    """Each rule on fresh storage of its own."""

    def open_driver(self, directory: Path) -> Driver:
        """A driver on the storage that belongs to this directory."""
        return open_driver(settings_for("acme", directory, acme_path=str(directory / "acme")))
