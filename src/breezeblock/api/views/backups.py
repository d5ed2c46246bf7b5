"""What a backup looks like (Cinder: `api/v3/views/backups.py` and `api/v3/backups.py`)."""

from collections.abc import Sequence
from typing import Annotated, Any, NotRequired, TypedDict

import sqlalchemy as sa

from breezeblock.api.call import Call
from breezeblock.api.shapes import Counted, GiB, Link, Time, since, stored
from breezeblock.db import tables

_table = tables.backups
_child = _table.alias("child")

SUMMARY_COLUMNS = (_table.c.id, _table.c.name)

COLUMNS = (
    *(
        _table.c[name]
        for name in (
            "id status size object_count availability_zone container created_at updated_at name description "
            "fail_reason volume_id snapshot_id data_timestamp project_id user_id parent_id encryption_key_id"
        ).split()
    ),
    sa.type_coerce(_table.c.metadata, sa.Text),
    sa.exists().where(_child.c.parent_id == _table.c.id),
)


class BackupSummary(TypedDict):
    """A backup in the short list."""

    id: str
    name: str | None
    links: list[Link]


_Owner = TypedDict(
    "_Owner", {"os-backup-project-attr:project_id": NotRequired[Annotated[str, since(18, always=False)]]}
)


class BackupDetail(BackupSummary, _Owner):
    """A backup. Whose it is, is for those whom policy tells it."""

    status: str
    size: GiB
    object_count: int
    availability_zone: str | None
    container: str | None
    created_at: Time
    updated_at: Time | None
    description: str | None
    fail_reason: str | None
    volume_id: str
    is_incremental: bool
    has_dependent_backups: bool
    snapshot_id: str | None
    data_timestamp: Time | None
    metadata: NotRequired[Annotated[dict[str, str], since(43)]]
    user_id: NotRequired[Annotated[str, since(56, always=False)]]
    encryption_key_id: NotRequired[Annotated[str, since(64, always=False)]]


class NewBackup(TypedDict):
    """A backup that was made or changed."""

    backup: BackupSummary


class OneBackup(TypedDict):
    """A backup."""

    backup: BackupDetail


class BackupSummaries(Counted):
    """Backups."""

    backups: list[BackupSummary]
    backups_links: NotRequired[list[Link]]


class BackupDetails(Counted):
    """Backups, with all that is told of them."""

    backups: list[BackupDetail]
    backups_links: NotRequired[list[Link]]


class Restored(TypedDict):
    """What is restored into what."""

    backup_id: str
    volume_id: str
    volume_name: str | None


class Restore(TypedDict):
    """The answer to a restore."""

    restore: Restored


class BackupRecordShown(TypedDict):
    """A backup's record, to be kept elsewhere."""

    backup_service: str
    backup_url: str


ExportedRecord = TypedDict("ExportedRecord", {"backup-record": BackupRecordShown})


def summary(call: Call, backup_id: str, name: str | None) -> BackupSummary:
    """A backup in the short list, and what create and update answer."""
    return {"id": backup_id, "name": name, "links": call.links.of("backups", backup_id)}


class BackupView:
    """The view for one call."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._version = call.version
        self._owner = call.may("backup:backup_project_attribute")

    def detail(self, row: Sequence[Any]) -> BackupDetail:
        """All that this version tells of a backup."""
        (
            backup_id, status, size, object_count, zone, container, created_at, updated_at, name, description,
            fail_reason, volume_id, snapshot_id, data_timestamp, project_id, user_id, parent_id, key_id, metadata,
            has_children,
        ) = row  # fmt: skip
        shown: BackupDetail = {
            "id": backup_id,
            "status": status,
            "size": size,
            "object_count": object_count,
            "availability_zone": zone,
            "container": container,
            "created_at": created_at,
            "updated_at": updated_at,
            "name": name,
            "description": description,
            "fail_reason": fail_reason,
            "volume_id": volume_id,
            "links": self._call.links.of("backups", backup_id),
            "is_incremental": parent_id is not None,
            "has_dependent_backups": bool(has_children),
            "snapshot_id": snapshot_id,
            "data_timestamp": data_timestamp,
        }
        if self._version >= 18 and self._owner:
            shown["os-backup-project-attr:project_id"] = project_id
        if self._version >= 43:
            shown["metadata"] = stored(metadata)
        if self._version >= 56 and self._owner:
            shown["user_id"] = user_id
        if self._version >= 64 and key_id is not None:
            shown["encryption_key_id"] = key_id
        return shown
