"""Calls on backups."""

from typing import Any

from msgspec import UNSET

from breezeblock.api import listing
from breezeblock.api.call import Call
from breezeblock.api.listing import Filter, Listing, equals, number
from breezeblock.api.schemas.backups import (
    BackupCreate,
    BackupCreate43,
    BackupCreate51,
    BackupRecord,
    BackupRestore,
    BackupUpdate,
    BackupUpdate43,
)
from breezeblock.api.schemas.fields import flag, trimmed
from breezeblock.api.schemas.snapshots import StatusReset
from breezeblock.api.views import backups as view
from breezeblock.api.views.backups import BackupView
from breezeblock.db import tables
from breezeblock.services import backup_records, backups

LISTING = Listing(
    noun="Backup",
    table=tables.backups,
    filters={
        "name": Filter(make=equals),
        "status": Filter(make=equals),
        "volume_id": Filter(make=equals),
        "snapshot_id": Filter(make=equals),
        "parent_id": Filter(make=equals),
        "size": Filter(make=number),
        "user_id": Filter(make=equals),
        "availability_zone": Filter(make=equals),
        "id": Filter(make=equals),
        "project_id": Filter(make=equals, admin=True),
        "tenant_id": Filter(make=equals, column="project_id", admin=True),
        "host": Filter(make=equals, admin=True),
    },
    sort_keys=frozenset(
        "id name display_name status size volume_id container availability_zone created_at updated_at "
        "data_timestamp".split()
    ),
    renamed={"display_name": "name"},
)


def create(call: Call) -> view.NewBackup:
    """POST /backups."""
    body: BackupCreate = call.body.content
    request = backups.CreateBackup(
        volume_id=body.volume_id,
        snapshot_id=body.snapshot_id,
        name=trimmed(body.name),
        description=trimmed(body.description),
        container=body.container,
        metadata=(body.metadata or {}) if isinstance(body, BackupCreate43) else {},
        incremental=flag(body.incremental, "incremental"),
        force=flag(body.force, "force"),
        availability_zone=body.availability_zone if isinstance(body, BackupCreate51) else None,
    )
    made = backups.create_backup(call.database, call.settings, call.context, request)
    return {"backup": view.summary(call, made.id, made.name)}


def show(call: Call) -> view.OneBackup:
    """GET /backups/{id}."""
    with call.database.read() as connection:
        row = listing.one(call, connection, LISTING, view.COLUMNS, call.id)
    return {"backup": BackupView(call).detail(row)}


def summaries(call: Call) -> view.BackupSummaries:
    """GET /backups."""
    page = listing.page(call, LISTING, view.SUMMARY_COLUMNS, "backups")
    return page.whole(view.BackupSummaries(backups=[view.summary(call, *row) for row in page.rows]))


def details(call: Call) -> view.BackupDetails:
    """GET /backups/detail."""
    page = listing.page(call, LISTING, view.COLUMNS, "backups/detail")
    detail = BackupView(call).detail
    return page.whole(view.BackupDetails(backups=[detail(row) for row in page.rows]))


def restore(call: Call) -> view.Restore:
    """POST /backups/{id}/restore: into a volume that is there, or a new one."""
    body: BackupRestore = call.body.content or BackupRestore()
    backup, volume = backups.restore_backup(
        call.database,
        call.settings,
        call.catalog,
        call.context,
        call.id,
        volume_id=body.volume_id,
        name=trimmed(body.name),
    )
    return {"restore": {"backup_id": backup.id, "volume_id": volume.id, "volume_name": volume.name}}


def update(call: Call) -> view.NewBackup:
    """PUT /backups/{id} (3.9)."""
    body: BackupUpdate = call.body.content or BackupUpdate()
    values: dict[str, Any] = {}
    if body.name is not UNSET:
        values["name"] = trimmed(body.name)
    if body.description is not UNSET:
        values["description"] = trimmed(body.description)
    if isinstance(body, BackupUpdate43) and body.metadata is not UNSET:
        values["metadata"] = body.metadata
    changed = backups.update_backup(call.database, call.context, call.id, **values)
    return {"backup": view.summary(call, changed.id, changed.name)}


def delete(call: Call) -> None:
    """DELETE /backups/{id}."""
    backups.delete_backup(call.database, call.context, call.id)


def reset_status(call: Call) -> None:
    """os-reset_status (administrators)."""
    body: StatusReset = call.body
    backups.reset_status(call.database, call.context, call.id, body.status.lower())


def force_delete(call: Call) -> None:
    """os-force_delete (administrators): whatever the status."""
    backups.delete_backup(call.database, call.context, call.id, force=True)


def export_record(call: Call) -> view.ExportedRecord:
    """GET /backups/{id}/export_record (administrators)."""
    record = backup_records.export_record(call.database, call.context, call.id)
    return {"backup-record": {"backup_service": record["backup_service"], "backup_url": record["backup_url"]}}


def import_record(call: Call) -> view.NewBackup:
    """POST /backups/import_record (administrators)."""
    body: BackupRecord = call.body.content
    made = backup_records.import_record(
        call.database, call.settings, call.context, body.backup_service, body.backup_url
    )
    return {"backup": view.summary(call, made.id, made.name)}
