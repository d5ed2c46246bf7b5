"""What a client is told of an NBD export."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

from breezeblock.model.volume import Volume


def connection_of(uri: str, volume: Volume) -> dict[str, Any]:
    """The connection_info of a volume that is served at `uri`."""
    parts = urlsplit(uri)
    data = {
        "uri": uri,
        "socket": parse_qs(parts.query).get("socket", [None])[0],
        "export": parts.path.removeprefix("/"),
        "access_mode": "rw" if is_writable(volume) else "ro",
        "volume_id": volume.id,
    }
    return {"driver_volume_type": "nbd", "data": data}


def is_writable(volume: Volume) -> bool:
    """Cinder notes a read-only volume in its admin metadata."""
    return volume.admin_metadata.get("readonly", "").lower() != "true"
