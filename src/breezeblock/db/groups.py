"""Queries on groups and their volumes."""

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breezeblock.db import records, tables
from breezeblock.errors import NotFound
from breezeblock.model import clock
from breezeblock.model.group import Group
from breezeblock.model.volume import Volume

_table = tables.groups
_volumes = tables.volumes


def insert(connection: Connection, group: Group) -> None:
    """Add a group."""
    records.insert(connection, _table, group)


def find(connection: Connection, group_id: str) -> Group | None:
    """The group, or None."""
    return records.find(connection, _table, group_id, Group)


def get(connection: Connection, group_id: str, project_id: str | None = None) -> Group:
    """The group; of that project where one is given. Raises `NotFound`."""
    return _visible(find(connection, group_id), group_id, project_id)


def hold(connection: Connection, group_id: str, project_id: str | None = None) -> Group:
    """As `get`; nobody else changes the group, or what belongs to it, until the transaction ends.

    Who also takes a turn at the admission (`scheduling.admission`) takes that first.
    """
    query = sa.select(_table).where(_table.c.id == group_id).with_for_update()
    return _visible(records.fetch_one(connection, query, Group), group_id, project_id)


def _visible(group: Group | None, group_id: str, project_id: str | None) -> Group:
    if group is None or (project_id is not None and group.project_id != project_id):
        raise NotFound(f"Group {group_id} could not be found.")
    return group


def update(connection: Connection, group_id: str, **values: Any) -> None:
    """Set columns; the status is not among them (see `db.moves`)."""
    assert "status" not in values
    records.update(connection, _table, group_id, {"updated_at": clock.now(), **values})


def remove(connection: Connection, group_id: str) -> None:
    """Forget a group."""
    connection.execute(sa.delete(_table).where(_table.c.id == group_id))


def volumes_of(connection: Connection, group_id: str) -> list[Volume]:
    """The volumes of a group, the oldest first."""
    query = sa.select(_volumes).where(_volumes.c.group_id == group_id)
    return records.fetch_all(connection, query.order_by(_volumes.c.created_at, _volumes.c.id), Volume)


def volume_ids(connection: Connection, group_ids: Collection[str]) -> dict[str, list[str]]:
    """The ids of the volumes of several groups, by group, in one statement."""
    found: dict[str, list[str]] = {group_id: [] for group_id in group_ids}
    query = sa.select(_volumes.c.group_id, _volumes.c.id).where(_volumes.c.group_id.in_(found))
    for group_id, volume_id in connection.execute(query.order_by(_volumes.c.created_at, _volumes.c.id)):
        found[group_id].append(volume_id)
    return found


def being_copied(connection: Connection, group_id: str | None = None, group_snapshot_id: str | None = None) -> bool:
    """Whether a group is being made of this group, or of this group snapshot."""
    if group_id is not None:
        source = _table.c.source_group_id == group_id
    else:
        source = _table.c.group_snapshot_id == group_snapshot_id
    query = sa.select(_table.c.id).where(source, _table.c.status == "creating")
    return connection.execute(query.limit(1)).first() is not None
