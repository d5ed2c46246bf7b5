"""Take and delete the snapshots of a group: each by a flow of its own, or all at one moment by the storage."""

import logging
import uuid

from sqlalchemy.engine import Connection

from breezeblock.db import group_snapshots, moves, operations, outbox, volumes
from breezeblock.drivers.contract import SnapshotsGroups
from breezeblock.errors import DriverError, NotSupportedByBackend
from breezeblock.flows.engine import Flow, flow, message_for_user, state_after
from breezeblock.flows.members import MembersFailed, wait_for
from breezeblock.model.snapshot import Snapshot
from breezeblock.model.volume import ModelUpdate

log = logging.getLogger(__name__)


def abandon_create(flow: Flow, error: BaseException) -> None:
    """All or nothing: the members that were made are deleted; what is left of them and the whole are in `error`."""
    message = message_for_user(error)
    with flow.backend.database.read() as connection:
        taken = group_snapshots.find(connection, flow.arguments["group_snapshot_id"])
        members = group_snapshots.members(connection, flow.arguments["group_snapshot_id"])
    if taken is None:
        return
    if flow.arguments["together"]:
        _remove_remains(flow, members)
    with flow.ending(state_after(error), message) as connection:
        for member in members:
            if flow.arguments["together"]:
                moves.try_move(connection, "snapshot", member.id, "create_failed")
            else:
                _delete_again(connection, flow, member)
        moves.try_move(connection, "group_snapshot", taken.id, "create_failed")
        outbox.group_snapshot_event(connection, "create.error", taken, flow.id, error=message)


def _remove_remains(flow: Flow, members: list[Snapshot]) -> None:
    for member in members:
        try:
            flow.driver.delete_snapshot(member)
        except DriverError:
            log.exception("snapshot %s: its remains could not be removed", member.id)


def _delete_again(connection: Connection, flow: Flow, member: Snapshot) -> None:
    if member.status != "available" or not moves.try_move(connection, "snapshot", member.id, "delete"):
        return
    operation_id = str(uuid.uuid4())
    outbox.snapshot_event(connection, "delete.start", member, operation_id)
    operations.request_flow(
        connection,
        flow.context,
        "delete_snapshot",
        operation_id=operation_id,
        resource=member,
        arguments={"snapshot_id": member.id},
    )


@flow("create_group_snapshot", abandon=abandon_create)
def create_group_snapshot(flow: Flow) -> None:
    """The group snapshot is available when each of its members is made."""
    with flow.backend.database.read() as connection:
        taken = group_snapshots.get(connection, flow.arguments["group_snapshot_id"])
        members = group_snapshots.members(connection, taken.id)
    if flow.arguments["together"]:
        changes = _take_together(flow, members)
    else:
        changes = {}
        wait_for(flow, "create_snapshot", [one.id for one in members])
        _check_made(flow, taken.id)
    with flow.ending() as connection:
        for member in members if flow.arguments["together"] else ():
            values = {key: value for key, value in changes[member.id].items() if key in _KEPT}
            moves.move(connection, "snapshot", member.id, "create_done", progress="100%", **values)
            outbox.snapshot_event(connection, "create.end", member, flow.id, status="available")
        moves.move(connection, "group_snapshot", taken.id, "create_done")
        outbox.group_snapshot_event(connection, "create.end", taken, flow.id, status="available")


_KEPT = ("provider_id", "provider_location")


def _take_together(flow: Flow, members: list[Snapshot]) -> dict[str, ModelUpdate]:
    """All by one act of the storage; its model_update of each."""
    if not isinstance(flow.driver, SnapshotsGroups):
        raise NotSupportedByBackend(
            f"Backend {flow.backend.name} does not take consistent snapshots of groups, which the group type asks for."
        )
    with flow.backend.database.read() as connection:
        pairs = [(member, volumes.get(connection, member.volume_id)) for member in members]
    with flow.explained("create_group_snapshot", volumes=[volume.id for _, volume in pairs]) as result:
        result["model_updates"] = updates = flow.driver.create_group_snapshot(pairs)
    return {member.id: updates.get(member.id) or {} for member in members}


def _check_made(flow: Flow, group_snapshot_id: str) -> None:
    with flow.backend.database.read() as connection:
        members = group_snapshots.members(connection, group_snapshot_id)
    failed = [one.id for one in members if one.status != "available"]
    if failed:
        raise MembersFailed(
            f"Group snapshot {group_snapshot_id} is not taken, as snapshot {', '.join(failed)} could not be taken."
        )


def abandon_delete(flow: Flow, error: BaseException) -> None:
    """The group snapshot is in `error`, with the members that could not be deleted."""
    message = message_for_user(error)
    with flow.ending(state_after(error), message) as connection:
        taken = group_snapshots.find(connection, flow.arguments["group_snapshot_id"])
        if taken is None:
            return
        moves.try_move(connection, "group_snapshot", taken.id, "delete_failed")
        outbox.group_snapshot_event(connection, "delete.error", taken, flow.id, error=message)


@flow("delete_group_snapshot", abandon=abandon_delete)
def delete_group_snapshot(flow: Flow) -> None:
    """Forget the group snapshot when the last of its members is gone."""
    with flow.backend.database.read() as connection:
        taken = group_snapshots.find(connection, flow.arguments["group_snapshot_id"])
        left = group_snapshots.members(connection, flow.arguments["group_snapshot_id"])
    if taken is None:
        return
    wait_for(flow, "delete_snapshot", [one.id for one in left])
    with flow.backend.database.read() as connection:
        left = group_snapshots.members(connection, taken.id)
    if left:
        kept = ", ".join(one.id for one in left)
        raise MembersFailed(f"Group snapshot {taken.id} is not deleted, as snapshot {kept} could not be deleted.")
    with flow.ending() as connection:
        group_snapshots.remove(connection, taken.id)
        outbox.group_snapshot_event(connection, "delete.end", taken, flow.id)
