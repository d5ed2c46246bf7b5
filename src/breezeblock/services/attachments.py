"""Use cases of attachments (3.27): reserve, connect, complete, delete.

A connection is made by the worker that owns the backend. Cinder's clients expect the connection_info in the answer,
so the request waits for the flow, looking at its row.
"""

import time
import uuid
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from breezeblock.auth import policy
from breezeblock.context import RequestContext
from breezeblock.db import attach_status, attachments, moves, operations, outbox, pools, volumes
from breezeblock.db.connect import Database
from breezeblock.errors import BreezeblockError, Conflict, InvalidState, ServiceUnavailable
from breezeblock.exports import iscsi
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
    mode: str = "null",
) -> Attachment:
    """Reserve a volume for an instance or host; with a connector, connect it at once.

    `mode` is rw, ro, or null: what the connector says. A read-only volume is ro.
    Raises `NotFound`, `InvalidInput` (of the connector), `InvalidState` (the volume is attached or not available),
    `Forbidden`.
    """
    with database.begin() as connection:
        volume = volumes.get(connection, volume_id, context.own_project, lock=True)
        _check_free(connection, context, volume, instance_uuid)
        if connector is not None:
            check_connector(connection, volume, connector)
        if volume.admin_metadata.get("readonly") == "True":
            mode = "ro"
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
        if volume.status in {"available", "downloading"} or volume.multiattach:
            moves.move(connection, "volume", volume_id, "reserve", attach_status="reserved")
    if connector is None:
        return attachment
    return _connect(database, context, attachment.id, connector)


def _check_free(connection: Connection, context: RequestContext, volume: Volume, instance_uuid: str | None) -> None:
    """Cinder's rules (`volume/api.py:_attachment_reserve`). A server that has it already may have it again: it moves."""
    if "error" in volume.status:
        raise InvalidState(
            "Invalid volume: Volume attachments can not be created if the volume is in an error state. "
            f"The Volume {volume.id} currently has a status of: {volume.status} "
        )
    if volume.multiattach and volume.status == "in-use" and volume.bootable:
        policy.authorize(context, "volume:multiattach_bootable_volume")
    allowed = ["available", "in-use", "downloading"] if volume.multiattach else ["available", "downloading"]
    if volume.status in allowed:
        return
    servers = {one.instance_uuid for one in attachments.of_volume(connection, volume.id)} - {None}
    if volume.status in {"in-use", "reserved"} and instance_uuid in servers:
        return
    raise InvalidState(
        f"Invalid volume: Volume {volume.id} status must be {', '.join(allowed[:-1])} or {allowed[-1]} to reserve, "
        f"but the current status is {volume.status}."
    )


def connect(database: Database, context: RequestContext, attachment_id: str, connector: dict[str, Any]) -> Attachment:
    """Give an attachment a connector: the volume is exported and the connection_info kept. Waits for it.

    Raises `InvalidInput` (of the connector), `Conflict` (the volume is in an error, or connected elsewhere),
    `ConnectionFailed` with the storage's reason, `ServiceUnavailable` when no worker answers in time.
    """
    with database.read() as connection:
        attachment = attachments.get(connection, attachment_id, context.own_project)
        volume = volumes.get(connection, attachment.volume_id)
        check_connector(connection, volume, connector)
        present = attachments.of_volume(connection, volume.id)
    if "error" in volume.status:
        raise Conflict(
            "Resource conflict: Volume attachments can not be updated if the volume is in an error state. "
            f"The Volume {volume.id} currently has a status of: {volume.status} "
        )
    if len(present) > 1 and not volume.multiattach and any(one.connection_info is not None for one in present):
        raise Conflict(f"Resource conflict: duplicate connectors detected on volume {volume.id}")
    return _connect(database, context, attachment_id, connector)


def check_connector(connection: Connection, volume: Volume, connector: dict[str, Any]) -> None:
    """Raises `InvalidInput` for a connector that the volume's storage could do nothing with (Cinder's `validate_connector`)."""
    pool = pools.find(connection, volume.host or "")
    protocol = pool.capabilities.get("storage_protocol") if pool is not None else None
    if protocol == iscsi.STORAGE_PROTOCOL and connector.get("driver_volume_type") != "nbd":
        iscsi.initiator_of(connector)


def _connect(database: Database, context: RequestContext, attachment_id: str, connector: dict[str, Any]) -> Attachment:
    with database.begin() as connection:
        attachment = attachments.get(connection, attachment_id, context.own_project)
        volume = volumes.get(connection, attachment.volume_id)
        if volume.status == "downloading":
            raise InvalidState(f"Invalid volume: Volume {volume.id} is still downloading.")
        operation_id = request(connection, context, "connect_volume", volume, attachment_id, connector=connector)
        outbox.volume_event(connection, "attach.start", volume, operation_id, attachment_id=attachment_id)
    wait_for(database, operation_id)
    with database.read() as connection:
        return attachments.get(connection, attachment_id)


def complete(database: Database, context: RequestContext, attachment_id: str) -> None:
    """The host has opened the volume: it is in use (3.44)."""
    with database.begin() as connection:
        attachment = attachments.get(connection, attachment_id, context.own_project)
        attachments.update(connection, attachment_id, attach_status="attached")
        attach_status.settle(connection, attachment.volume_id)


def delete_attachment(
    database: Database, context: RequestContext, attachment_id: str, has_compute: bool = False
) -> list[Attachment]:
    """Disconnect and drop an attachment; those that the volume still has. Waits for it.

    Raises `Conflict` where a server has the volume and somebody else than the compute service asks.
    """
    with database.begin() as connection:
        attachment = attachments.get(connection, attachment_id, context.own_project)
        check_deletable(context, attachment, has_compute)
        volume = volumes.get(connection, attachment.volume_id)
        operation_id = request(connection, context, "disconnect_volume", volume, attachment_id)
        outbox.volume_event(connection, "detach.start", volume, operation_id, attachment_id=attachment_id)
    wait_for(database, operation_id)
    with database.read() as connection:
        return attachments.of_volume(connection, attachment.volume_id)


def check_deletable(context: RequestContext, attachment: Attachment, has_compute: bool) -> None:
    """Only the compute service may take a volume from a server that has it open (CVE-2023-2088).

    A server that no compute service of the cloud can have is a name and nothing more. Raises `Conflict`.
    """
    in_use = attachment.instance_uuid is not None and attachment.connection_info is not None
    if in_use and has_compute and not context.is_service:
        raise Conflict(f"Detach volume from instance {attachment.instance_uuid} using the Compute API")


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


def request(
    connection: Connection, context: RequestContext, flow: str, volume: Volume, attachment_id: str, **more: Any
) -> str:
    """Have an attachment's connection made or ended; the operation's id."""
    operation_id = str(uuid.uuid4())
    operations.request_flow(
        connection,
        context,
        flow,
        operation_id=operation_id,
        resource=volume,
        arguments=msgspec.to_builtins({"attachment_id": attachment_id, **more}),
    )
    return operation_id
