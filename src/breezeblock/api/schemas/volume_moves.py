"""Bodies of the actions that give a volume another content, type or place (Cinder: `api/schemas/volumes.py`,
`volume_actions.py`, `admin_actions.py`)."""

import msgspec

from breezeblock.api.bodies import Schema
from breezeblock.api.schemas.fields import Flag, Uuid


class Revert(msgspec.Struct, frozen=True):
    """revert. Unknown keys are passed over, as with Cinder."""

    snapshot_id: str | None = None


class Reimage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """os-reimage."""

    image_id: Uuid
    reimage_reserved: Flag = False


REIMAGE = Schema(Reimage)
REVERT = Schema(Revert)
