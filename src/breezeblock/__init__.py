"""Breezeblock: a block storage service that speaks the OpenStack Block Storage API v3."""

import atexit
import gc

__version__ = "0.1.0"

# msgspec frees the fields of records twice where the last collection takes their classes (its issue 717), and the
# process dies of it after all was well: at the end nothing is collected any more.
atexit.register(gc.freeze)
