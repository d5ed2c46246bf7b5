"""What a volume cannot do before its content has come."""

from sqlalchemy.engine import Connection

from breezeblock.db import operations
from breezeblock.errors import InvalidState

HYDRATE = "hydrate_volume"


def require_hydrated(connection: Connection, volume_id: str) -> None:
    """Raises `InvalidState` for a volume whose content is still on its way from its image."""
    if operations.is_under_way(connection, volume_id, HYDRATE):
        raise InvalidState(
            f"Invalid volume: The content of volume {volume_id} is still on its way from its image; this can be done when "
            f"its operation {HYDRATE} has ended."
        )
