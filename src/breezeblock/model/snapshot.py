"""A snapshot of a volume."""

import msgspec


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table `snapshots`. `volume_size` is the volume's size in GiB when the snapshot was taken."""

    id: str
    project_id: str
    user_id: str
    volume_id: str
    name: str | None = None
    description: str | None = None
    status: str
    progress: str = "0%"
    volume_size: int
    volume_type_id: str | None = None
    host: str | None = None
    """`host@backend#pool` of its volume."""
    group_snapshot_id: str | None = None
    """The group snapshot it is a member of."""
    bootable: bool = False
    consumes_quota: bool = True
    metadata: dict[str, str] = {}
    image_metadata: dict[str, str] = {}
    provider_id: str | None = None
    provider_location: str | None = None
    provider_auth: str | None = None
    created_at: str
    updated_at: str | None = None

    @property
    def storage_name(self) -> str:
        """Its name on the storage, Cinder's default template."""
        return f"snapshot-{self.id}"
