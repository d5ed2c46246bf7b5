"""Use cases of attachments (3.27): reserve, connect, complete, delete.

A connection is made by the worker that owns the backend. Cinder's clients expect the connection_info in the answer,
so the request waits for the flow, looking at its row.
"""

import time
import uuid
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from breezeblock.context import RequestContext
from breezeblock.db import attach_status, attachments, moves, operations, outbox, volumes
from breezeblock.db.connect import Database
from breezeblock.errors import BreezeblockError, InvalidInput, InvalidState, ServiceUnavailable
from breezeblock.model import clock
from breezeblock.model.attachment import Attachment
from breezeblock.model.volume import Volume

WAIT_SECONDS = 60.0
LOOK_SECONDS = 0.01


class ConnectionFailed(BreezeblockError):
    """The storage could not connect the volume."""


def create_attachment(
    database: Database,
    context: RequestContext,
    *,
    volume_id: str,
    instance_uuid: str | None = None,
    connector: dict[str, Any] | None = None,
    mode: str = "rw",
) -> Attachment:
    """Reserve a volume for an instance or host; with a connector, connect it at once.

    Raises `NotFound`, `InvalidState` (the volume is attached or not available), `InvalidInput` (unknown mode).
    """
    if mode not in {"rw", "ro"}:
        raise InvalidInput(f"Invalid input received: mode {mode} is neither rw nor ro.")
    with database.begin() as connection:
        volume = volumes.get(connection, volume_id, context.own_project)
        _check_free(connection, volume)
        attachment = Attachment(
            id=str(uuid.uuid4()),
            volume_id=volume_id,
            project_id=volume.project_id,
            instance_uuid=instance_uuid,
            attach_mode=mode,
            attach_status="reserved",
            created_at=clock.now(),
        )
        attachments.insert(connection, attachment)
        moves.move(connection, "volume", volume_id, "reserve", attach_status="reserved")
    if connector is None:
        return attachment
    return connect(database, context, attachment.id, connector)


def _check_free(connection: Connection, volume: Volume) -> None:
    taken = bool(attachments.of_volume(connection, volume.id))
    allowed = {"available", "downloading"} | ({"in-use", "reserved", "attaching"} if volume.multiattach else set())
    if volume.status not in allowed or (taken and not volume.multiattach):
        raise InvalidState(
            f"Invalid volume: Volume {volume.id} status must be {' or '.join(sorted(allowed))} to reserve, but the "
            f"current status is {volume.status}."
        )


def connect(database: Database, context: RequestContext, attachment_id: str, connector: dict[str, Any]) -> Attachment:
    """Give an attachment a connector: the volume is exported and the connection_info kept. Waits for it.

    Raises `ConnectionFailed` with the storage's reason, `ServiceUnavailable` when no worker answers in time.
    """
    with database.begin() as connection:
        attachment = attachments.get(connection, attachment_id, context.own_project)
        volume = volumes.get(connection, attachment.volume_id)
        if volume.status == "downloading":
            raise InvalidState(f"Invalid volume: Volume {volume.id} is still downloading.")
        operation_id = str(uuid.uuid4())
        outbox.volume_event(connection, "attach.start", volume, operation_id, attachment_id=attachment_id)
        _request(connection, context, "connect_volume", operation_id, volume, attachment_id, connector=connector)
    wait_for(database, operation_id)
    with database.read() as connection:
        return attachments.get(connection, attachment_id)


def complete(database: Database, context: RequestContext, attachment_id: str) -> None:
    """The host has opened the volume: it is in use (3.44). Raises `InvalidState` without a connection."""
    with database.begin() as connection:
        attachment = attachments.get(connection, attachment_id, context.own_project)
        if attachment.connection_info is None:
            raise InvalidState(f"Attachment {attachment_id} has no connection; update it with a connector first.")
        attachments.update(connection, attachment_id, attach_status="attached")
        attach_status.settle(connection, attachment.volume_id)


def delete_attachment(database: Database, context: RequestContext, attachment_id: str) -> list[Attachment]:
    """Disconnect and drop an attachment; those that the volume still has. Waits for it."""
    with database.begin() as connection:
        attachment = attachments.get(connection, attachment_id, context.own_project)
        volume = volumes.get(connection, attachment.volume_id)
        operation_id = str(uuid.uuid4())
        outbox.volume_event(connection, "detach.start", volume, operation_id, attachment_id=attachment_id)
        _request(connection, context, "disconnect_volume", operation_id, volume, attachment_id)
    wait_for(database, operation_id)
    with database.read() as connection:
        return attachments.of_volume(connection, attachment.volume_id)


def wait_for(database: Database, operation_id: str) -> None:
    """Wait until an operation ends. Raises `ConnectionFailed` with its message where it failed."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        with database.read() as connection:
            operation = operations.get(connection, operation_id)
        if operation is not None and operation.state == "succeeded":
            return
        if operation is not None and operation.state in {"failed", "cancelled"}:
            raise ConnectionFailed(operation.message)
        time.sleep(LOOK_SECONDS)
    raise ServiceUnavailable(f"The worker of this backend has not answered within {WAIT_SECONDS:.0f} s; it goes on.")


def _request(
    connection: Connection,
    context: RequestContext,
    flow: str,
    operation_id: str,
    volume: Volume,
    attachment_id: str,
    **more: Any,
) -> None:
    operations.request_flow(
        connection,
        context,
        flow,
        operation_id=operation_id,
        resource=volume,
        arguments=msgspec.to_builtins({"attachment_id": attachment_id, **more}),
    )
