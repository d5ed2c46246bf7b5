"""Body of PUT /default-types/{project} (Cinder: `api/schemas/default_types.py`)."""

import msgspec

from breezeblock.api.bodies import envelope
from breezeblock.api.schemas.fields import Words


class DefaultType(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The type, by id or name."""

    volume_type: Words


UPDATE = envelope("default_type", DefaultType)
