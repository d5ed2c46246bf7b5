"""The key store that the configuration names."""

from pathlib import Path

from breezeblock.config import Settings
from breezeblock.errors import ConfigError
from breezeblock.keys.local import LocalKeys
from breezeblock.keys.store import KeyStore


def open_keys(settings: Settings) -> KeyStore:
    """Where the keys of encrypted volumes are kept. Raises `ConfigError` where a part that is needed is not installed."""
    if settings.key_manager["backend"] == "barbican":
        try:
            from breezeblock.keys.barbican import BarbicanKeys
        except ImportError as error:
            raise ConfigError(
                f"[key_manager] backend = barbican needs what the extra breezeblock[barbican] installs: {error}"
            ) from error
        return BarbicanKeys([Path(file) for file in settings.conf.default_config_files])
    return LocalKeys(settings.path("local_key_path", "keys"))
