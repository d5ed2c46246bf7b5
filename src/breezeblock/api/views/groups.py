"""What groups look like (Cinder: `api/v3/views/groups.py`, and `api/views/consistencygroups.py`)."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NotRequired, TypedDict

import sqlalchemy as sa

from breezeblock.api.call import Call
from breezeblock.api.shapes import Counted, Link, Time, since
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


class GroupSummary(TypedDict):
    """A group in the short list."""

    id: str
    name: str | None


class ConsistencyGroupDetail(GroupSummary):
    """A group as the consistency group that old clients know."""

    status: str
    availability_zone: str | None
    created_at: Time
    description: str | None
    volume_types: list[str]


class GroupDetail(ConsistencyGroupDetail):
    """A group. Its volumes are told where they are asked for."""

    group_type: str
    group_snapshot_id: NotRequired[Annotated[str | None, since(14)]]
    source_group_id: NotRequired[Annotated[str | None, since(14)]]
    volumes: NotRequired[Annotated[list[str], since(25, always=False)]]
    replication_status: NotRequired[Annotated[str | None, since(38)]]
    project_id: NotRequired[Annotated[str, since(58, always=False)]]


class NewGroup(TypedDict):
    """A group that was made."""

    group: GroupSummary


class OneGroup(TypedDict):
    """A group."""

    group: GroupDetail


class GroupSummaries(Counted):
    """Groups."""

    groups: list[GroupSummary]
    group_links: NotRequired[list[Link]]


class GroupDetails(Counted):
    """Groups, with all that is told of them."""

    groups: list[GroupDetail]
    group_links: NotRequired[list[Link]]


class NewConsistencyGroup(TypedDict):
    """A consistency group that was made."""

    consistencygroup: GroupSummary


class OneConsistencyGroup(TypedDict):
    """A consistency group."""

    consistencygroup: ConsistencyGroupDetail


class ConsistencyGroupSummaries(Counted):
    """Consistency groups."""

    consistencygroups: list[GroupSummary]
    consistencygroup_links: NotRequired[list[Link]]


class ConsistencyGroupDetails(Counted):
    """Consistency groups, with all that is told of them."""

    consistencygroups: list[ConsistencyGroupDetail]
    consistencygroup_links: NotRequired[list[Link]]


class ReplicationTargets(TypedDict):
    """Where a group may be failed over to."""

    replication_targets: list[dict[str, Any]]


def legacy_type(column: sa.Column[Any]) -> sa.ColumnElement[bool]:
    """Whether a column's group type is that of consistency groups."""
    types = tables.group_types
    return column.in_(sa.select(types.c.id).where(types.c.name == DEFAULT_CGSNAPSHOT_TYPE))


def summary(group_id: str, name: str | None) -> GroupSummary:
    """A group in the short list, and what create answers."""
    return {"id": group_id, "name": name}


class GroupView:
    """The view for one call. `volumes` are the ids of the volumes of each group, where the call asks for them."""

    def __init__(self, call: Call, volumes: Mapping[str, list[str]] | None = None) -> None:
        self._version = call.version
        self._volumes = volumes
        self._owner = call.version >= 58 and call.may("group:group_project_attribute")

    def detail(self, row: Sequence[Any]) -> GroupDetail:
        """All that this version tells of a group."""
        (
            group_id, name, status, zone, created_at, description, type_id, volume_types, group_snapshot_id, source_id,
            replication_status, project_id,
        ) = row  # fmt: skip
        shown: GroupDetail = {
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


def consistency_group(row: Sequence[Any]) -> ConsistencyGroupDetail:
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
