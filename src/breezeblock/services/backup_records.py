"""Use cases: a backup's record, to be kept elsewhere, and a backup made of one after the database was lost.

Mirrors `export_record` and `import_record` of `cinder.backup.api.API`. A record holds Cinder's fields of a backup, and
ours that a restore needs.
"""

import base64
import binascii
import re
import uuid
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from breezeblock.backups.legacy import PREFIX
from breezeblock.backups.repository import Place, place_of
from breezeblock.config import Settings
from breezeblock.context import RequestContext
from breezeblock.db import backups, operations, pools
from breezeblock.db.connect import Database
from breezeblock.errors import InvalidInput, InvalidState, NoBackendYet
from breezeblock.keys.store import name_for
from breezeblock.model import clock
from breezeblock.model.backup import SERVICE, Backup
from breezeblock.scheduling import quota
from breezeblock.scheduling.admission import take_turn

_UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}")


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A record as it is read. Its `id` may be another than that of the exported backup, which makes it a copy."""

    id: str
    size: int
    volume_id: str
    service_metadata: str
    display_name: str | None = None
    display_description: str | None = None
    container: str | None = None
    object_count: int = 0
    parent_id: str | None = None
    snapshot_id: str | None = None
    data_timestamp: str | None = None
    created_at: str | None = None
    host: str | None = None
    encryption_key_id: str | None = None
    volume_type_id: str | None = None
    volume_bootable: bool = False
    image_metadata: dict[str, str] = {}
    volume_metadata: dict[str, str] = {}


def export_record(database: Database, context: RequestContext, backup_id: str) -> dict[str, str]:
    """`backup_service` and `backup_url` of a finished backup. Raises `NotFound`, `InvalidState`."""
    with database.read() as connection:
        backup = backups.get(connection, backup_id, context.own_project)
        dependents = backups.count_dependents(connection, backup_id)
    if backup.status != "available":
        raise InvalidState(f"Invalid backup: Backup status must be available and not {backup.status}.")
    fields: dict[str, Any] = msgspec.structs.asdict(backup) | {
        "display_name": backup.name,
        "display_description": backup.description,
        "service": SERVICE,
        "service_metadata": backup.service_metadata or PREFIX + backup.id,
        "num_dependent_backups": dependents,
        "temp_volume_id": None,
        "temp_snapshot_id": None,
        "deleted": False,
        "deleted_at": None,
        "driver_info": {},
    }
    del fields["base_kept"]  # of this cloud's storage alone
    url = base64.b64encode(msgspec.json.encode(fields)).decode()
    return {"backup_service": SERVICE, "backup_url": url}


def import_record(
    database: Database, settings: Settings, context: RequestContext, backup_service: str, backup_url: str
) -> Backup:
    """Have a backup made of a record, in the caller's project; it is `available` when all its objects were found.

    Raises `InvalidInput` for a record that cannot be read or is of another service, `InvalidState` where the backup is
    there already, `OverQuota`, `NoBackendYet`.
    """
    if backup_service != SERVICE:
        raise InvalidInput(f"Invalid backup: Backups of {backup_service} cannot be read here, only those of {SERVICE}.")
    record = _decoded(backup_url)
    with database.begin() as connection:
        take_turn(connection)
        if backups.find(connection, record.id) is not None:
            raise InvalidState("Invalid backup: Backup already exists in database.")
        quota.check(connection, settings, context.project_id, backups=1, backup_gigabytes=record.size)
        backup = _drafted(connection, context, record)
        backups.insert(connection, backup)
        operations.request_flow(
            connection,
            context,
            "import_backup",
            operation_id=str(uuid.uuid4()),
            resource=backup,
            arguments={
                "backup_id": backup.id,
                "origin": record.service_metadata,
                "key_id": record.encryption_key_id,
            },
        )
    return backup


def _decoded(url: str) -> Record:
    try:
        fields = msgspec.json.decode(base64.b64decode(url, validate=True))
    except (binascii.Error, ValueError, msgspec.DecodeError):
        raise InvalidInput("Invalid input received: Can't parse backup record.") from None
    if not isinstance(fields, dict) or "id" not in fields:
        raise InvalidInput("Invalid input received: Provided backup record is missing an id")
    if "size" not in fields:
        raise InvalidInput("Invalid input received: Provided backup record is missing size attribute")
    try:
        record = msgspec.convert(fields, Record)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"Invalid input received: Can't parse backup record: {error}.") from None
    ids = (record.id, record.volume_id)
    named = place_of(record.service_metadata) or re.fullmatch(PREFIX + _UUID, record.service_metadata)
    if named is None or not all(re.fullmatch(_UUID, one) for one in ids) or not 1 <= record.size < 1 << 31:
        raise InvalidInput("Invalid input received: Can't parse backup record: it names no backup of this service.")
    return record


def _drafted(connection: Connection, context: RequestContext, record: Record) -> Backup:
    """The row: in the place that the record tells of, or in one of its own beside it where the id is another."""
    place, now = place_of(record.service_metadata), clock.now()
    lies: str | None = str(Place(place.volume_id if place else record.volume_id, record.id))
    if record.service_metadata == PREFIX + record.id:
        lies = None  # a release before 2 made it
    host, zone = _host(connection, record.host)
    return Backup(
        id=record.id,
        project_id=context.project_id,
        user_id=context.user_id,
        volume_id=record.volume_id,
        snapshot_id=record.snapshot_id,
        parent_id=record.parent_id,
        name=record.display_name,
        description=record.display_description,
        status="creating",
        size=record.size,
        container=record.container,
        object_count=record.object_count,
        service_metadata=lies,
        availability_zone=zone,
        host=host,
        volume_type_id=record.volume_type_id,
        volume_bootable=record.volume_bootable,
        image_metadata=record.image_metadata,
        volume_metadata=record.volume_metadata,
        data_timestamp=_time(record.data_timestamp, now),
        encryption_key_id=name_for(record.id) if record.encryption_key_id else None,
        created_at=_time(record.created_at, now),
    )


def _time(told: str | None, now: str) -> str:
    """A time of the record, or now where it does not look like one."""
    return told if told is not None and _TIME.fullmatch(told) else now


def _host(connection: Connection, wanted: str | None) -> tuple[str, str]:
    """The backend whose worker looks after the backup, and its zone: the record's if it is there, else any."""
    found = pools.all_pools(connection)
    if not found:
        raise NoBackendYet
    pool = next((one for one in found if one.backend == wanted), found[0])
    return pool.backend, pool.availability_zone
