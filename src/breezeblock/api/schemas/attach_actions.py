"""Bodies of the actions that attach volumes the old way (Cinder: `api/schemas/volume_actions.py`, `admin_actions.py`)."""

from typing import Any, Literal

import msgspec

from breezeblock.api.bodies import Schema
from breezeblock.api.schemas.fields import Text, Uuid, Words


class Attach(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """os-attach: an instance or a host."""

    mountpoint: Words
    instance_uuid: Uuid | None = None
    host_name: Text | None = None
    mode: Literal["rw", "ro"] = "rw"


class Detach(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """os-detach; needed where a volume has several attachments."""

    attachment_id: Uuid | None = None


class InitializeConnection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """os-initialize_connection."""

    connector: dict[str, Any]


class TerminateConnection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """os-terminate_connection; null for all hosts."""

    connector: dict[str, Any] | str | None


class ForceDetach(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """os-force_detach."""

    connector: dict[str, Any] | str | None = None
    attachment_id: Text | None = None


ATTACH = Schema(Attach)
DETACH = Schema(Detach | None)
INITIALIZE_CONNECTION = Schema(InitializeConnection)
TERMINATE_CONNECTION = Schema(TerminateConnection)
FORCE_DETACH = Schema(ForceDetach)
