"""What belonging to a group means for a volume, and to a group snapshot for a snapshot."""

from sqlalchemy.engine import Connection

from breezeblock.context import RequestContext
from breezeblock.db import groups, volume_types
from breezeblock.errors import InvalidInput, InvalidState
from breezeblock.model.group import Group
from breezeblock.model.snapshot import Snapshot
from breezeblock.model.volume import Volume
from breezeblock.scheduling.admission import take_turn


def group_of_new(
    connection: Connection, context: RequestContext, group_id: str | None, volume_type: str | None
) -> Group | None:
    """The group that a new volume is asked into, held, with Cinder's conditions: its status, and that it has the type.

    `volume_type` is a name or id. Raises `NotFound`, `InvalidInput`, `InvalidState`.
    """
    if group_id is None:
        return None
    take_turn(connection)
    group = groups.hold(connection, group_id, context.own_project)
    if volume_type is None:
        raise InvalidInput("Invalid input received: volume_type must be provided when creating a volume in a group.")
    if volume_types.get(connection, volume_type).id not in group.volume_type_ids:
        raise InvalidInput(
            f"Invalid input received: Invalid volume_type provided: {volume_type} (requested type must be supported "
            f"by this group)."
        )
    if group.status not in {"available", "creating"}:
        raise InvalidState(
            "Invalid Group: Originating group status must be one of 'available, creating' values, "
            f"but {group.id} is {group.status}."
        )
    return group


def only_backend(group: Group | None, source_backend: str | None) -> str | None:
    """The one `host@backend` that may have a new volume, if only one may: that of its source, and of its group."""
    if group is None:
        return source_backend
    if source_backend not in {None, group.backend}:
        raise InvalidInput(
            f"Invalid input received: The source lies on {source_backend}, the volumes of group {group.id} on "
            f"{group.backend}."
        )
    return group.backend


def refuse_grouped(volume: Volume) -> None:
    """Raises `InvalidState` for a volume of a group: it is not deleted, moved or given away alone."""
    if volume.group_id is not None:
        raise InvalidState(
            f"Invalid volume: Volume {volume.id} must not belong to a group; remove it from group {volume.group_id} "
            "first, or delete the group."
        )


def refuse_grouped_snapshot(snapshot: Snapshot) -> None:
    """Raises `InvalidState` for a member of a group snapshot: it is not deleted alone."""
    if snapshot.group_snapshot_id is not None:
        raise InvalidState(
            f"Invalid snapshot: Snapshot {snapshot.id} must not be part of a group; delete group snapshot "
            f"{snapshot.group_snapshot_id}."
        )
