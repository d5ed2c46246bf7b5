"""Bodies of the calls on volume types and their extra specs (Cinder: `api/schemas/volume_types.py`)."""

from typing import Annotated

import msgspec
from msgspec import Meta

from breezeblock.api.bodies import Schema, envelope
from breezeblock.api.schemas.fields import Flag, MetadataKey, Specs, Text, Words


class TypeCreate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """POST /types."""

    name: Words
    description: Text | None = None
    extra_specs: dict[MetadataKey, Text | None] = {}
    is_public: Flag = msgspec.field(name="os-volume-type-access:is_public", default=True)


class TypeUpdate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """PUT /types/{id}."""

    name: Words | None = None
    description: Text | None = None
    is_public: Flag | None = None


class ProjectAccess(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """addProjectAccess and removeProjectAccess."""

    project: Words


CREATE = envelope("volume_type", TypeCreate)
UPDATE = envelope("volume_type", TypeUpdate)
PROJECT_ACCESS = Schema(ProjectAccess)
EXTRA_SPECS = envelope("extra_specs", Specs)
EXTRA_SPEC = Schema(Annotated[Specs, Meta(min_length=1, max_length=1)])
