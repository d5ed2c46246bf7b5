"""An image: a file, held by an image service, that a volume can be made of."""

from typing import Any

import msgspec

KEY_ID = "cinder_encryption_key_id"
"""The property of an image that is a LUKS container: the id of its own key."""
KEY_POLICY = "cinder_encryption_key_deletion_policy"
WITH_IMAGE = "on_image_deletion"
"""The value of `KEY_POLICY` by which a key goes with its image."""


class ImageLocation(msgspec.Struct, frozen=True, kw_only=True):
    """Where an image's bytes lie, as Glance tells those who may know."""

    url: str
    metadata: dict[str, Any] = {}


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """One image, with Glance's names. `size` and `virtual_size` are bytes, `min_disk` GiB, `min_ram` MiB."""

    id: str
    name: str | None = None
    status: str = "active"
    disk_format: str | None = None
    container_format: str | None = None
    size: int | None = None
    virtual_size: int | None = None
    min_disk: int = 0
    min_ram: int = 0
    checksum: str | None = None
    os_hash_algo: str | None = None
    os_hash_value: str | None = None
    owner: str | None = None
    visibility: str = "private"
    protected: bool = False
    os_hidden: bool = False
    tags: list[str] = []
    properties: dict[str, str] = {}
    """Everything else that Glance keeps at an image, such as `os_distro`."""
    direct_url: str | None = None
    locations: list[ImageLocation] = []
    created_at: str = ""
    updated_at: str = ""

    @property
    def encryption_key_id(self) -> str | None:
        """The key that the image says it is encrypted under. Users may write anything there: `ImageKey` knows."""
        return self.properties.get(KEY_ID)

    def volume_metadata(self) -> dict[str, str]:
        """What a volume made of it remembers (Cinder's volume_image_metadata): core fields and all properties."""
        core = {
            "image_id": self.id,
            "image_name": self.name,
            "checksum": self.checksum,
            "container_format": self.container_format,
            "disk_format": self.disk_format,
            "min_disk": self.min_disk,
            "min_ram": self.min_ram,
            "size": self.size,
        }
        return {key: str(value) for key, value in core.items() if value is not None} | self.properties


class ImageKey(msgspec.Struct, frozen=True, kw_only=True):
    """The key of an image that this service made of an encrypted volume: one row of the table `image_keys`.

    `id` is the image's. `host` is where the volume was: its backend's worker forgets the key.
    """

    id: str
    project_id: str
    host: str
    encryption_key_id: str
    created_at: str
