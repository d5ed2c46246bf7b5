"""What group snapshots look like (Cinder: `api/v3/views/group_snapshots.py`, and `api/views/cgsnapshots.py`)."""

from collections.abc import Sequence
from typing import Annotated, Any, NotRequired, TypedDict

from breezeblock.api.call import Call
from breezeblock.api.shapes import Counted, Link, Time, since
from breezeblock.db import tables

_table = tables.group_snapshots

SUMMARY_COLUMNS = (_table.c.id, _table.c.name)

COLUMNS = tuple(
    _table.c[name] for name in "id name group_id group_type_id status created_at description project_id".split()
)


class GroupSnapshotSummary(TypedDict):
    """A group snapshot in the short list."""

    id: str
    name: str | None


class NewGroupSnapshotSummary(GroupSnapshotSummary):
    """A group snapshot that was made."""

    group_type_id: str | None


class GroupSnapshotDetail(NewGroupSnapshotSummary):
    """A group snapshot."""

    group_id: str
    status: str
    created_at: Time
    description: str | None
    project_id: NotRequired[Annotated[str, since(58, always=False)]]


class NewGroupSnapshot(TypedDict):
    """A group snapshot that was made."""

    group_snapshot: NewGroupSnapshotSummary


class OneGroupSnapshot(TypedDict):
    """A group snapshot."""

    group_snapshot: GroupSnapshotDetail


class GroupSnapshotSummaries(Counted):
    """Group snapshots."""

    group_snapshots: list[GroupSnapshotSummary]
    group_snapshot_links: NotRequired[list[Link]]


class GroupSnapshotDetails(Counted):
    """Group snapshots, with all that is told of them."""

    group_snapshots: list[GroupSnapshotDetail]
    group_snapshot_links: NotRequired[list[Link]]


class CgsnapshotDetail(GroupSnapshotSummary):
    """A group snapshot as the cgsnapshot that old clients know."""

    consistencygroup_id: str
    status: str
    created_at: Time
    description: str | None


class NewCgsnapshot(TypedDict):
    """A cgsnapshot that was made."""

    cgsnapshot: GroupSnapshotSummary


class OneCgsnapshot(TypedDict):
    """A cgsnapshot."""

    cgsnapshot: CgsnapshotDetail


class CgsnapshotSummaries(TypedDict):
    """Cgsnapshots."""

    cgsnapshots: list[GroupSnapshotSummary]


class CgsnapshotDetails(TypedDict):
    """Cgsnapshots, with all that is told of them."""

    cgsnapshots: list[CgsnapshotDetail]


class GroupSnapshotView:
    """The view for one call."""

    def __init__(self, call: Call) -> None:
        self._owner = call.version >= 58 and call.may("group:group_snapshot_project_attribute")

    def detail(self, row: Sequence[Any]) -> GroupSnapshotDetail:
        """All that this version tells of a group snapshot."""
        snapshot_id, name, group_id, type_id, status, created_at, description, project_id = row
        shown: GroupSnapshotDetail = {
            "id": snapshot_id,
            "group_id": group_id,
            "group_type_id": type_id,
            "status": status,
            "created_at": created_at,
            "name": name,
            "description": description,
        }
        if self._owner:
            shown["project_id"] = project_id
        return shown


def cgsnapshot(row: Sequence[Any]) -> CgsnapshotDetail:
    """A group snapshot as the cgsnapshot that old clients know."""
    snapshot_id, name, group_id, _, status, created_at, description, _ = row
    return {
        "id": snapshot_id,
        "consistencygroup_id": group_id,
        "status": status,
        "created_at": created_at,
        "name": name,
        "description": description,
    }
