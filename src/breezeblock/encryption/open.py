"""The key store that the configuration names."""

from breezeblock.config import Settings
from breezeblock.keys.local import LocalKeys
from breezeblock.keys.store import KeyStore


def open_keys(settings: Settings) -> KeyStore:
    """Where the keys of encrypted volumes are kept."""
    return LocalKeys(settings.path("local_key_path", "keys"))
