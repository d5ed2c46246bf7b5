"""Keep replicas in step with their volumes."""

import uuid

import sqlalchemy as sa

from breezeblock.context import admin_context
from breezeblock.db import operations, services, volumes
from breezeblock.drivers.contract import Replicates
from breezeblock.errors import NotSupportedByBackend
from breezeblock.flows.backend import Backend
from breezeblock.flows.engine import Flow, flow, message_for_user
from breezeblock.model import clock
from breezeblock.model.volume import Volume


def abandon(flow: Flow, error: BaseException) -> None:
    """The replica is as it was when last in step; the next refresh tries again."""
    with flow.ending("failed", message_for_user(error)) as connection:
        volumes.update(connection, flow.arguments["volume_id"], replication_status="error")


@flow("refresh_replica", abandon=abandon)
def refresh_replica(flow: Flow) -> None:
    """Bring a volume's replica in step; the row says when."""
    with flow.backend.database.read() as connection:
        volume = volumes.find(connection, flow.arguments["volume_id"])
        away = services.active_backend_id(connection, flow.backend.name)
    if volume is None or volume.status not in {"available", "in-use"} or away:
        return
    with flow.explained("update_replica", volume=volume.id) as result:
        if not isinstance(flow.driver, Replicates):
            raise NotSupportedByBackend(f"Backend {flow.backend.name} keeps no replicas.")
        result["model_update"] = update = flow.driver.update_replica(volume)
    with flow.ending() as connection:
        volumes.update(connection, volume.id, **volumes.model_update_values(update))


def request_due(backend: Backend) -> None:
    """Request a refresh of each replica that was not in step for `replica_refresh_interval` seconds.

    None while the backend is failed over: its own storage is not touched until it is failed back.
    """
    if not isinstance(backend.driver, Replicates):
        return
    with backend.database.read() as connection:
        if services.active_backend_id(connection, backend.name):
            return
        due = [one for one in volumes.on_backend(connection, backend.name) if is_due(backend, one)]
    for volume in due:
        with backend.database.begin() as connection:
            if being_refreshed(connection, volume.id):
                continue
            operations.request_flow(
                connection,
                admin_context(),
                "refresh_replica",
                operation_id=str(uuid.uuid4()),
                resource=volume,
                arguments={"volume_id": volume.id},
            )


def is_due(backend: Backend, volume: Volume) -> bool:
    """Whether a volume has a replica that should be brought in step now."""
    if volume.replication_status in {None, "disabled"} or volume.status not in {"available", "in-use"}:
        return False
    interval = backend.settings.replica_refresh_interval
    return volume.replicated_at is None or clock.seconds_since(volume.replicated_at) >= interval


def being_refreshed(connection: sa.Connection, volume_id: str) -> bool:
    """Whether a refresh of this volume is asked for or runs."""
    return operations.is_under_way(connection, volume_id, "refresh_replica")


def remove(flow: Flow, volume: Volume) -> None:
    """Remove a volume's replica, if it has one. What is left at the storage of a backend that is failed over goes when
    that is failed back."""
    if volume.replication_status is None or not isinstance(flow.driver, Replicates):
        return
    with flow.explained("delete_replica") as result:
        with flow.backend.database.read() as connection:
            away = services.active_backend_id(connection, flow.backend.name)
        if away:
            result |= {"outcome": "declined", "reason": f"the backend is failed over to {away}"}
        else:
            flow.driver.delete_replica(volume)
