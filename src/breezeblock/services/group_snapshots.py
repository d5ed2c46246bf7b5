"""Use cases of group snapshots: take, delete."""

import uuid

from sqlalchemy.engine import Connection

from breezeblock.config import Settings
from breezeblock.context import RequestContext
from breezeblock.db import group_snapshots, group_types, groups, moves, operations, outbox, snapshots
from breezeblock.db.connect import Database
from breezeblock.errors import InvalidInput, InvalidState
from breezeblock.model import clock
from breezeblock.model.group_snapshot import GroupSnapshot
from breezeblock.model.volume import Volume
from breezeblock.scheduling import quota
from breezeblock.scheduling.admission import take_turn
from breezeblock.services.hydration import require_hydrated
from breezeblock.services.snapshots import check_can_be_taken, draft, remove_snapshot, request_snapshot


def create_group_snapshot(
    database: Database,
    settings: Settings,
    context: RequestContext,
    *,
    group_id: str,
    name: str | None = None,
    description: str | None = None,
) -> GroupSnapshot:
    """Have all volumes of a group snapshotted, each available or in use: all, or none.

    Where the group type asks for consistency the storage takes them at one moment; else each has a flow of its own, and
    the group's flow waits for them. Raises `NotFound`, `InvalidState`, `OverQuota`.
    """
    with database.begin() as connection:
        take_turn(connection)
        group = groups.hold(connection, group_id, context.own_project)
        if group.status != "available":
            raise InvalidState(f"Invalid Group: Group {group_id} status must be available, but is {group.status}.")
        volumes = groups.volumes_of(connection, group_id)
        _check(connection, settings, context, volumes)
        taken = GroupSnapshot(
            id=str(uuid.uuid4()),
            project_id=context.project_id,
            user_id=context.user_id,
            group_id=group_id,
            group_type_id=group.group_type_id,
            name=name,
            description=description,
            status="creating",
            host=group.host,
            created_at=clock.now(),
        )
        group_snapshots.insert(connection, taken)
        operation_id = str(uuid.uuid4())
        outbox.group_snapshot_event(connection, "create.start", taken, operation_id)
        together = group_types.get(connection, group.group_type_id).wants("consistent_group_snapshot_enabled")
        for volume in volumes:
            member = draft(context, volume, name=name, description=description, group_snapshot_id=taken.id)
            snapshots.insert(connection, member)
            if together:
                outbox.snapshot_event(connection, "create.start", member, operation_id)
            else:
                request_snapshot(connection, context, member, awaited=True)
        _request(connection, context, "create_group_snapshot", operation_id, taken, together=together)
    return taken


def _check(connection: Connection, settings: Settings, context: RequestContext, volumes: list[Volume]) -> None:
    for volume in volumes:
        check_can_be_taken(volume)
        if volume.status not in {"available", "in-use"}:
            raise InvalidState(
                f"Invalid volume: Volume {volume.id} status must be available, in-use, but current status is: "
                f"{volume.status}."
            )
        require_hydrated(connection, volume.id)
    gigabytes = 0 if settings.no_snapshot_gb_quota else sum(volume.size for volume in volumes)
    quota.check(connection, settings, context.project_id, snapshots=len(volumes), gigabytes=gigabytes)
    for type_id in {volume.volume_type_id for volume in volumes}:
        sizes = [volume.size for volume in volumes if volume.volume_type_id == type_id]
        more = {"snapshots": len(sizes), "gigabytes": 0 if settings.no_snapshot_gb_quota else sum(sizes)}
        quota.check(connection, settings, context.project_id, type_id=type_id, **more)


def reset_status(database: Database, context: RequestContext, group_snapshot_id: str, status: str) -> None:
    """Set a group snapshot's status by hand (admin). Raises `InvalidInput` for a status that cannot be set."""
    with database.begin() as connection:
        group_snapshots.get(connection, group_snapshot_id, context.own_project)
        try:
            moves.move(connection, "group_snapshot", group_snapshot_id, "reset_status", status)
        except ValueError as error:
            raise InvalidInput(f"Invalid GroupSnapshot Status: {status} is no status that can be set.") from error


def delete_group_snapshot(database: Database, context: RequestContext, group_snapshot_id: str) -> None:
    """Have a group snapshot deleted with its members; a flow waits for them. Raises `NotFound`, `InvalidState`."""
    with database.begin() as connection:
        taken = group_snapshots.get(connection, group_snapshot_id, context.own_project)
        copied = groups.being_copied(connection, group_snapshot_id=group_snapshot_id)
        if copied or not moves.try_move(connection, "group_snapshot", group_snapshot_id, "delete"):
            raise InvalidState(
                "Invalid GroupSnapshot: GroupSnapshot status must be available or error, and no Group can be currently "
                "using it as source for its creation."
            )
        operation_id = str(uuid.uuid4())
        outbox.group_snapshot_event(connection, "delete.start", taken, operation_id)
        for member in group_snapshots.members(connection, group_snapshot_id):
            if member.status != "deleting":
                remove_snapshot(connection, context, member, force=True, awaited=True)
        _request(connection, context, "delete_group_snapshot", operation_id, taken)


def _request(
    connection: Connection,
    context: RequestContext,
    flow: str,
    operation_id: str,
    taken: GroupSnapshot,
    **more: object,
) -> None:
    operations.request_flow(
        connection,
        context,
        flow,
        operation_id=operation_id,
        resource=taken,
        arguments={"group_snapshot_id": taken.id, **more},
    )
