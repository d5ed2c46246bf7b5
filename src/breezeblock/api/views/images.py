"""What an image of the local store looks like: Glance's v2 body, with the image's properties beside the fixed keys."""

from typing import NotRequired, TypedDict, cast

from breezeblock.model.image import Image


class ImageDetail(TypedDict):
    """An image. Its properties, which are text, stand beside these."""

    id: str
    name: str | None
    status: str
    visibility: str
    size: int | None
    virtual_size: int | None
    checksum: str | None
    os_hash_algo: str | None
    os_hash_value: str | None
    os_hidden: bool
    protected: bool
    owner: str | None
    min_disk: int
    min_ram: int
    disk_format: str | None
    container_format: str | None
    tags: list[str]
    created_at: str
    updated_at: str
    self: str
    file: str
    schema: str


class Images(TypedDict):
    """Images, and where the next ones are."""

    images: list[ImageDetail]
    first: str
    next: NotRequired[str]
    schema: str


def detail(image: Image) -> ImageDetail:
    """An image. Its times have whole seconds and a zone, unlike a volume's."""
    path = f"/v2/images/{image.id}"
    fixed: ImageDetail = {
        "id": image.id,
        "name": image.name,
        "status": image.status,
        "visibility": image.visibility,
        "size": image.size,
        "virtual_size": image.virtual_size,
        "checksum": image.checksum,
        "os_hash_algo": image.os_hash_algo,
        "os_hash_value": image.os_hash_value,
        "os_hidden": image.os_hidden,
        "protected": image.protected,
        "owner": image.owner,
        "min_disk": image.min_disk,
        "min_ram": image.min_ram,
        "disk_format": image.disk_format,
        "container_format": image.container_format,
        "tags": image.tags,
        "created_at": _whole_seconds(image.created_at),
        "updated_at": _whole_seconds(image.updated_at),
        "self": path,
        "file": f"{path}/file",
        "schema": "/v2/schemas/image",
    }
    return cast(ImageDetail, {**image.properties, **fixed})


def _whole_seconds(time: str) -> str:
    return time.partition(".")[0] + "Z"
