"""Bodies of the calls on groups (Cinder: `api/schemas/groups.py`)."""

from typing import Annotated, Any, TypedDict

import msgspec
from msgspec import Meta

from breezeblock.api.bodies import Schema, envelope
from breezeblock.api.schemas.fields import Flag, Text, Uuid, Words
from breezeblock.api.shapes import since

Types = Annotated[list[Text], Meta(min_length=1)]


class GroupCreate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """POST /groups. Types are names or ids."""

    group_type: Words
    volume_types: Types
    name: Text | None = None
    description: Text | None = None
    availability_zone: Words | None = None


class GroupCreateFromSrc(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """create-from-src: of exactly one of the two."""

    name: Text | None = None
    description: Text | None = None
    group_snapshot_id: Uuid | None = None
    source_group_id: Uuid | None = None


class GroupUpdate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """PUT /groups/{id}. Volumes are ids with commas between them; what is not named stays."""

    name: Text | msgspec.UnsetType | None = msgspec.UNSET
    description: Text | msgspec.UnsetType | None = msgspec.UNSET
    add_volumes: Text | msgspec.UnsetType | None = msgspec.UNSET
    remove_volumes: Text | msgspec.UnsetType | None = msgspec.UNSET


class GroupDelete(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The action delete."""

    delete_volumes: Flag = msgspec.field(name="delete-volumes", default=False)


class GroupStatusReset(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """reset_status of a group or group snapshot."""

    status: Words


class GroupFailover(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """failover_replication."""

    allow_attached_volume: Flag = False
    secondary_backend_id: Text | None = None


class ShowQuery(TypedDict, total=False):
    """GET /groups/{id}: with its volumes."""

    list_volume: Annotated[bool, since(25)]


CREATE = envelope("group", GroupCreate)
CREATE_FROM_SRC = Schema(GroupCreateFromSrc)
UPDATE = envelope("group", GroupUpdate)
DELETE = Schema(GroupDelete)
RESET_STATUS = Schema(GroupStatusReset)
FAILOVER = Schema(GroupFailover)
NOTHING = Schema(dict[str, Any])
"""An action that says nothing more."""
