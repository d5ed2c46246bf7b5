"""A volume."""

from typing import Any

import msgspec


class Volume(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table `volumes`, field by field. Sizes are GiB, times are `clock` text."""

    id: str
    project_id: str
    user_id: str
    name: str | None = None
    description: str | None = None
    size: int
    status: str
    previous_status: str | None = None
    attach_status: str = "detached"
    migration_status: str | None = None
    host: str | None = None
    """Where it lies: `host@backend#pool`."""
    availability_zone: str | None = None
    volume_type_id: str | None = None
    snapshot_id: str | None = None
    source_volid: str | None = None
    image_id: str | None = None
    """The image it was made from, if it was."""
    backup_id: str | None = None
    group_id: str | None = None
    bootable: bool = False
    multiattach: bool = False
    consumes_quota: bool = True
    """False for volumes of the service itself, such as entries of the image-volume cache."""
    encryption_key_id: str | None = None
    metadata: dict[str, str] = {}
    admin_metadata: dict[str, str] = {}
    image_metadata: dict[str, str] = {}
    """Properties of the image it was made from, as `volume_image_metadata` shows them."""
    replication_status: str | None = None
    replication_driver_data: str | None = None
    replicated_at: str | None = None
    """When the replica was last in step with the volume."""
    provider_id: str | None = None
    provider_location: str | None = None
    provider_auth: str | None = None
    provider_geometry: str | None = None
    created_at: str
    updated_at: str | None = None
    scheduled_at: str | None = None
    launched_at: str | None = None

    @property
    def storage_name(self) -> str:
        """Its name on the storage, Cinder's default template."""
        return f"volume-{self.id}"

    @property
    def size_bytes(self) -> int:
        """The size in bytes."""
        return self.size << 30

    @property
    def backend(self) -> str | None:
        """`host@backend`, without the pool."""
        return self.host.partition("#")[0] if self.host else None


ModelUpdate = dict[str, Any]
"""What a driver wants changed in the row: a subset of `MODEL_UPDATE_FIELDS`, Cinder's word for it."""

MODEL_UPDATE_FIELDS = frozenset(
    {
        "provider_id",
        "provider_location",
        "provider_auth",
        "provider_geometry",
        "replication_status",
        "replication_driver_data",
        "replicated_at",
        "metadata",
        "admin_metadata",
    }
)
