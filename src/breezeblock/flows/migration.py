"""How a volume goes from one backend to another: shared by the flows that migrate and that retype.

The flow runs by turns in the workers of both. The source's exports the volume and hands the flow over; the target's
copies it, and in one transaction the row has its new place and the removal of the old one is requested. Until that the
volume is where it was, and a failure removes the copy. The volume keeps its id, so each backend has it by the same name.
"""

import uuid
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from breezeblock import killpoints
from breezeblock.context import admin_context
from breezeblock.db import backups, moves, outbox, pools, volumes
from breezeblock.errors import NotSupportedByBackend
from breezeblock.flows import backup_bases, encrypting, members, reconcile, reencryption
from breezeblock.flows.connected import open_connected
from breezeblock.flows.engine import Flow, message_for_user, state_after
from breezeblock.model.pool import Pool
from breezeblock.model.volume import Volume
from breezeblock.scheduling import quota
from breezeblock.scheduling.admission import take_turn

LEAVING, ARRIVING, RETURNING = "leaving", "arriving", "returning"
"""The flow's argument `stage`: in the source's worker, in the target's, and in the source's again after a failure."""

_FORGOTTEN = ("provider_id", "provider_location", "provider_auth", "provider_geometry")


def stage_of(flow: Flow) -> str:
    """Where the flow is."""
    return str(flow.arguments.get("stage", LEAVING))


def connector_of(flow: Flow) -> dict[str, Any]:
    """What the target's worker is to the source: a host that reads."""
    return {"host": f"migration-{flow.id}", "ip": "127.0.0.1", "mode": "ro", "driver_volume_type": "nbd"}


def wait_for_clearing(flow: Flow, volume: Volume, pool: Pool) -> None:
    """A volume that was on this backend before may come back when its former content has been removed: it has one name."""
    members.wait_for(flow, "purge_orphan", [volume.id], pool.backend)


def leave(flow: Flow, volume: Volume, pool: Pool, **changes: Any) -> None:
    """Export the volume and have the worker of `pool` go on; `changes` are columns that the row gets with its new place."""
    if pool.backend == volume.backend:
        raise NotSupportedByBackend(
            f"{pool.name} lies on the backend that the volume is on, whose driver does not move it there by itself."
        )
    with flow.explained("initialize_connection", host=pool.name) as result:
        info = flow.driver.initialize_connection(volume, connector_of(flow))
        result["driver_volume_type"] = info["driver_volume_type"]
    arguments = {**flow.arguments, "stage": ARRIVING, "pool": pool.name, "changes": changes, "connection": info}
    with flow.backend.database.begin() as connection:
        volumes.update(connection, volume.id, migration_status="migrating")
        flow.hand_over(connection, msgspec.structs.replace(volume, host=pool.name), arguments)


def arrive(flow: Flow, volume: Volume, done: str) -> None:
    """Copy what the volume holds to this backend, then switch; `done` is the move that ends the volume's status."""
    with killpoints.within("arriving"):
        flow.take_copy_turn(volume.project_id)
        there = msgspec.structs.replace(volume, host=flow.arguments["pool"])
        there = reencryption.as_it_will_be(flow, there, flow.arguments["changes"])
        with flow.explained("copy", source=volume.host, target=there.host) as result:
            result["model_update"] = update = flow.driver.create_volume(there) or {}
            with open_connected(flow.arguments["connection"], volume.size_bytes) as source:
                fill = reencryption.filling(flow, source, volume, there)
                flow.driver.copy_image_to_volume(there, f"migration:{flow.id}", fill)
        switch(flow, volume, there, done, {**dict.fromkeys(_FORGOTTEN), **volumes.model_update_values(update)})


def switch(flow: Flow, volume: Volume, there: Volume, done: str, changes: dict[str, Any]) -> None:
    """The row has its new place, and the old one is to be cleared: one transaction."""
    with flow.ending() as connection:
        place = pool_of(connection, str(there.host))
        changes |= {**flow.arguments["changes"], "host": there.host, "migration_status": "success"}
        changes["encryption_key_id"] = there.encryption_key_id
        require_room(connection, flow, volume, there)
        if place is not None:
            changes["availability_zone"] = place.availability_zone
        moves.move(connection, "volume", volume.id, done, flow.arguments["status_before"], **changes)
        outbox.end_open(connection, flow.id, "end", host=there.host)
        backup_bases.leave(connection, str(volume.backend), backups.with_base(connection, volume.id))
        request_clearing(connection, volume, there, volume.storage_name)


def request_clearing(connection: Connection, volume: Volume, there: Volume, name: str) -> None:
    """Have what the volume was removed from its backend, and its key with it where it has another one now."""
    old_key = volume.encryption_key_id if there.encryption_key_id != volume.encryption_key_id else None
    reconcile.request_purge(connection, admin_context(), str(uuid.uuid4()), str(volume.backend), name, False, old_key)


def require_room(connection: Connection, flow: Flow, volume: Volume, there: Volume) -> None:
    """Raises `OverQuota` where the volume has grown and its project may not have so much more."""
    if there.size > volume.size:
        take_turn(connection)
        grown = there.size - volume.size
        quota.check(connection, flow.backend.settings, volume.project_id, volume_size=there.size, gigabytes=grown)


def abandon(flow: Flow, error: BaseException, failed: str) -> None:
    """Remove the copy, withdraw the export, and let the volume be what it was; `failed` is the move that does."""
    with flow.backend.database.read() as connection:
        volume = volumes.find(connection, flow.arguments["volume_id"])
    if volume is None:
        return
    message, state = message_for_user(error), state_after(error)
    if stage_of(flow) == ARRIVING:
        flow.driver.delete_volume(msgspec.structs.replace(volume, host=flow.arguments["pool"]))
        if "encryption_key_id" in flow.arguments["changes"]:
            encrypting.forget_key(flow, reencryption.key_name_of(flow))
        arguments = {**flow.arguments, "stage": RETURNING, "message": message, "state": state}
        with flow.backend.database.begin() as connection:
            flow.hand_over(connection, volume, arguments)
        return
    stay(flow, volume, failed, flow.arguments.get("message", message), flow.arguments.get("state", state))


def come_back(flow: Flow, volume: Volume, failed: str) -> None:
    """In the source's worker again, after the target's has failed."""
    with killpoints.within("returning"):
        stay(flow, volume, failed, flow.arguments["message"], flow.arguments["state"])


def stay(flow: Flow, volume: Volume, failed: str, message: str, state: str) -> None:
    """Withdraw the export that the copy was read by, unless others need it, and end the flow."""
    if flow.arguments["status_before"] == "available":
        flow.driver.terminate_connection(volume, connector_of(flow))
    with flow.ending(state, message) as connection:
        moves.try_move(connection, "volume", volume.id, failed, flow.arguments["status_before"])
        if volume.migration_status in ("starting", "migrating"):
            volumes.update(connection, volume.id, migration_status="error")


def pool_of(connection: Connection, name: str) -> Pool | None:
    """The pool of that name, as it was reported last."""
    return next((one for one in pools.all_pools(connection) if one.name == name), None)
