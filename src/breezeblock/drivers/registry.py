"""Which drivers there are: the entry points of the group `breezeblock.drivers`.

An entry point names a function `open_driver(settings: BackendSettings) -> Driver`. Adding a driver changes no file
here: a package with such an entry point is enough.
"""

import functools
from collections.abc import Callable
from importlib.metadata import EntryPoints, entry_points
from typing import cast

from breezeblock.config import BackendSettings
from breezeblock.drivers.contract import Driver, FailsOver
from breezeblock.errors import ConfigError, InvalidReplicationTarget

OpenDriver = Callable[[BackendSettings], Driver]

CINDER_NAMES = {
    "cinder.volume.drivers.nfs.NfsDriver": "directory",
    "cinder.volume.drivers.rbd.RBDDriver": "rbd",
}
"""Class paths that a cinder.conf names, and the drivers here that take their place."""


@functools.cache
def _installed() -> EntryPoints:
    """Read once: what describes the installed packages is some megabyte, and backends may be many."""
    return entry_points(group="breezeblock.drivers")


def names() -> list[str]:
    """The names of all installed drivers."""
    return sorted(_installed().names)


def open_driver(settings: BackendSettings, active_backend_id: str | None = None) -> Driver:
    """The driver of a backend, checked and ready, at the replication target that it works at if it is failed over.

    Raises `ConfigError` for an unknown one or an unusable storage.
    """
    driver = make_driver(settings)
    use_backend(driver, settings, active_backend_id)
    driver.check_for_setup_error()
    return driver


def make_driver(settings: BackendSettings) -> Driver:
    """The driver of a backend, which touches nothing yet. Raises `ConfigError` for an unknown one."""
    wanted = CINDER_NAMES.get(settings.volume_driver, settings.volume_driver)
    for point in _installed().select(name=wanted):
        return cast(OpenDriver, point.load())(settings)
    raise ConfigError(
        f"Backend {settings.name} asks for the driver {settings.volume_driver}, which is not installed. "
        f"Installed are: {', '.join(names())}."
    )


def use_backend(driver: Driver, settings: BackendSettings, active_backend_id: str | None) -> None:
    """Have the driver ask the place that the backend works at. Raises `ConfigError` where there is no such place."""
    if active_backend_id is None and not isinstance(driver, FailsOver):
        return
    try:
        if not isinstance(driver, FailsOver):
            raise InvalidReplicationTarget(f"The driver {settings.volume_driver} cannot fail over.")
        driver.use_backend(active_backend_id)
    except InvalidReplicationTarget as error:
        raise ConfigError(
            f"Backend {settings.name} is failed over to {active_backend_id}, which its section does not have: "
            f"{error.message} Put that replication_device back."
        ) from error
