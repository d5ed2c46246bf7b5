"""Connect a host to a volume, and disconnect it."""

from typing import Any

from sqlalchemy.engine import Connection

from breezeblock.db import attach_status, attachments, outbox, qos_specs, volume_types, volumes
from breezeblock.drivers.contract import who_connects
from breezeblock.errors import InvalidInput, NotFound
from breezeblock.flows.engine import Flow, flow, message_for_user
from breezeblock.model import clock
from breezeblock.model.attachment import Attachment
from breezeblock.model.volume import Volume


def abandon_connect(flow: Flow, error: BaseException) -> None:
    """The attachment stays without a connection; its owner deletes it or tries again. An export for it alone is gone."""
    with flow.backend.database.read() as connection:
        attachment = attachments.find(connection, flow.arguments["attachment_id"])
        volume = volumes.find(connection, attachment.volume_id) if attachment else None
        others = connected_beside(connection, attachment) if attachment else []
    if volume is not None and not others:
        flow.driver.terminate_connection(volume, None)
    with flow.ending("failed", message_for_user(error)) as connection:
        attachment = attachments.find(connection, flow.arguments["attachment_id"])
        if attachment is None:
            return
        if attachment.is_bare:
            attachments.remove(connection, attachment.id)
            return
        attachments.update(connection, attachment.id, attach_status="error_attaching")
        attach_status.settle(connection, attachment.volume_id)
        _tell(flow, connection, "attach.error", attachment, error)


def connected_beside(connection: Connection, attachment: Attachment) -> list[Attachment]:
    """What else its volume is exported for."""
    return [one for one in attachments.connected(connection, attachment.volume_id) if one.id != attachment.id]


def told_of_type(connection: Connection, volume: Volume) -> dict[str, Any]:
    """What a host is told of its volume's type: the limits that it is to keep, and whether it may cache.

    Raises `InvalidInput` for limits that are no numbers.
    """
    qos = qos_specs.of_type(connection, volume.volume_type_id)
    try:
        limits = qos.for_host(volume.size) if qos is not None else None
    except ValueError as error:
        raise InvalidInput(str(error)) from None
    volume_type = volume_types.find(connection, volume.volume_type_id) if volume.volume_type_id else None
    return {
        "qos_specs": limits,
        "cacheable": volume_type is not None and volume_type.extra_specs.get("cacheable") == "<is> True",
    }


@flow("connect_volume", abandon=abandon_connect)
def connect_volume(flow: Flow) -> None:
    """Export the volume and keep the connection_info with the attachment."""
    with flow.backend.database.read() as connection:
        attachment = attachments.find(connection, flow.arguments["attachment_id"])
        if attachment is None:
            raise NotFound("The attachment was deleted before it was connected.")
        volume = volumes.get(connection, attachment.volume_id)
        told = told_of_type(connection, volume)
    connector = flow.arguments["connector"]
    with flow.explained("initialize_connection", host=connector.get("host")) as result:
        info = flow.driver.initialize_connection(volume, connector)
        result["driver_volume_type"] = info["driver_volume_type"]
    mode = attachment.attach_mode if attachment.attach_mode != "null" else connector.get("mode") or "rw"
    data = {"access_mode": mode, "volume_id": volume.id, "encrypted": volume.encryption_key_id is not None}
    data |= told
    if not attachment.is_bare:
        data["attachment_id"] = attachment.id
    values = {
        "connector": connector,
        "connection_info": {
            **info,
            "data": {**info["data"], **data},
            "enforce_multipath": bool(connector.get("enforce_multipath", False)),
        },
        "attached_host": connector.get("host"),
    }
    with flow.ending() as connection:
        if attachment.is_bare:
            attachments.update(connection, attachment.id, **values)
            return
        attachments.update(
            connection,
            attachment.id,
            **values,
            attach_status="attaching",
            attach_mode=mode,
            mountpoint=connector.get("mountpoint", "na"),
            attach_time=clock.now(),
        )
        attach_status.settle(connection, volume.id)
        outbox.volume_event(connection, "attach.end", volume, flow.id, attachment_id=attachment.id)


def abandon_disconnect(flow: Flow, error: BaseException) -> None:
    """The attachment is kept in `error_detaching`, a bare connection as it was."""
    with flow.ending("failed", message_for_user(error)) as connection:
        attachment = attachments.find(connection, flow.arguments["attachment_id"])
        if attachment is None or attachment.is_bare:
            return
        attachments.update(connection, attachment.id, attach_status="error_detaching")
        _tell(flow, connection, "detach.error", attachment, error)


def _tell(flow: Flow, connection: Connection, event: str, attachment: Attachment, error: BaseException) -> None:
    volume = volumes.find(connection, attachment.volume_id)
    if volume is not None:
        more = {"attachment_id": attachment.id, "error": message_for_user(error)}
        outbox.volume_event(connection, event, volume, flow.id, **more)


@flow("disconnect_volume", abandon=abandon_disconnect)
def disconnect_volume(flow: Flow) -> None:
    """Withdraw the export unless another attachment needs it, and drop the attachment.

    The storage is not asked where another attachment is of the same host: it has one connection for both.
    """
    with flow.backend.database.read() as connection:
        attachment = attachments.find(connection, flow.arguments["attachment_id"])
        if attachment is None:
            return
        volume = volumes.get(connection, attachment.volume_id)
        others = connected_beside(connection, attachment)
    hosts = {who_connects(one.connector or {}) for one in others}
    if attachment.connection_info is not None and who_connects(attachment.connector or {}) not in hosts:
        with flow.explained("terminate_connection", still_connected=len(others)):
            flow.driver.terminate_connection(volume, attachment.connector if others else None)
    with flow.ending() as connection:
        attachments.remove(connection, attachment.id)
        if attachment.is_bare:
            return
        attach_status.settle(connection, volume.id)
        if not attachments.of_volume(connection, volume.id):
            volumes.forget_admin_metadata(connection, volume.id, "attached_mode")
        outbox.volume_event(connection, "detach.end", volume, flow.id, attachment_id=attachment.id)
