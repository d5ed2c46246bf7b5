"""Use cases of attaching without the resource of attachments, as clients did before 3.27 (Cinder: `volume/api.py`).

A connection and an attachment are two things here: os-initialize_connection exports the volume and attaches nobody,
os-attach says that somebody has it open. The former is kept as a bare connection (`model.attachment`).
"""

import re
import uuid
from typing import Any

from sqlalchemy.engine import Connection

from breezeblock.context import RequestContext
from breezeblock.db import attachments, moves, outbox, volumes
from breezeblock.db.connect import Database
from breezeblock.errors import InvalidInput, InvalidState
from breezeblock.model import clock
from breezeblock.model.attachment import Attachment
from breezeblock.model.volume import Volume
from breezeblock.services.attachments import check_connector, check_deletable, request, wait_for

NOT_MIGRATING = {None, "deleting", "error", "success"}


def reserve(database: Database, context: RequestContext, volume_id: str) -> None:
    """Nobody else may attach it now. Raises `InvalidState`."""
    with database.begin() as connection:
        volume = volumes.get(connection, volume_id, context.own_project, lock=True)
        if not moves.try_move(connection, "volume", volume_id, "claim_shared" if volume.multiattach else "claim"):
            expected = "available or in-use" if volume.multiattach else "available"
            raise InvalidState(
                f"Invalid volume: Volume status must be {expected} to reserve, but the status is {volume.status}."
            )


def unreserve(database: Database, context: RequestContext, volume_id: str) -> None:
    """It is what it was before it was reserved; not reserved is done."""
    with database.begin() as connection:
        volumes.get(connection, volume_id, context.own_project, lock=True)
        _unreserve(connection, volume_id)


def _unreserve(connection: Connection, volume_id: str) -> None:
    attached = attachments.of_volume(connection, volume_id)
    moves.try_move(connection, "volume", volume_id, "unclaim", "in-use" if attached else "available")


def begin_detaching(database: Database, context: RequestContext, volume_id: str) -> None:
    """Somebody is about to close it. Raises `InvalidState`."""
    with database.begin() as connection:
        volume = volumes.get(connection, volume_id, context.own_project, lock=True)
        if volume.migration_status not in NOT_MIGRATING:
            return  # as Cinder: the user of a volume that moves does not see that it is detached
        attached = volume.attach_status == "attached"
        if not (attached and moves.try_move(connection, "volume", volume_id, "begin_detaching")):
            raise InvalidState(
                "Invalid volume: Unable to detach volume. Volume status must be 'in-use' and attach_status must be "
                "'attached' to detach."
            )


def roll_detaching(database: Database, context: RequestContext, volume_id: str) -> None:
    """It stays open; not detaching is done."""
    with database.begin() as connection:
        volumes.get(connection, volume_id, context.own_project)
        moves.try_move(connection, "volume", volume_id, "roll_detaching")


def attach(
    database: Database,
    context: RequestContext,
    volume_id: str,
    *,
    instance_uuid: str | None,
    host_name: str | None,
    mountpoint: str,
    mode: str,
) -> None:
    """Somebody has it open: an instance, or a host. Attached to them already is done.

    Raises `InvalidState`: it is in use by somebody else, is read-only, or in a status that cannot be attached.
    """
    host = _sanitized(host_name) if host_name else None
    with database.begin() as connection:
        volume = volumes.get(connection, volume_id, context.own_project, lock=True)
        _check_attachable(volume, mode)
        if _is_attached_to(connection, volume_id, instance_uuid, host):
            moves.try_move(connection, "volume", volume_id, "attach_done")
            return
        if volume.status == "in-use" and not volume.multiattach and volume.migration_status is None:
            raise InvalidState(
                "Error attaching volume - InvalidVolume: Invalid volume: volume is already attached and multiple "
                "attachments are not enabled"
            )
        now = clock.now()
        attachment = Attachment(
            id=str(uuid.uuid4()),
            volume_id=volume_id,
            project_id=volume.project_id,
            instance_uuid=instance_uuid,
            attached_host=host,
            mountpoint=mountpoint,
            attach_mode=mode,
            attach_status="attached",
            attach_time=now,
            created_at=now,
        )
        outbox.volume_event(connection, "attach.start", volume, None)
        attachments.insert(connection, attachment)
        shown = {"readonly": "False", **volume.admin_metadata, "attached_mode": mode}
        moves.move(connection, "volume", volume_id, "attach_done", attach_status="attached", admin_metadata=shown)
        outbox.volume_event(connection, "attach.end", volumes.get(connection, volume_id), None)


def _check_attachable(volume: Volume, mode: str) -> None:
    if volume.status == "maintenance":
        raise InvalidState("Invalid volume: The volume cannot be attached in maintenance mode.")
    if volume.admin_metadata.get("readonly") == "True" and mode != "ro":
        raise InvalidInput(f"Invalid attaching mode '{mode}' for volume {volume.id}.")
    attaching_as = volume.admin_metadata.get("attached_mode", mode)
    if volume.status == "attaching" and attaching_as != mode:
        raise InvalidState("Error attaching volume - InvalidVolume: Invalid volume: being attached by different mode")


def _is_attached_to(connection: Connection, volume_id: str, instance_uuid: str | None, host: str | None) -> bool:
    present = attachments.of_volume(connection, volume_id)
    if instance_uuid is not None:
        return any(one.instance_uuid == instance_uuid for one in present)
    return any(one.attached_host == host for one in present)


def _sanitized(host_name: str) -> str:
    """A host's name as Cinder keeps it (`volume_utils.sanitize_hostname`)."""
    dashed = re.sub(r"[ _]", "-", host_name.encode("latin-1", "ignore").decode("latin-1"))
    return re.sub(r"[^\w.-]+", "", dashed).lower().strip(".-")


def detach(
    database: Database, context: RequestContext, volume_id: str, attachment_id: str | None, has_compute: bool
) -> None:
    """Nobody has it open any more: the attachment goes, with the last one each bare connection. Waits for it.

    Raises `InvalidState` (several attachments and none is named), `InvalidInput` (another volume's), `Conflict` as
    `services.attachments.delete_attachment`, `ConnectionFailed`.
    """
    with database.begin() as connection:
        volume = volumes.get(connection, volume_id, context.own_project, lock=True)
        present = attachments.of_volume(connection, volume_id)
        ending = _to_detach(connection, context, present, volume, attachment_id)
        if ending is not None:
            check_deletable(context, ending, has_compute)
        if volume.status == "maintenance":
            raise InvalidState("Invalid volume: The volume cannot be detached in maintenance mode.")
        if ending is None:
            if not present:
                _settle_detached(connection, volume)
            return
        moves.try_move(connection, "volume", volume_id, "detach_broken")
        last = len(present) == 1
        bare = [
            one
            for one in attachments.bare_of(connection, volume_id)
            if last or one.attached_host == ending.attached_host
        ]
        asked = [request(connection, context, "disconnect_volume", volume, one.id) for one in [*bare, ending]]
        outbox.volume_event(connection, "detach.start", volume, asked[-1], attachment_id=ending.id)
    for operation_id in asked:
        wait_for(database, operation_id)


def _to_detach(
    connection: Connection,
    context: RequestContext,
    present: list[Attachment],
    volume: Volume,
    attachment_id: str | None,
) -> Attachment | None:
    """The attachment that is meant; None where it is gone, or another project's."""
    if attachment_id is not None:
        found = attachments.find(connection, attachment_id)
        if found is None or context.own_project not in {None, found.project_id}:
            return None
        if found.volume_id != volume.id:
            raise InvalidInput("Invalid input received: Mismatched volume and attachment")
        return found
    if len(present) > 1:
        raise InvalidState(
            "Error detaching volume - InvalidVolume: Invalid volume: Detach volume failed: More than one attachment, "
            "but no attachment_id provided."
        )
    return present[0] if present else None


def _settle_detached(connection: Connection, volume: Volume) -> None:
    moves.try_move(connection, "volume", volume.id, "detach_done", "available", attach_status="detached")


def initialize_connection(
    database: Database, context: RequestContext, volume_id: str, connector: dict[str, Any]
) -> dict[str, Any]:
    """Have the volume exported for a host, and say how it is opened. Waits for it; asked again it is the same.

    Raises `InvalidInput`, `InvalidState`, `ConnectionFailed` with the storage's reason, `ServiceUnavailable`.
    """
    with database.begin() as connection:
        volume = volumes.get(connection, volume_id, context.own_project, lock=True)
        check_connector(connection, volume, connector)
        if volume.status == "maintenance":
            raise InvalidState("Invalid volume: The volume connection cannot be initialized in maintenance mode.")
        if volume.launched_at is None or volume.status in {"creating", "downloading", "deleting", "awaiting-transfer"}:
            raise InvalidState(
                f"Invalid volume: Volume {volume_id} is {volume.status}; there is nothing to connect to."
            )
        bare = next(iter(_for_host(connection, volume_id, connector)), None) or _bare(connection, volume)
        operation_id = request(connection, context, "connect_volume", volume, bare.id, connector=connector)
    wait_for(database, operation_id)
    with database.read() as connection:
        made = attachments.find(connection, bare.id)
    return (made.connection_info if made else None) or {}


def _bare(connection: Connection, volume: Volume) -> Attachment:
    """A new bare connection; it may write unless the volume is read-only."""
    metadata = volume.admin_metadata
    bare = Attachment(
        id=str(uuid.uuid4()),
        volume_id=volume.id,
        project_id=volume.project_id,
        attach_mode=metadata.get("attached_mode") or ("ro" if metadata.get("readonly") == "True" else "rw"),
        attach_status="detached",
        created_at=clock.now(),
    )
    attachments.insert(connection, bare)
    return bare


def _for_host(connection: Connection, volume_id: str, connector: dict[str, Any] | None) -> list[Attachment]:
    """The bare connections of a host; of all where the connector names none."""
    host = (connector or {}).get("host")
    return [one for one in attachments.bare_of(connection, volume_id) if host is None or one.attached_host == host]


def terminate_connection(
    database: Database,
    context: RequestContext,
    volume_id: str,
    connector: dict[str, Any] | None,
    has_compute: bool,
) -> None:
    """End what os-initialize_connection began for a host, or for all; then it is not reserved any more. Waits for it.

    What an attachment has connected ends with the attachment. Raises `Conflict` where a server has the volume.
    """
    with database.begin() as connection:
        volume = volumes.get(connection, volume_id, context.own_project, lock=True)
        for one in attachments.of_volume(connection, volume_id):
            check_deletable(context, one, has_compute)
        ending = _for_host(connection, volume_id, connector)
        asked = [request(connection, context, "disconnect_volume", volume, one.id) for one in ending]
    for operation_id in asked:
        wait_for(database, operation_id)
    unreserve(database, context, volume_id)
