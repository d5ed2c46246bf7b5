"""An entry of the image-volume cache as it is told."""

from typing import TypedDict

from breezeblock.api.shapes import GiB, Time
from breezeblock.api.views.operations import Progress, progress
from breezeblock.db.image_cache import CacheEntry
from breezeblock.model.operation import Operation


class CacheEntryShown(TypedDict):
    """An entry: its id is that of its volume; one that is being filled tells how far that is."""

    id: str
    status: str
    image_name: str | None
    backend: str
    image_id: str
    image_updated_at: str
    checksum: str | None
    size: GiB
    last_used: Time
    pinned: bool
    operation_id: str | None
    progress: Progress | None


class CacheEntries(TypedDict):
    """What the image cache holds."""

    image_cache: list[CacheEntryShown]


class OneCacheEntry(TypedDict):
    """An entry of the image cache."""

    image_cache_entry: CacheEntryShown


def shown(entry: CacheEntry, image_name: str | None, fill: Operation | None) -> CacheEntryShown:
    """An entry: its id is that of its volume, its size is GiB; one that is being filled tells how far that is."""
    return {
        "id": entry.volume_id,
        "status": entry.status,
        "image_name": image_name,
        "backend": entry.backend,
        "image_id": entry.image_id,
        "image_updated_at": entry.image_updated_at,
        "checksum": entry.checksum,
        "size": entry.size,
        "last_used": entry.last_used,
        "pinned": entry.pinned,
        "operation_id": entry.operation_id,
        "progress": None if fill is None else progress(fill),
    }
