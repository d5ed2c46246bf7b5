"""Make a group of another, and delete a group: each volume by a flow of its own."""

import uuid

from sqlalchemy.engine import Connection

from breezeblock.db import groups, moves, operations, outbox
from breezeblock.flows.engine import Flow, flow, message_for_user, state_after
from breezeblock.flows.members import MembersFailed, wait_for
from breezeblock.model.volume import Volume


def abandon_create(flow: Flow, error: BaseException) -> None:
    """All or nothing: the volumes that were made are deleted; the group is in `error`."""
    message = message_for_user(error)
    with flow.ending(state_after(error), message) as connection:
        group = groups.find(connection, flow.arguments["group_id"])
        if group is None:
            return
        for volume in groups.volumes_of(connection, group.id):
            _delete_again(connection, flow, volume)
        moves.try_move(connection, "group", group.id, "create_failed")
        outbox.group_event(connection, "create.error", group, flow.id, error=message)


def _delete_again(connection: Connection, flow: Flow, volume: Volume) -> None:
    if volume.launched_at is None or not moves.try_move(connection, "volume", volume.id, "delete"):
        return
    operation_id = str(uuid.uuid4())
    outbox.volume_event(connection, "delete.start", volume, operation_id)
    operations.request_flow(
        connection,
        flow.context,
        "delete_volume",
        operation_id=operation_id,
        resource=volume,
        arguments={"volume_id": volume.id},
    )


@flow("create_group_from_src", abandon=abandon_create)
def create_group_from_src(flow: Flow) -> None:
    """The group is available when each of its volumes is made."""
    wanted = flow.arguments["volume_ids"]
    wait_for(flow, "create_volume", wanted)
    with flow.backend.database.read() as connection:
        group = groups.get(connection, flow.arguments["group_id"])
        made = {one.id for one in groups.volumes_of(connection, group.id) if one.launched_at is not None}
    missing = [one for one in wanted if one not in made]
    if missing:
        raise MembersFailed(f"Group {group.id} is not made, as volume {', '.join(missing)} could not be made.")
    with flow.ending() as connection:
        moves.move(connection, "group", group.id, "create_done")
        outbox.group_event(connection, "create.end", group, flow.id, status="available")


def abandon_delete(flow: Flow, error: BaseException) -> None:
    """The group is in `error`, with the volumes that could not be deleted."""
    message = message_for_user(error)
    with flow.ending(state_after(error), message) as connection:
        group = groups.find(connection, flow.arguments["group_id"])
        if group is None:
            return
        moves.try_move(connection, "group", group.id, "delete_failed")
        outbox.group_event(connection, "delete.error", group, flow.id, error=message)


@flow("delete_group", abandon=abandon_delete)
def delete_group(flow: Flow) -> None:
    """Forget the group when the last of its volumes is gone."""
    with flow.backend.database.read() as connection:
        group = groups.find(connection, flow.arguments["group_id"])
        left = groups.volumes_of(connection, flow.arguments["group_id"])
    if group is None:
        return
    wait_for(flow, "delete_volume", [one.id for one in left])
    with flow.backend.database.read() as connection:
        left = groups.volumes_of(connection, group.id)
    if left:
        kept = ", ".join(one.id for one in left)
        raise MembersFailed(f"Group {group.id} is not deleted, as volume {kept} could not be deleted.")
    with flow.ending() as connection:
        groups.remove(connection, group.id)
        outbox.group_event(connection, "delete.end", group, flow.id)
