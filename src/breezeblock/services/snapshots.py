"""Use cases of snapshots: take, change, delete."""

import uuid

from sqlalchemy.engine import Connection

from breezeblock.config import Settings
from breezeblock.context import RequestContext
from breezeblock.db import idempotency, moves, operations, outbox, snapshots, volumes
from breezeblock.db.connect import Database
from breezeblock.errors import InvalidInput, InvalidState
from breezeblock.model import clock
from breezeblock.model.snapshot import Snapshot
from breezeblock.scheduling import quota
from breezeblock.scheduling.admission import take_turn
from breezeblock.services.hydration import require_hydrated


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
        allowed = {"available", "in-use"} if force else {"available"}
        if volume.status not in allowed:
            raise InvalidState(
                f"Invalid volume: Volume {volume_id} status must be {' or '.join(sorted(allowed))}, but current status "
                f"is: {volume.status}."
            )
        require_hydrated(connection, volume_id)
        gigabytes = 0 if settings.no_snapshot_gb_quota else volume.size
        quota.check(connection, settings, volume.project_id, snapshots=1, gigabytes=gigabytes)
        snapshot = Snapshot(
            id=str(uuid.uuid4()),
            project_id=volume.project_id,
            user_id=context.user_id,
            volume_id=volume_id,
            name=name,
            description=description,
            status="creating",
            volume_size=volume.size,
            volume_type_id=volume.volume_type_id,
            host=volume.host,
            bootable=volume.bootable,
            metadata=metadata or {},
            image_metadata=volume.image_metadata,
            created_at=clock.now(),
        )
        snapshots.insert(connection, snapshot)
        if idempotency_key is not None:
            idempotency.keep(connection, context.project_id, idempotency_key, request, snapshot.id)
        operation_id = str(uuid.uuid4())
        outbox.snapshot_event(connection, "create.start", snapshot, operation_id)
        _request(connection, context, "create_snapshot", operation_id, snapshot)
    return snapshot


def update_snapshot(database: Database, context: RequestContext, snapshot_id: str, **values: object) -> Snapshot:
    """Change name, description or metadata."""
    with database.begin() as connection:
        snapshots.get(connection, snapshot_id, context.own_project)
        if values:
            snapshots.update(connection, snapshot_id, **values)
        return snapshots.get(connection, snapshot_id)


def delete_snapshot(database: Database, context: RequestContext, snapshot_id: str, force: bool = False) -> None:
    """Have a snapshot deleted; `force` from any status (admin). Volumes made of it live on."""
    with database.begin() as connection:
        snapshot = snapshots.get(connection, snapshot_id, context.own_project)
        moves.move(connection, "snapshot", snapshot_id, "force_delete" if force else "delete")
        operation_id = str(uuid.uuid4())
        outbox.snapshot_event(connection, "delete.start", snapshot, operation_id)
        _request(connection, context, "delete_snapshot", operation_id, snapshot)


def reset_status(database: Database, context: RequestContext, snapshot_id: str, status: str) -> None:
    """Set a snapshot's status by hand (admin). Raises `InvalidInput` for a status that cannot be set."""
    with database.begin() as connection:
        snapshots.get(connection, snapshot_id, context.own_project)
        try:
            moves.move(connection, "snapshot", snapshot_id, "reset_status", status)
        except ValueError as error:
            raise InvalidInput(f"Invalid input received: {status} is no status that can be set.") from error


def _request(connection: Connection, context: RequestContext, flow: str, operation_id: str, snapshot: Snapshot) -> None:
    operations.request_flow(
        connection,
        context,
        flow,
        operation_id=operation_id,
        resource=snapshot,
        arguments={"snapshot_id": snapshot.id},
    )
