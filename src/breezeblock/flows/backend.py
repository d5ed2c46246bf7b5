"""A backend as flows see it: its driver, and the services that a flow may need beside it."""

import threading

import msgspec

from breezeblock.config import BackendSettings, Settings
from breezeblock.db.connect import Database
from breezeblock.drivers.contract import Driver
from breezeblock.images.catalog import ImageCatalog


class Backend(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a flow of one `host@backend` works with."""

    settings: Settings
    own: BackendSettings
    driver: Driver
    database: Database
    images: ImageCatalog
    copies: threading.Semaphore
    """Taken while bytes are copied: no more than `max_parallel_copies` at once."""

    @property
    def name(self) -> str:
        """`host@backend`."""
        return self.own.backend

    @property
    def slot(self) -> str:
        """The slot whose owner runs the flows: `host@backend#0`."""
        return f"{self.name}#0"
