"""Which drivers there are: the entry points of the group `breezeblock.drivers`.

An entry point names a function `open_driver(settings: BackendSettings) -> Driver`. Adding a driver changes no file
here: a package with such an entry point is enough.
"""

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import cast

from breezeblock.config import BackendSettings
from breezeblock.drivers.contract import Driver
from breezeblock.errors import ConfigError

OpenDriver = Callable[[BackendSettings], Driver]

CINDER_NAMES = {
    "cinder.volume.drivers.nfs.NfsDriver": "directory",
    "cinder.volume.drivers.rbd.RBDDriver": "rbd",
}
"""Class paths that a cinder.conf names, and the drivers here that take their place."""


def names() -> list[str]:
    """The names of all installed drivers."""
    return sorted({point.name for point in entry_points(group="breezeblock.drivers")})


def open_driver(settings: BackendSettings) -> Driver:
    """The driver of a backend, checked and ready. Raises `ConfigError` for an unknown one or an unusable storage."""
    driver = make_driver(settings)
    driver.check_for_setup_error()
    return driver


def make_driver(settings: BackendSettings) -> Driver:
    """The driver of a backend, which touches nothing yet. Raises `ConfigError` for an unknown one."""
    wanted = CINDER_NAMES.get(settings.volume_driver, settings.volume_driver)
    for point in entry_points(group="breezeblock.drivers", name=wanted):
        return cast(OpenDriver, point.load())(settings)
    raise ConfigError(
        f"Backend {settings.name} asks for the driver {settings.volume_driver}, which is not installed. "
        f"Installed are: {', '.join(names())}."
    )
