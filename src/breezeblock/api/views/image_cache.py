"""An entry of the image-volume cache as it is told."""

from typing import Any

from breezeblock.api.views.operations import progress
from breezeblock.db.image_cache import CacheEntry
from breezeblock.model.operation import Operation


def shown(entry: CacheEntry, image_name: str | None, fill: Operation | None) -> dict[str, Any]:
    """An entry: its id is that of its volume, its size is GiB; one that is being filled tells how far that is."""
    fields: dict[str, Any] = {"id": entry.volume_id, "status": entry.status, "image_name": image_name}
    fields |= {name: getattr(entry, name) for name in entry.__struct_fields__ if name != "volume_id"}
    return fields | {"progress": None if fill is None else progress(fill)}
