"""A backend as flows see it: its driver, and the services that a flow may need beside it."""

import msgspec

from breezeblock.config import BackendSettings, Settings
from breezeblock.db.connect import Database
from breezeblock.drivers.contract import Driver
from breezeblock.encryption.open import open_keys
from breezeblock.flows.gate import Gate
from breezeblock.flows.pace import Pace
from breezeblock.flows.turns import CopyTurns
from breezeblock.images.catalog import ImageCatalog
from breezeblock.images.nbd_listener import NbdListener
from breezeblock.keys.store import KeyStore


class Backend(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a flow of one `host@backend` works with."""

    settings: Settings
    own: BackendSettings
    number: int = 0
    """Of the slot."""
    driver: Driver
    database: Database
    images: ImageCatalog
    keys: KeyStore
    copies: CopyTurns
    """Whose copy is next: no more than `max_parallel_copies` run at once."""
    pace: Pace | None
    """How fast all copies are together, by `volume_copy_bps_limit`; None where they may be as fast as they can."""
    gate: Gate
    """Where all flows wait while the backend changes its place."""
    sources: NbdListener
    """Where the storage reads images that are on their way to it."""

    @property
    def name(self) -> str:
        """`host@backend`."""
        return self.own.backend

    @property
    def slot(self) -> str:
        """The slot whose owner runs the flows: `host@backend#NUMBER`."""
        return f"{self.name}#{self.number}"


def make_backend(
    settings: Settings,
    own: BackendSettings,
    driver: Driver,
    database: Database,
    images: ImageCatalog,
    number: int = 0,
) -> Backend:
    """A backend for its slot's owner, with its copies bounded as its section says."""
    return Backend(
        settings=settings,
        own=own,
        number=number,
        driver=driver,
        database=database,
        images=images,
        keys=open_keys(settings),
        copies=CopyTurns(own.max_parallel_copies),
        pace=Pace(own.volume_copy_bps_limit) if own.volume_copy_bps_limit else None,
        gate=Gate(),
        sources=NbdListener(
            settings.run_dir / "sources" / (f"{own.name}#{number}.sock" if number else f"{own.name}.sock")
        ),
    )
