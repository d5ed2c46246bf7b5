"""What a backup looks like (Cinder: `api/v3/views/backups.py` and `api/v3/backups.py`)."""

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from breezeblock.api.call import Call
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


def summary(call: Call, backup_id: str, name: str | None) -> dict[str, Any]:
    """A backup in the short list, and what create and update answer."""
    return {"id": backup_id, "name": name, "links": call.links.of("backups", backup_id)}


class BackupView:
    """The view for one call."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._version = call.version
        self._owner = call.may("backup:backup_project_attribute")

    def detail(self, row: Sequence[Any]) -> dict[str, Any]:
        """All that this version tells of a backup."""
        (
            backup_id, status, size, object_count, zone, container, created_at, updated_at, name, description,
            fail_reason, volume_id, snapshot_id, data_timestamp, project_id, user_id, parent_id, key_id, metadata,
            has_children,
        ) = row  # fmt: skip
        shown: dict[str, Any] = {
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
            shown["metadata"] = msgspec.Raw(metadata)
        if self._version >= 56 and self._owner:
            shown["user_id"] = user_id
        if self._version >= 64 and key_id is not None:
            shown["encryption_key_id"] = key_id
        return shown
