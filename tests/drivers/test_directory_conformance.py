"""The directory driver keeps the contract: without reflink (overlays), and with it on XFS."""

from pathlib import Path

from breezeblock.drivers.conformance import DriverConformance, settings_for
from breezeblock.drivers.contract import Driver
from breezeblock.drivers.directory.driver import open_driver


class TestOverlays(DriverConformance):
    """On any filesystem, by bases and overlays."""

    def open_driver(self, directory: Path) -> Driver:
        return open_driver(settings_for("directory", directory, directory_reflink="never"))
