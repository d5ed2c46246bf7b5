"""Bodies of the calls on QoS specs (Cinder: `api/schemas/qos_specs.py`)."""

from typing import Annotated, TypedDict

import msgspec
from msgspec import Meta

from breezeblock.api.bodies import Schema, envelope
from breezeblock.api.schemas.fields import MetadataKey, Text, Words

_NamedSpecs = dict[Words, Text | None]
"""The name is one of the keys; the handler takes it out."""

_Specs = dict[MetadataKey, Text | None]


class Keys(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """PUT /qos-specs/{id}/delete_keys."""

    keys: list[Annotated[str, Meta(min_length=1, max_length=255)]]


class DeleteQuery(TypedDict, total=False):
    """DELETE /qos-specs/{id}: also where types have them."""

    force: bool


class AssociateQuery(TypedDict):
    """The volume type."""

    vol_type_id: str


CREATE = envelope("qos_specs", _NamedSpecs, "QosSpecsCreateBody")
UPDATE = envelope("qos_specs", _Specs, "QosSpecsUpdateBody")
KEYS = Schema(Keys)
