"""Events: written in the transaction of the change they tell of, numbered, delivered afterwards."""

from typing import Any

from sqlalchemy.engine import Connection

from breezeblock.db import tables
from breezeblock.model import clock
from breezeblock.model.snapshot import Snapshot
from breezeblock.model.volume import Volume


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
    """Put an event, named as Cinder names its notifications (`volume.create.start`), into the outbox."""
    connection.execute(
        tables.events.insert(),
        {
            "type": event_type,
            "resource_type": resource_type,
            "resource_id": resource_id,
            "project_id": project_id,
            "operation_id": operation_id,
            "payload": payload,
            "created_at": clock.now(),
        },
    )


def volume_event(connection: Connection, event: str, volume: Volume, operation_id: str | None, **more: Any) -> None:
    """An event `volume.<event>` with Cinder's payload keys."""
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
        "metadata": volume.metadata,
        **more,
    }
    write(
        connection,
        f"volume.{event}",
        resource_type="volume",
        resource_id=volume.id,
        project_id=volume.project_id,
        operation_id=operation_id,
        payload=payload,
    )


def snapshot_event(
    connection: Connection, event: str, snapshot: Snapshot, operation_id: str | None, **more: Any
) -> None:
    """An event `snapshot.<event>` with Cinder's payload keys."""
    payload = {
        "tenant_id": snapshot.project_id,
        "user_id": snapshot.user_id,
        "volume_id": snapshot.volume_id,
        "snapshot_id": snapshot.id,
        "display_name": snapshot.name,
        "volume_size": snapshot.volume_size,
        "status": snapshot.status,
        "created_at": snapshot.created_at,
        "metadata": snapshot.metadata,
        **more,
    }
    write(
        connection,
        f"snapshot.{event}",
        resource_type="snapshot",
        resource_id=snapshot.id,
        project_id=snapshot.project_id,
        operation_id=operation_id,
        payload=payload,
    )
