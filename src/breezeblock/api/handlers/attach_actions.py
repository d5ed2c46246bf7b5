"""The actions that attach volumes the old way: POST /volumes/{id}/action (Cinder: `api/contrib/volume_actions.py`)."""

from typing import Any, TypedDict

from breezeblock.api.call import Call
from breezeblock.api.schemas.attach_actions import (
    Attach,
    Detach,
    ForceDetach,
    InitializeConnection,
    TerminateConnection,
)
from breezeblock.errors import InvalidInput
from breezeblock.services import attach_actions as services


def attach(call: Call) -> None:
    """os-attach: the host has opened the volume, which is in use from now on."""
    body: Attach = call.body
    if body.instance_uuid is None and body.host_name is None:
        raise InvalidInput(
            "Invalid input for field/attribute os-attach. It is not valid under any of the given schemas: "
            "'instance_uuid' or 'host_name' is a required property."
        )
    services.attach(
        call.database,
        call.context,
        call.id,
        instance_uuid=body.instance_uuid,
        host_name=body.host_name,
        mountpoint=body.mountpoint,
        mode=body.mode,
    )


def detach(call: Call) -> None:
    """os-detach: nobody has it open any more."""
    body: Detach | None = call.body
    services.detach(call.database, call.context, call.id, body.attachment_id if body else None, call.has_compute)


def reserve(call: Call) -> None:
    """os-reserve: nobody else may attach it."""
    services.reserve(call.database, call.context, call.id)


def unreserve(call: Call) -> None:
    """os-unreserve; not reserved is done."""
    services.unreserve(call.database, call.context, call.id)


def begin_detaching(call: Call) -> None:
    """os-begin_detaching."""
    services.begin_detaching(call.database, call.context, call.id)


def roll_detaching(call: Call) -> None:
    """os-roll_detaching: it stays in use."""
    services.roll_detaching(call.database, call.context, call.id)


class ConnectionInfo(TypedDict):
    """How a host opens a volume, by the driver's kind of connection."""

    connection_info: dict[str, Any]


def initialize_connection(call: Call) -> ConnectionInfo:
    """os-initialize_connection: how the connector opens the volume."""
    body: InitializeConnection = call.body
    return {"connection_info": services.initialize_connection(call.database, call.context, call.id, body.connector)}


def terminate_connection(call: Call) -> None:
    """os-terminate_connection: the connector does not open it any more."""
    body: TerminateConnection = call.body
    services.terminate_connection(call.database, call.context, call.id, _connector(body.connector), call.has_compute)


def force_detach(call: Call) -> None:
    """os-force_detach (administrators): both, from an error as well."""
    body: ForceDetach = call.body
    services.terminate_connection(call.database, call.context, call.id, _connector(body.connector), call.has_compute)
    services.detach(call.database, call.context, call.id, body.attachment_id, call.has_compute)


def _connector(given: dict[str, Any] | str | None) -> dict[str, Any] | None:
    """The connector; a text, which Cinder's schema allows too, can only be an empty one."""
    if isinstance(given, str) and given:
        raise InvalidInput("Invalid input for field/attribute connector. It must be an object.")
    return given or None
