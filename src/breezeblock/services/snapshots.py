"""Use cases of snapshots: take, change, delete."""

import uuid
from typing import Any

from sqlalchemy.engine import Connection

from breezeblock.config import Settings
from breezeblock.context import RequestContext
from breezeblock.db import idempotency, moves, operations, outbox, snapshots, volumes
from breezeblock.db.connect import Database
from breezeblock.errors import InvalidInput, InvalidState
from breezeblock.model import clock
from breezeblock.model.snapshot import Snapshot
from breezeblock.model.states import SNAPSHOT_MOVES
from breezeblock.model.volume import Volume
from breezeblock.scheduling import quota
from breezeblock.scheduling.admission import take_turn
from breezeblock.services.hydration import require_hydrated
from breezeblock.services.membership import refuse_grouped_snapshot


def create_snapshot(
    database: Database,
    settings: Settings,
    context: RequestContext,
    *,
    volume_id: str,
    name: str | None = None,
    description: str | None = None,
    metadata: dict[str, str] | None = None,
    force: bool = False,
    idempotency_key: str | None = None,
) -> Snapshot:
    """Have a snapshot taken; of a volume in use only with `force` (which 3.66 always implies).

    A request repeated with its `idempotency_key` returns the snapshot that the first one took, as it is now.
    Raises `NotFound`, `InvalidState`, `OverQuota`, `Conflict`.
    """
    request = (volume_id, name, description, metadata, force)
    with database.begin() as connection:
        take_turn(connection)
        if idempotency_key is not None:
            first = idempotency.made_before(connection, context.project_id, idempotency_key, request)
            if first is not None:
                return snapshots.get(connection, first)
        volume = volumes.get(connection, volume_id, context.own_project)
        check_can_be_taken(volume)
        allowed = {"available", "in-use"} if force else {"available"}
        if volume.status not in allowed:
            raise InvalidState(
                f"Invalid volume: Volume {volume_id} status must be {', '.join(sorted(allowed))}, but current status "
                f"is: {volume.status}."
            )
        require_hydrated(connection, volume_id)
        gigabytes = 0 if settings.no_snapshot_gb_quota else volume.size
        more = {"snapshots": 1, "gigabytes": gigabytes}
        quota.check(connection, settings, volume.project_id, type_id=volume.volume_type_id, **more)
        snapshot = draft(context, volume, name=name, description=description, metadata=metadata or {})
        snapshots.insert(connection, snapshot)
        if idempotency_key is not None:
            idempotency.keep(connection, context.project_id, idempotency_key, request, snapshot.id)
        request_snapshot(connection, context, snapshot)
    return snapshot


def check_can_be_taken(volume: Volume) -> None:
    """Cinder's words for volumes of which no snapshot is taken (`_create_snapshot_in_db_validate`)."""
    if volume.status == "maintenance":
        raise InvalidState("Invalid volume: The snapshot cannot be created when the volume is in maintenance mode.")
    if volume.migration_status not in {None, "deleting", "error", "success"}:
        raise InvalidState("Invalid volume: Snapshot cannot be created while volume is migrating.")
    if volume.status == "error":
        raise InvalidState("Invalid volume: The snapshot cannot be created when the volume is in error status.")


def draft(context: RequestContext, volume: Volume, **told: Any) -> Snapshot:
    """The row of a snapshot that is to be taken of a volume now; `told` are further fields, such as its name."""
    return Snapshot(
        id=str(uuid.uuid4()),
        project_id=volume.project_id,
        user_id=context.user_id,
        volume_id=volume.id,
        status="creating",
        volume_size=volume.size,
        volume_type_id=volume.volume_type_id,
        host=volume.host,
        bootable=volume.bootable,
        image_metadata=volume.image_metadata,
        created_at=clock.now(),
        **told,
    )


def request_snapshot(connection: Connection, context: RequestContext, snapshot: Snapshot, **more: object) -> None:
    """Have a snapshot taken whose row is there; `more` are further arguments of the flow."""
    operation_id = str(uuid.uuid4())
    outbox.snapshot_event(connection, "create.start", snapshot, operation_id)
    _request(connection, context, "create_snapshot", operation_id, snapshot, **more)


def update_snapshot(database: Database, context: RequestContext, snapshot_id: str, **values: object) -> Snapshot:
    """Change name, description or metadata."""
    with database.begin() as connection:
        before = snapshots.get(connection, snapshot_id, context.own_project)
        if values:
            outbox.snapshot_event(connection, "update.start", before, None)
            snapshots.update(connection, snapshot_id, **values)
            outbox.snapshot_event(connection, "update.end", snapshots.get(connection, snapshot_id), None)
        return snapshots.get(connection, snapshot_id)


def delete_snapshot(database: Database, context: RequestContext, snapshot_id: str, force: bool = False) -> None:
    """Have a snapshot deleted; `force` from any status (admin). Volumes made of it live on."""
    with database.begin() as connection:
        take_turn(connection)
        snapshot = snapshots.get(connection, snapshot_id, context.own_project)
        refuse_grouped_snapshot(snapshot)
        remove_snapshot(connection, context, snapshot, force=force)


def remove_snapshot(
    connection: Connection, context: RequestContext, snapshot: Snapshot, *, force: bool = False, **more: object
) -> None:
    """As `delete_snapshot`, in the caller's transaction; `more` are further arguments of the flow."""
    moves.move(connection, "snapshot", snapshot.id, "force_delete" if force else "delete")
    operation_id = str(uuid.uuid4())
    outbox.snapshot_event(connection, "delete.start", snapshot, operation_id)
    _request(connection, context, "delete_snapshot", operation_id, snapshot, **more)


def reset_status(database: Database, context: RequestContext, snapshot_id: str, status: str) -> None:
    """Set a snapshot's status by hand (admin). Raises `InvalidInput` for a status that cannot be set."""
    with database.begin() as connection:
        before = snapshots.get(connection, snapshot_id, context.own_project)
        outbox.snapshot_event(connection, "reset_status.start", before, None)
        try:
            moves.move(connection, "snapshot", snapshot_id, "reset_status", status)
        except ValueError as error:
            known = ", ".join(SNAPSHOT_MOVES["reset_status"].end)
            raise InvalidInput(f"Snapshot status: {status} is invalid, valid statuses are: {known}.") from error
        outbox.snapshot_event(connection, "reset_status.end", snapshots.get(connection, snapshot_id), None)


_NEXT = {"creating": ("creating", "available", "error"), "deleting": ("deleting", "error_deleting")}
"""Where a snapshot may be put by whoever takes or deletes it, from the status it is in."""


def update_status(
    database: Database, context: RequestContext, snapshot_id: str, status: str, progress: str | None
) -> None:
    """Note how far a snapshot is that is being taken or deleted. Raises `InvalidInput` for another step."""
    with database.begin() as connection:
        snapshot = snapshots.get(connection, snapshot_id, context.own_project)
        if snapshot.status not in _NEXT:
            raise InvalidInput(f"Snapshot status {snapshot.status} not allowed for update_snapshot_status")
        if status not in _NEXT[snapshot.status]:
            raise InvalidInput(
                f"Provided snapshot status {status} not allowed for snapshot with status {snapshot.status}."
            )
        values = {"progress": progress} if progress else {}
        moves.move(connection, "snapshot", snapshot_id, f"told_{snapshot.status}", status, **values)


def _request(
    connection: Connection, context: RequestContext, flow: str, operation_id: str, snapshot: Snapshot, **more: object
) -> None:
    operations.request_flow(
        connection,
        context,
        flow,
        operation_id=operation_id,
        resource=snapshot,
        arguments={"snapshot_id": snapshot.id, **more},
    )
