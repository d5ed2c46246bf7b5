"""What `breezeblock doctor --fix` has done on a storage: by the owner of its slot, so that nothing meets half-way."""

import sqlalchemy as sa

from breezeblock.context import RequestContext
from breezeblock.db import attachments, operations, snapshots, volumes
from breezeblock.db.connect import Database
from breezeblock.drivers.contract import Driver, Replicates
from breezeblock.flows import encrypting
from breezeblock.flows.engine import Flow, flow, message_for_user
from breezeblock.model import clock
from breezeblock.model.operation import Operation
from breezeblock.model.snapshot import Snapshot
from breezeblock.model.volume import Volume


def abandon(flow: Flow, error: BaseException) -> None:
    """Nothing to undo: what is wrong is found again by the next examination."""
    with flow.ending("failed", message_for_user(error)):
        pass


@flow("purge_orphan", abandon=abandon)
def purge_orphan(flow: Flow) -> None:
    """Remove from the storage what no row wants there."""
    name, replica = flow.arguments["name"], flow.arguments["replica"]
    with flow.explained("purge", name=name) as result:
        if not purge(flow.driver, flow.backend.database, flow.backend.name, name, replica):
            result |= {"outcome": "declined", "reason": "a row wants it now"}
            return
    encrypting.forget_key(flow, flow.arguments.get("key_id"))


@flow("reconcile_export", abandon=abandon)
def reconcile_export(flow: Flow) -> None:
    """Have a volume exported exactly if an attachment of it is connected."""
    with flow.explained("export", volume=flow.arguments["volume_id"]) as result:
        result["exported"] = settle_export(flow.driver, flow.backend.database, flow.arguments["volume_id"])


def request_purge(
    connection: sa.Connection,
    context: RequestContext,
    operation_id: str,
    backend: str,
    name: str,
    replica: bool,
    key_id: str | None = None,
) -> Operation:
    """Have the slot's owner remove `name`, an object or the replica of one, unless a row wants it by then; and then the
    key that it was encrypted under, if that is named."""
    return operations.request_flow(
        connection,
        context,
        "purge_orphan",
        operation_id=operation_id,
        resource=_unknown(backend, name),
        arguments={"name": name, "replica": replica, "key_id": key_id},
    )


def purge(driver: Driver, database: Database, backend: str, name: str, replica: bool) -> bool:
    """Remove an object (or replica) and its half-made remains; False where a row wants it here. For the slot's owner.

    A row is always written before its object is made, so what has no row now will not get one.
    """
    thing = _unknown(backend, name)
    with database.read() as connection:
        row = (volumes if isinstance(thing, Volume) else snapshots).find(connection, thing.id)
    if replica:
        if isinstance(row, Volume) and row.replication_status is not None:
            return False
        if isinstance(driver, Replicates) and isinstance(thing, Volume):
            driver.delete_replica(thing)
        return True
    if row is not None and not failed_create(row) and (row.host or "").partition("#")[0] == backend:
        return False
    if isinstance(thing, Volume):
        driver.terminate_connection(thing, None)
        driver.delete_volume(thing)
    else:
        driver.delete_snapshot(thing)
    return True


def settle_export(driver: Driver, database: Database, volume_id: str) -> bool:
    """Export a volume or withdraw its export, as its attachments say; whether it is exported. For the slot's owner."""
    with database.read() as connection:
        volume = volumes.find(connection, volume_id)
        connected = attachments.connected(connection, volume_id)
    if volume is None:
        return False
    if not connected:
        driver.terminate_connection(volume, None)
        return False
    driver.ensure_export(volume)
    return True


def failed_create(row: Volume | Snapshot) -> bool:
    """Whether this row is in `error` since its create, and so must have nothing on the storage."""
    finished = row.launched_at is not None if isinstance(row, Volume) else row.progress == "100%"
    return row.status == "error" and not finished


def _unknown(backend: str, name: str) -> Volume | Snapshot:
    """A record to name an object by that perhaps has no row."""
    noun, _, resource_id = name.partition("-")
    if noun == "snapshot":
        return Snapshot(
            id=resource_id,
            project_id="",
            user_id="",
            volume_id="",
            status="deleting",
            volume_size=0,
            host=backend,
            created_at=clock.now(),
        )
    return Volume(
        id=resource_id, project_id="", user_id="", size=0, status="deleting", host=backend, created_at=clock.now()
    )
