"""Bodies of the old calls on consistency groups, which are as loose as Cinder's (`api/schemas/consistencygroups.py`)."""

from typing import Any

import msgspec

from breezeblock.api.bodies import Schema, envelope
from breezeblock.api.schemas.fields import Flag, Text


class ConsistencyGroupCreate(msgspec.Struct, frozen=True, kw_only=True):
    """POST /consistencygroups. Types are names or ids with commas between them."""

    volume_types: str | None
    name: Text | None = None
    description: Text | None = None
    availability_zone: Text | None = None


class ConsistencyGroupCopy(msgspec.Struct, frozen=True, kw_only=True):
    """POST /consistencygroups/create_from_src."""

    name: Text | None = None
    description: Text | None = None
    cgsnapshot_id: str | None = None
    source_cgid: str | None = None


class ConsistencyGroupUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """PUT /consistencygroups/{id}/update."""

    name: Text | None = None
    description: Text | None = None
    add_volumes: str | None = None
    remove_volumes: str | None = None


class ConsistencyGroupDelete(msgspec.Struct, frozen=True, kw_only=True):
    """POST /consistencygroups/{id}/delete."""

    force: Flag = False


class CgsnapshotCreate(msgspec.Struct, frozen=True, kw_only=True):
    """POST /cgsnapshots."""

    consistencygroup_id: str
    name: Text | None = None
    description: Text | None = None


class _OrNothing(Schema):
    """A schema that also takes no body, null, or an empty object: then the body is None."""

    def decode(self, body: bytes | msgspec.Raw) -> Any:
        """The record, or None."""
        return None if bytes(body).strip() in {b"", b"null", b"{}"} else super().decode(body)


CREATE = envelope("consistencygroup", ConsistencyGroupCreate, closed=False)
COPY = envelope("consistencygroup-from-src", ConsistencyGroupCopy, closed=False)
UPDATE = envelope("consistencygroup", ConsistencyGroupUpdate, closed=False)
DELETE = _OrNothing(envelope("consistencygroup", ConsistencyGroupDelete, closed=False).record)
CREATE_SNAPSHOT = envelope("cgsnapshot", CgsnapshotCreate, closed=False)
