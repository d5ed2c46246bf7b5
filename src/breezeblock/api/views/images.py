"""What an image of the local store looks like: Glance's v2 body, with the image's properties beside the fixed keys."""

from typing import Any

from breezeblock.model.image import Image

_FIELDS = (
    "id name status visibility size virtual_size checksum os_hash_algo os_hash_value os_hidden protected owner "
    "min_disk min_ram disk_format container_format tags"
).split()


def detail(image: Image) -> dict[str, Any]:
    """An image. Its times have whole seconds and a zone, unlike a volume's."""
    path = f"/v2/images/{image.id}"
    return {
        **image.properties,
        **{name: getattr(image, name) for name in _FIELDS},
        "created_at": _whole_seconds(image.created_at),
        "updated_at": _whole_seconds(image.updated_at),
        "self": path,
        "file": f"{path}/file",
        "schema": "/v2/schemas/image",
    }


def _whole_seconds(time: str) -> str:
    return time.partition(".")[0] + "Z"
