"""Bodies of the calls on group types and their specs (Cinder: `api/schemas/group_types.py`, `group_specs.py`)."""

from typing import Annotated

import msgspec
from msgspec import Meta

from breezeblock.api.bodies import Schema, envelope
from breezeblock.api.schemas.fields import Flag, MetadataKey, Specs, Text, Words


class GroupTypeCreate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """POST /group_types."""

    name: Words
    description: Text | None = None
    is_public: Flag = True
    group_specs: dict[MetadataKey, Text | None] | None = None


class GroupTypeUpdate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """PUT /group_types/{id}. What is not named stays."""

    name: Text | None = None
    description: Text | None = None
    is_public: Flag | None = None


CREATE = envelope("group_type", GroupTypeCreate)
UPDATE = envelope("group_type", GroupTypeUpdate)
SPECS = envelope("group_specs", Specs)
SPEC = Schema(Annotated[Specs, Meta(min_length=1, max_length=1)])
