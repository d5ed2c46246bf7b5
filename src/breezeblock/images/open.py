"""Which image service there is, by the configuration."""

import threading
import time

from breezeblock.config import Settings
from breezeblock.db import migrate
from breezeblock.db.connect import Database
from breezeblock.images.catalog import ImageCatalog
from breezeblock.images.glance import GlanceCatalog
from breezeblock.images.local import LocalCatalog


def open_catalog(settings: Settings, database: Database) -> ImageCatalog:
    """The image service that the option `image_service` names. The database is migrated already.

    Raises:
        ConfigError: it is not set up.
    """
    if settings.image_service == "glance":
        glance = GlanceCatalog(settings.glance)
        threading.Thread(target=glance.log_in, name="image service", daemon=True).start()
        return glance
    store = LocalCatalog(database, settings.path("image_store_path", "images"), settings.vmdk_allowed_types)
    # the database was there a moment ago, and may be gone again: that ends no process
    migrate.until_reached(store.recover, time.monotonic() + migrate.WAIT_SECONDS)
    return store
