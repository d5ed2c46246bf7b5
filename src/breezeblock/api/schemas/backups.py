"""Bodies of the calls on backups (Cinder: `api/schemas/backups.py`)."""

from typing import Annotated

import msgspec

from breezeblock.api.bodies import envelope
from breezeblock.api.schemas.fields import Flag, Metadata, Text, Uuid


class BackupCreate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """POST /backups."""

    volume_id: Uuid
    snapshot_id: Uuid | None = None
    name: Text | None = None
    description: Text | None = None
    container: Text | None = None
    incremental: Flag | None = None
    force: Flag | None = None


class BackupCreate43(BackupCreate, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From 3.43 on."""

    metadata: Metadata | None = None


class BackupCreate51(BackupCreate43, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From 3.51 on."""

    availability_zone: Text | None = None


class BackupUpdate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """PUT /backups/{id} (3.9). What is not named stays."""

    name: Text | msgspec.UnsetType | None = msgspec.UNSET
    description: Text | msgspec.UnsetType | None = msgspec.UNSET


class BackupUpdate43(BackupUpdate, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From 3.43 on."""

    metadata: Metadata | msgspec.UnsetType = msgspec.UNSET


class BackupRestore(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """POST /backups/{id}/restore."""

    volume_id: Uuid | None = None
    name: Text | None = None


class BackupRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """POST /backups/import_record."""

    backup_service: Text
    backup_url: Annotated[str, msgspec.Meta(min_length=1)]


CREATE = {
    0: envelope("backup", BackupCreate),
    43: envelope("backup", BackupCreate43),
    51: envelope("backup", BackupCreate51),
}
UPDATE = {0: envelope("backup", BackupUpdate | None), 43: envelope("backup", BackupUpdate43 | None)}
RESTORE = envelope("restore", BackupRestore | None)
IMPORT_RECORD = envelope("backup-record", BackupRecord)
