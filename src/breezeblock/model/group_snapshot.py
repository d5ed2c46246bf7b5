"""A snapshot of all volumes of a group."""

import msgspec


class GroupSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table `group_snapshots`; its members are the snapshots with its id as `group_snapshot_id`."""

    id: str
    project_id: str
    user_id: str
    group_id: str
    group_type_id: str
    name: str | None = None
    description: str | None = None
    status: str
    host: str | None = None
    """That of its group."""
    created_at: str
    updated_at: str | None = None
