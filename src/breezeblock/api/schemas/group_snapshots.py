"""Bodies of the calls on group snapshots (Cinder: `api/schemas/group_snapshots.py`)."""

import msgspec

from breezeblock.api.bodies import envelope
from breezeblock.api.schemas.fields import Text, Uuid


class GroupSnapshotCreate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """POST /group_snapshots."""

    group_id: Uuid
    name: Text | None = None
    description: Text | None = None


CREATE = envelope("group_snapshot", GroupSnapshotCreate)
