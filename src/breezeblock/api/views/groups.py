"""What groups look like (Cinder: `api/v3/views/groups.py`, and `api/views/consistencygroups.py`)."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from breezeblock.api.call import Call
from breezeblock.db import tables
from breezeblock.db.group_types import DEFAULT_CGSNAPSHOT_TYPE

_table = tables.groups

SUMMARY_COLUMNS = (_table.c.id, _table.c.name)

COLUMNS = tuple(
    _table.c[name]
    for name in (
        "id name status availability_zone created_at description group_type_id volume_type_ids group_snapshot_id "
        "source_group_id replication_status project_id"
    ).split()
)


def legacy_type(column: sa.Column[Any]) -> sa.ColumnElement[bool]:
    """Whether a column's group type is that of consistency groups."""
    types = tables.group_types
    return column.in_(sa.select(types.c.id).where(types.c.name == DEFAULT_CGSNAPSHOT_TYPE))


def summary(group_id: str, name: str | None) -> dict[str, Any]:
    """A group in the short list, and what create answers."""
    return {"id": group_id, "name": name}


class GroupView:
    """The view for one call. `volumes` are the ids of the volumes of each group, where the call asks for them."""

    def __init__(self, call: Call, volumes: Mapping[str, list[str]] | None = None) -> None:
        self._version = call.version
        self._volumes = volumes
        self._owner = call.version >= 58 and call.may("group:group_project_attribute")

    def detail(self, row: Sequence[Any]) -> dict[str, Any]:
        """All that this version tells of a group."""
        (
            group_id, name, status, zone, created_at, description, type_id, volume_types, group_snapshot_id, source_id,
            replication_status, project_id,
        ) = row  # fmt: skip
        shown: dict[str, Any] = {
            "id": group_id,
            "status": status,
            "availability_zone": zone,
            "created_at": created_at,
            "name": name,
            "description": description,
            "group_type": type_id,
            "volume_types": volume_types,
        }
        if self._version >= 14:
            shown["group_snapshot_id"] = group_snapshot_id
            shown["source_group_id"] = source_id
        if self._version >= 25 and self._volumes is not None:
            shown["volumes"] = self._volumes[group_id]
        if self._version >= 38:
            shown["replication_status"] = replication_status
        if self._owner:
            shown["project_id"] = project_id
        return shown


def consistency_group(row: Sequence[Any]) -> dict[str, Any]:
    """A group as the consistency group that old clients know."""
    group_id, name, status, zone, created_at, description, _, volume_types, *_ = row
    return {
        "id": group_id,
        "status": status,
        "availability_zone": zone,
        "created_at": created_at,
        "name": name,
        "description": description,
        "volume_types": volume_types,
    }
