"""A group of volumes that are snapshotted, copied and deleted together."""

import msgspec


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table `groups`."""

    id: str
    project_id: str
    user_id: str
    name: str | None = None
    description: str | None = None
    status: str
    group_type_id: str
    volume_type_ids: list[str] = []
    """The types that its volumes may have."""
    host: str | None = None
    """Its volumes lie on the backend of this `host@backend#pool`."""
    availability_zone: str | None = None
    group_snapshot_id: str | None = None
    """The group snapshot it was made of, if it was."""
    source_group_id: str | None = None
    replication_status: str = "disabled"
    created_at: str
    updated_at: str | None = None

    @property
    def backend(self) -> str:
        """`host@backend`, without the pool."""
        return (self.host or "").partition("#")[0]
