"""What group snapshots look like (Cinder: `api/v3/views/group_snapshots.py`, and `api/views/cgsnapshots.py`)."""

from collections.abc import Sequence
from typing import Any

from breezeblock.api.call import Call
from breezeblock.db import tables

_table = tables.group_snapshots

SUMMARY_COLUMNS = (_table.c.id, _table.c.name)

COLUMNS = tuple(
    _table.c[name] for name in "id name group_id group_type_id status created_at description project_id".split()
)


class GroupSnapshotView:
    """The view for one call."""

    def __init__(self, call: Call) -> None:
        self._owner = call.version >= 58 and call.may("group:group_snapshot_project_attribute")

    def detail(self, row: Sequence[Any]) -> dict[str, Any]:
        """All that this version tells of a group snapshot."""
        snapshot_id, name, group_id, type_id, status, created_at, description, project_id = row
        shown: dict[str, Any] = {
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


def cgsnapshot(row: Sequence[Any]) -> dict[str, Any]:
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
