"""Bodies of the actions that give a volume another content, type or place (Cinder: `api/schemas/volumes.py`,
`volume_actions.py`, `admin_actions.py`)."""

from typing import Literal

import msgspec

from breezeblock.api.bodies import Schema
from breezeblock.api.schemas.fields import Flag, Text, Uuid


class Revert(msgspec.Struct, frozen=True):
    """revert. Unknown keys are passed over, as with Cinder."""

    snapshot_id: str | None = None


class Reimage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """os-reimage."""

    image_id: Uuid
    reimage_reserved: Flag = False


class Retype(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """os-retype."""

    new_type: str
    migration_policy: Literal["on-demand", "never"] | None = None


class Migrate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """os-migrate_volume."""

    host: Text
    force_host_copy: Flag = False
    lock_volume: Flag = False


class ClusterMigrate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same from 3.16 on: a host or a cluster."""

    host: Text | None = None
    cluster: Text | None = None
    force_host_copy: Flag = False
    lock_volume: Flag = False


class CompleteMigration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """os-migrate_volume_completion."""

    new_volume: Uuid
    error: Flag | None = None


COMPLETE_MIGRATION = Schema(CompleteMigration)
MIGRATE = {0: Schema(Migrate), 16: Schema(ClusterMigrate)}
RETYPE = Schema(Retype)
REIMAGE = Schema(Reimage)
REVERT = Schema(Revert)
