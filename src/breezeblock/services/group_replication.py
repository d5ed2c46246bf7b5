"""Use cases of the replication of groups: on, off, where to. Mirrors the checks and messages of Cinder's `group.API`.

The storages here keep a replica of each volume whose type has `replication_enabled`; none of them can fail over.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy.engine import Connection

from breezeblock.context import RequestContext
from breezeblock.db import group_types, groups, volume_types, volumes
from breezeblock.db.connect import Database
from breezeblock.errors import InvalidInput, InvalidState, NotSupportedByBackend
from breezeblock.model.group import Group
from breezeblock.model.volume import Volume


def enable(database: Database, context: RequestContext, group_id: str) -> None:
    """Have the replicas of a group's volumes kept in step. Raises `NotFound`, `InvalidInput`, `InvalidState`."""
    with database.begin() as connection:
        group = groups.hold(connection, group_id, context.own_project)
        members = _checked(connection, group, "enable", ["available"], ["disabled", "enabled"])
        _check_statuses(members, "enable", ["available", "in-use"])
        _set(connection, group, members, "enabled")


def disable(database: Database, context: RequestContext, group_id: str) -> None:
    """Have the replicas of a group's volumes left as they are. Raises `NotFound`, `InvalidInput`, `InvalidState`."""
    with database.begin() as connection:
        group = groups.hold(connection, group_id, context.own_project)
        members = _checked(connection, group, "disable", ["available", "error"], ["enabled", "error"])
        _set(connection, group, members, "disabled")


def fail_over(database: Database, context: RequestContext, group_id: str, allow_attached_volume: bool) -> None:
    """Raises `NotSupportedByBackend` where all is as it must be for a failover, and the errors of Cinder where not."""
    with database.read() as connection:
        group = groups.get(connection, group_id, context.own_project)
        members = _checked(connection, group, "failover", ["available"], ["enabled", "failed-over"])
        _check_statuses(members, "failover", ["available", "in-use"])
        for volume in members:
            if volume.status == "in-use" and not allow_attached_volume:
                raise InvalidState(
                    f"Invalid volume: Volume {volume.id} is attached but allow_attached_volume flag is False. Cannot "
                    "failover replication."
                )
    raise NotSupportedByBackend(f"Invalid Group: The backend of group {group_id} cannot fail over.")


def targets(database: Database, context: RequestContext, group_id: str) -> list[dict[str, Any]]:
    """Where a group may be failed over to: nowhere. Raises `NotFound`, `InvalidInput`."""
    with database.read() as connection:
        _check_type(connection, groups.get(connection, group_id, context.own_project))
    return []


def _checked(
    connection: Connection, group: Group, what: str, statuses: Sequence[str], replication: Sequence[str]
) -> list[Volume]:
    """The volumes of a group whose types and statuses allow it."""
    _check_type(connection, group)
    cannot = f"Cannot {what} replication."
    if group.status not in statuses:
        raise InvalidState(
            f"Invalid Group: Group {group.id} status must be {statuses}, but current status is: {group.status}. {cannot}"
        )
    if group.replication_status not in replication:
        raise InvalidState(
            f"Invalid Group: Group {group.id} replication status must be {replication}, but current status is: "
            f"{group.replication_status}. {cannot}"
        )
    members = groups.volumes_of(connection, group.id)
    for volume in members:
        if volume.replication_status not in replication:
            raise InvalidState(
                f"Invalid volume: Volume {volume.id} replication status must be {replication}, but current status is: "
                f"{volume.replication_status}. {cannot}"
            )
    return members


def _check_statuses(members: list[Volume], what: str, statuses: Sequence[str]) -> None:
    for volume in members:
        if volume.status not in statuses:
            raise InvalidState(
                f"Invalid volume: Volume {volume.id} status must be {statuses}, but current status is: "
                f"{volume.status}. Cannot {what} replication."
            )


def _check_type(connection: Connection, group: Group) -> None:
    kind = group_types.get(connection, group.group_type_id)
    if not any(kind.wants(spec) for spec in ("group_replication_enabled", "consistent_group_replication_enabled")):
        raise InvalidInput(f"Invalid group type: Group {group.id} is not a replication group type.")
    for type_id in group.volume_type_ids:
        if not volume_types.get(connection, type_id).wants("replication_enabled"):
            raise InvalidInput(
                f"Invalid volume type: Volume type {type_id} does not have 'replication_enabled' spec key set to "
                "'<is> True'."
            )


def _set(connection: Connection, group: Group, members: list[Volume], status: str) -> None:
    for volume in members:
        volumes.update(connection, volume.id, replication_status=status)
    groups.update(connection, group.id, replication_status=status)
