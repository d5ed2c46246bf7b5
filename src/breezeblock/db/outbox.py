"""Events: written in the transaction of the change they tell of, numbered, delivered afterwards."""

from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breezeblock.db import attachments, horizon, records, tables, wake
from breezeblock.model import clock
from breezeblock.model.backup import Backup
from breezeblock.model.group import Group
from breezeblock.model.group_snapshot import GroupSnapshot
from breezeblock.model.snapshot import Snapshot
from breezeblock.model.volume import Volume

_table = tables.events

SLOT = "events#0"
"""Whose owner delivers the events."""

_COLUMNS = [column.name for column in _table.columns if column.name != "number"]
_INSERT_IN_ORDER = sa.text(
    f"INSERT INTO events ({', '.join(_COLUMNS)}) SELECT {', '.join(f':{name}' for name in _COLUMNS)} "  # noqa: S608
    f"FROM pg_advisory_xact_lock_shared({horizon.LOCK[0]}, {horizon.LOCK[1]}), pg_notify(:channel, '')"
).bindparams(sa.bindparam("payload", type_=tables.Json()))
"""PostgreSQL: the lock that `horizon` speaks of, the wake and the row in one statement; FROM comes before the number."""


_INSERT = _table.insert()


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One row of `events`. `payload` has Cinder's keys."""

    number: int
    type: str
    resource_type: str
    resource_id: str
    project_id: str
    operation_id: str | None
    payload: dict[str, Any]
    created_at: str


def write(
    connection: Connection,
    event_type: str,
    *,
    resource_type: str,
    resource_id: str,
    project_id: str,
    operation_id: str | None,
    payload: dict[str, Any],
) -> None:
    """Put an event, named as Cinder names its notifications (`volume.create.start`), into the outbox; wake the publisher."""
    values = {
        "type": event_type,
        "resource_type": resource_type,
        "resource_id": resource_id,
        "project_id": project_id,
        "operation_id": operation_id,
        "payload": payload,
        "created_at": clock.now(),
    }
    if connection.dialect.name == "postgresql":
        connection.execute(_INSERT_IN_ORDER, {**values, "channel": wake.channel(SLOT)})
    else:
        connection.execute(_INSERT, values)
        wake.wake(connection, SLOT)


def after(
    connection: Connection, number: int, upto: int, *, project_id: str | None = None, limit: int = 100
) -> list[Event]:
    """Events above `number` and not above `upto` (a horizon), of one project or of all, in order."""
    query = sa.select(_table).where(_table.c.number > number, _table.c.number <= upto)
    if project_id is not None:
        query = query.where(_table.c.project_id == project_id)
    return records.fetch_all(connection, query.order_by(_table.c.number).limit(limit), Event)


def was_told(connection: Connection, operation_id: str, event_type: str) -> bool:
    """Whether an operation has already written such an event; for a flow that is taken up again."""
    query = sa.select(_table.c.number).where(_table.c.operation_id == operation_id, _table.c.type == event_type)
    return connection.execute(query.limit(1)).first() is not None


def end_open(connection: Connection, operation_id: str, ending: str, **more: Any) -> None:
    """Write the `end` or `error` of each `*.start` of an operation that has none yet, with the payload of its start."""
    query = sa.select(_table).where(_table.c.operation_id == operation_id).order_by(_table.c.number)
    open_ones: dict[tuple[str, str], list[Event]] = {}
    for event in records.fetch_all(connection, query, Event):
        verb, _, phase = event.type.rpartition(".")
        waiting = open_ones.setdefault((verb, event.resource_id), [])
        if phase == "start":
            waiting.append(event)
        elif phase in {"end", "error"} and waiting:
            waiting.pop()
    for (verb, resource_id), starts in open_ones.items():
        for start in starts:
            write(
                connection,
                f"{verb}.{ending}",
                resource_type=start.resource_type,
                resource_id=resource_id,
                project_id=start.project_id,
                operation_id=operation_id,
                payload=start.payload | more,
            )


def _tell(
    connection: Connection,
    noun: str,
    event: str,
    resource: Volume | Snapshot | Backup | Group | GroupSnapshot,
    operation_id: str | None,
    payload: dict[str, Any],
) -> None:
    write(
        connection,
        f"{noun}.{event}",
        resource_type=noun,
        resource_id=resource.id,
        project_id=resource.project_id,
        operation_id=operation_id,
        payload=payload,
    )


def volume_event(connection: Connection, event: str, volume: Volume, operation_id: str | None, **more: Any) -> None:
    """An event `volume.<event>` with Cinder's payload keys (`volume_utils._usage_from_volume`)."""
    payload = {
        "tenant_id": volume.project_id,
        "user_id": volume.user_id,
        "host": volume.host,
        "availability_zone": volume.availability_zone,
        "volume_id": volume.id,
        "volume_type": volume.volume_type_id,
        "display_name": volume.name,
        "size": volume.size,
        "status": volume.status,
        "created_at": volume.created_at,
        "launched_at": volume.launched_at,
        "snapshot_id": volume.snapshot_id,
        "replication_status": volume.replication_status,
        "replication_extended_status": None,
        "replication_driver_data": volume.replication_driver_data,
        "metadata": volume.metadata,
        "volume_attachment": _attachments_of(connection, volume),
        **more,
    }
    if volume.image_metadata:
        payload["glance_metadata"] = [{"key": key, "value": value} for key, value in volume.image_metadata.items()]
    _tell(connection, "volume", event, volume, operation_id, payload)


def _attachments_of(connection: Connection, volume: Volume) -> list[dict[str, Any]]:
    """What may be told of a volume's attachments: `connector` and `connection_info`, which Cinder sends too, open it."""
    if volume.attach_status == "detached":
        return []
    hidden = {"project_id", "connector", "connection_info"}
    shown = [msgspec.to_builtins(one) for one in attachments.of_volume(connection, volume.id)]
    return [{key: value for key, value in one.items() if key not in hidden} for one in shown]


def snapshot_event(
    connection: Connection, event: str, snapshot: Snapshot, operation_id: str | None, **more: Any
) -> None:
    """An event `snapshot.<event>` with Cinder's payload keys (`volume_utils._usage_from_snapshot`), and `host`."""
    volumes = tables.volumes
    zone = sa.select(volumes.c.availability_zone).where(volumes.c.id == snapshot.volume_id)
    payload = {
        "tenant_id": snapshot.project_id,
        "user_id": snapshot.user_id,
        "availability_zone": connection.execute(zone).scalar(),
        "host": snapshot.host,
        "volume_id": snapshot.volume_id,
        "snapshot_id": snapshot.id,
        "display_name": snapshot.name,
        "volume_size": snapshot.volume_size,
        "status": snapshot.status,
        "created_at": snapshot.created_at,
        "deleted": "True" if event == "delete.end" else "",
        "metadata": snapshot.metadata,
        **more,
    }
    _tell(connection, "snapshot", event, snapshot, operation_id, payload)


def backup_event(connection: Connection, event: str, backup: Backup, operation_id: str | None, **more: Any) -> None:
    """An event `backup.<event>` with Cinder's payload keys (`volume_utils._usage_from_backup`)."""
    table = tables.backups
    dependents = connection.scalar(sa.select(sa.func.count()).where(table.c.parent_id == backup.id))
    payload = {
        "tenant_id": backup.project_id,
        "user_id": backup.user_id,
        "availability_zone": backup.availability_zone,
        "backup_id": backup.id,
        "host": backup.host,
        "display_name": backup.name,
        "created_at": backup.created_at,
        "status": backup.status,
        "volume_id": backup.volume_id,
        "size": backup.size,
        "service_metadata": backup.service_metadata,
        "service": backup.service,
        "fail_reason": backup.fail_reason,
        "parent_id": backup.parent_id,
        "num_dependent_backups": dependents,
        "snapshot_id": backup.snapshot_id,
        **more,
    }
    _tell(connection, "backup", event, backup, operation_id, payload)


def group_event(connection: Connection, event: str, group: Group, operation_id: str | None, **more: Any) -> None:
    """An event `group.<event>` with Cinder's payload keys (`volume_utils._usage_from_group`), and `host`."""
    payload = {
        "tenant_id": group.project_id,
        "user_id": group.user_id,
        "availability_zone": group.availability_zone,
        "host": group.host,
        "group_id": group.id,
        "group_type": group.group_type_id,
        "name": group.name,
        "created_at": group.created_at,
        "status": group.status,
        **more,
    }
    _tell(connection, "group", event, group, operation_id, payload)


def group_snapshot_event(
    connection: Connection, event: str, group_snapshot: GroupSnapshot, operation_id: str | None, **more: Any
) -> None:
    """An event `group_snapshot.<event>` with Cinder's payload keys (`_usage_from_group_snapshot`), and `host`."""
    payload = {
        "tenant_id": group_snapshot.project_id,
        "user_id": group_snapshot.user_id,
        "host": group_snapshot.host,
        "group_snapshot_id": group_snapshot.id,
        "name": group_snapshot.name,
        "group_id": group_snapshot.group_id,
        "group_type": group_snapshot.group_type_id,
        "created_at": group_snapshot.created_at,
        "status": group_snapshot.status,
        **more,
    }
    _tell(connection, "group_snapshot", event, group_snapshot, operation_id, payload)


def image_cache_event(
    connection: Connection, event: str, image_id: str, *, host: str | None, project_id: str, operation_id: str
) -> None:
    """An event `image_volume_cache.<event>` with Cinder's payload keys (`image_cache._notify_cache_action`)."""
    write(
        connection,
        f"image_volume_cache.{event}",
        resource_type="image",
        resource_id=image_id,
        project_id=project_id,
        operation_id=operation_id,
        payload={"image_id": image_id, "host": host},
    )
