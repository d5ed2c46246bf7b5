"""Use cases of groups: make (also of another), change, delete."""

import uuid
from collections.abc import Sequence

import msgspec
from sqlalchemy.engine import Connection

from breezeblock.config import Settings
from breezeblock.context import RequestContext
from breezeblock.db import group_snapshots, group_types, groups, moves, operations, outbox, snapshots, volume_types
from breezeblock.db import volumes as volume_rows
from breezeblock.db.connect import Database
from breezeblock.errors import InvalidInput, InvalidState, NotFound
from breezeblock.model import clock
from breezeblock.model.group import Group
from breezeblock.model.volume import Volume
from breezeblock.scheduling import placement, quota
from breezeblock.scheduling.admission import take_turn
from breezeblock.scheduling.placement import Wanted
from breezeblock.services import volumes

EMPTY_TYPES = "Invalid input received: volume_types must be provided to create a group."


def create_group(
    database: Database,
    settings: Settings,
    context: RequestContext,
    *,
    group_type: str,
    wanted_types: Sequence[str],
    name: str | None = None,
    description: str | None = None,
    availability_zone: str | None = None,
) -> Group:
    """Make an empty group on a backend that fits all of its volume types and its group type. Types are names or ids.

    Nothing of it is on the storage, so it is available at once. Raises `NotFound`, `OverQuota`, `NoValidBackend`,
    `InvalidInput`.
    """
    with database.begin() as connection:
        take_turn(connection)
        kind = group_types.find(connection, group_type)
        if kind is None:
            raise NotFound(f"Group type {group_type} could not be found.")
        types = [volume_types.get(connection, one) for one in wanted_types]
        if not types:
            raise InvalidInput(EMPTY_TYPES)
        quota.check(connection, settings, context.project_id, groups=1)
        zone = availability_zone or settings.default_availability_zone
        specs = {key: value for key, value in kind.group_specs.items() if value}
        wants = [
            Wanted(
                size=0,
                extra_specs=one.extra_specs | specs,
                zones=(zone,) if zone else (),
                any_zone_instead=settings.allow_availability_zone_fallback,
            )
            for one in types
        ]
        pool = placement.place_group(connection, wants).pool
        group = Group(
            id=str(uuid.uuid4()),
            project_id=context.project_id,
            user_id=context.user_id,
            name=name,
            description=description,
            status="available",
            group_type_id=kind.id,
            volume_type_ids=list(dict.fromkeys(one.id for one in types)),
            host=pool.name,
            availability_zone=pool.availability_zone,
            created_at=clock.now(),
        )
        groups.insert(connection, group)
        operation_id = str(uuid.uuid4())
        for event in ("create.start", "create.end"):
            outbox.group_event(connection, event, group, operation_id)
    return group


def create_group_from_src(
    database: Database,
    settings: Settings,
    context: RequestContext,
    *,
    name: str | None = None,
    description: str | None = None,
    group_snapshot_id: str | None = None,
    source_group_id: str | None = None,
) -> Group:
    """Have a group made of a group snapshot or of a group: a volume for each member; a flow waits for all of them.

    Raises `NotFound`, `OverQuota`, `NoValidBackend`, `InvalidState` (also where the source has no member).
    """
    with database.begin() as connection:
        take_turn(connection)
        source, requests = _members_of_source(connection, context, group_snapshot_id, source_group_id)
        quota.check(connection, settings, context.project_id, groups=1)
        group = msgspec.structs.replace(
            source,
            id=str(uuid.uuid4()),
            project_id=context.project_id,
            user_id=context.user_id,
            name=name,
            description=description,
            status="creating",
            volume_type_ids=list(
                dict.fromkeys([*source.volume_type_ids, *(one.volume_type for one in requests if one.volume_type)])
            ),
            group_snapshot_id=group_snapshot_id,
            source_group_id=source_group_id,
            replication_status="disabled",
            created_at=clock.now(),
            updated_at=None,
        )
        groups.insert(connection, group)
        operation_id = str(uuid.uuid4())
        outbox.group_event(connection, "create.start", group, operation_id)
        made = [
            volumes.request_volume(
                connection, settings, context, msgspec.structs.replace(one, group_id=group.id), awaited=True
            )
            for one in requests
        ]
        _request(connection, context, "create_group_from_src", operation_id, group, volume_ids=[one.id for one in made])
    return group


def _members_of_source(
    connection: Connection, context: RequestContext, group_snapshot_id: str | None, source_group_id: str | None
) -> tuple[Group, list[volumes.CreateVolume]]:
    """The group that the new one is like, and what makes each of its volumes."""
    if group_snapshot_id is not None:
        taken = group_snapshots.get(connection, group_snapshot_id, context.own_project)
        source = groups.hold(connection, taken.group_id)
        members = group_snapshots.members(connection, group_snapshot_id)
        if not members:
            raise InvalidState("Invalid Group: Group snapshot is empty. No group will be created.")
        return source, [
            volumes.CreateVolume(size=one.volume_size, volume_type=one.volume_type_id, snapshot_id=one.id)
            for one in members
        ]
    assert source_group_id is not None
    source = groups.hold(connection, source_group_id, context.own_project)
    copied = groups.volumes_of(connection, source_group_id)
    if not copied:
        raise InvalidState("Invalid Group: Source Group is empty. No group will be created.")
    return source, [
        volumes.CreateVolume(size=one.size, volume_type=one.volume_type_id, source_volid=one.id) for one in copied
    ]


def update_group(
    database: Database,
    context: RequestContext,
    group_id: str,
    *,
    add_volumes: Sequence[str] = (),
    remove_volumes: Sequence[str] = (),
    **values: str | None,
) -> None:
    """Change name and description, and which volumes belong to the group. Mirrors `group.API.update`.

    Raises `NotFound`, `InvalidInput`, `InvalidState` (volumes come and go only while the group is available).
    """
    both = sorted(set(add_volumes) & set(remove_volumes))
    if both:
        raise InvalidInput(f"Invalid volume: UUIDs {both} are in both add and remove volume list.")
    with database.begin() as connection:
        group = groups.hold(connection, group_id, context.own_project)
        there = {one.id: one for one in groups.volumes_of(connection, group_id)}
        coming = [_joining(connection, group, one) for one in add_volumes if one not in there]
        leaving = [_leaving(there.get(one), group, one) for one in remove_volumes]
        changes = {key: value for key, value in values.items() if value is not None and value != getattr(group, key)}
        if not coming and not leaving and not changes:
            raise InvalidState(
                f"Invalid Group: Cannot update group {group_id} because no valid name, description, add_volumes, or "
                "remove_volumes were provided."
            )
        if (coming or leaving) and not moves.try_move(connection, "group", group_id, "update"):
            raise InvalidState("Invalid Group: Group status must be available.")
        for volume in (*coming, *leaving):
            volume_rows.update(connection, volume.id, group_id=group_id if volume in coming else None)
        if changes:
            groups.update(connection, group_id, **changes)
        operation_id = str(uuid.uuid4())
        for event in ("update.start", "update.end"):
            outbox.group_event(connection, event, group, operation_id)


def _joining(connection: Connection, group: Group, volume_id: str) -> Volume:
    """A volume that may be added, with Cinder's reasons why not."""
    cannot = f"Invalid volume: Cannot add volume {volume_id} to group {group.id} because"
    volume = volume_rows.find(connection, volume_id)
    if volume is None or volume.project_id != group.project_id:
        raise InvalidInput(f"{cannot} volume cannot be found.")
    if volume.group_id is not None:
        raise InvalidInput(f"{cannot} it is already in group {volume.group_id}.")
    if volume.volume_type_id not in group.volume_type_ids:
        raise InvalidInput(f"{cannot} volume type {volume.volume_type_id} is not supported by the group.")
    if volume.status not in ADDABLE:
        raise InvalidInput(f"{cannot} volume is in an invalid state: {volume.status}. Valid states are: {ADDABLE}.")
    if volume.backend != group.backend:
        raise InvalidInput("Invalid volume: Volume is not local to this node.")
    return volume


def _leaving(volume: Volume | None, group: Group, volume_id: str) -> Volume:
    cannot = f"Invalid volume: Cannot remove volume {volume_id} from group {group.id} because"
    if volume is None:
        raise InvalidInput(f"{cannot} it is not in the group.")
    if volume.status not in REMOVABLE:
        raise InvalidInput(f"{cannot} volume is in an invalid state: {volume.status}. Valid states are: {REMOVABLE}.")
    return volume


ADDABLE = ("available", "in-use")
REMOVABLE = ("available", "in-use", "error", "error_deleting")


def delete_group(database: Database, context: RequestContext, group_id: str, delete_volumes: bool = False) -> None:
    """Delete a group, with its volumes only where `delete_volumes`; a flow waits for their deletion.

    Raises `NotFound`; `InvalidState` while it has snapshots, is being copied, or a volume of it is attached or has
    snapshots.
    """
    with database.begin() as connection:
        take_turn(connection)
        group = groups.hold(connection, group_id, context.own_project)
        if not delete_volumes and group.status not in {"available", "error"}:
            raise InvalidState(
                f"Invalid Group: Group status must be available or error, but current status is: {group.status}"
            )
        if group_snapshots.of_group(connection, group_id):
            raise InvalidState("Invalid Group: Group has existing snapshots.")
        members = groups.volumes_of(connection, group_id)
        _check_deletable(connection, group, members, delete_volumes)
        moves.move(connection, "group", group_id, "delete_all" if delete_volumes else "delete")
        operation_id = str(uuid.uuid4())
        outbox.group_event(connection, "delete.start", group, operation_id)
        for volume in members:
            stuck = volume.status == "error_deleting"  # it cannot be deleted by force alone
            volumes.remove_volume(connection, context, volume, force=stuck, awaited=True)
        if members:
            _request(connection, context, "delete_group", operation_id, group)
        else:
            groups.remove(connection, group_id)
            outbox.group_event(connection, "delete.end", group, operation_id)


def _check_deletable(connection: Connection, group: Group, members: list[Volume], delete_volumes: bool) -> None:
    if members and not delete_volumes:
        raise InvalidState(
            f"Invalid Group: Group {group.id} still contains volumes. The delete-volumes flag is required to delete it."
        )
    if any(volume.attach_status == "attached" for volume in members):
        raise InvalidState(f"Invalid Group: Volume in group {group.id} is attached. Need to detach first.")
    if any(snapshots.of_volume(connection, volume.id) for volume in members):
        raise InvalidState("Invalid Group: Volume in group still has dependent snapshots.")
    if groups.being_copied(connection, group_id=group.id):
        raise InvalidState(
            f"Invalid Group: Cannot delete group {group.id}. It cannot be the source for an ongoing group or group "
            "snapshot creation."
        )


def reset_status(database: Database, context: RequestContext, group_id: str, status: str) -> None:
    """Set a group's status by hand (admin). Raises `InvalidInput` for a status that cannot be set."""
    with database.begin() as connection:
        groups.get(connection, group_id, context.own_project)
        try:
            moves.move(connection, "group", group_id, "reset_status", status)
        except ValueError as error:
            raise InvalidInput(f"Invalid Group Status: {status} is no status that can be set.") from error


def _request(
    connection: Connection, context: RequestContext, flow: str, operation_id: str, group: Group, **more: object
) -> None:
    operations.request_flow(
        connection,
        context,
        flow,
        operation_id=operation_id,
        resource=group,
        arguments={"group_id": group.id, **more},
    )
