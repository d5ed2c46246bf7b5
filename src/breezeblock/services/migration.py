"""Use cases: a volume gets another type, or another place."""

import uuid
from typing import Any

from sqlalchemy.engine import Connection

from breezeblock.config import Settings
from breezeblock.context import RequestContext
from breezeblock.db import (
    attachments,
    moves,
    operations,
    outbox,
    pools,
    qos_specs,
    snapshots,
    type_encryptions,
    volume_types,
    volumes,
)
from breezeblock.db.connect import Database
from breezeblock.errors import InvalidInput, InvalidState
from breezeblock.flows import reencryption
from breezeblock.model.volume import Volume
from breezeblock.model.volume_type import VolumeType
from breezeblock.scheduling import quota
from breezeblock.scheduling.admission import take_turn
from breezeblock.services.hydration import require_hydrated
from breezeblock.services.volume_types import check_size

SETTLED = (None, "deleting", "error", "success")
"""Values of migration_status between two migrations."""

UNREPLICATED = (None, "disabled", "not-capable")


def retype_volume(
    database: Database,
    settings: Settings,
    context: RequestContext,
    volume_id: str,
    new_type: str,
    migration_policy: str | None,
) -> None:
    """Have a volume get another type (name or id); `migration_policy` on-demand lets it go elsewhere for that.

    Mirrors os-retype of Cinder: what is found out later, such as that no backend fits, leaves the volume as it was, and
    its operation says why. Raises `NotFound`, `InvalidInput`, `InvalidState`, `OverQuota`.
    """
    with database.begin() as connection:
        take_turn(connection)
        volume = volumes.get(connection, volume_id, context.own_project)
        wanted = volume_types.get(connection, new_type, context.own_project)
        multiattach = wanted.wants("multiattach")
        if multiattach != volume.multiattach and volume.status != "available":
            raise InvalidInput(
                "Invalid input received: Invalid volume_type passed, retypes affecting multiattach are only allowed on "
                f"available volumes, the specified volume however currently has a status of: {volume.status}."
            )
        if multiattach and type_encryptions.find(connection, wanted.id) is not None:
            raise InvalidInput(
                "Invalid input received: Retype requested both encryption and multi-attach, which is not supported."
            )
        grown = _growth(connection, volume, wanted)
        more = {"volumes": 1, "gigabytes": volume.size + grown}
        quota.check_type(connection, settings, volume.project_id, wanted.id, **more)
        if grown:
            check_size(wanted, volume.size + grown)
            size = volume.size + grown
            quota.check(connection, settings, volume.project_id, volume_size=size, gigabytes=grown)
        require_hydrated(connection, volume_id)
        same = volume.volume_type_id == wanted.id or volume.migration_status not in SETTLED
        if (
            same
            or volume.group_id is not None
            or not _qos_may_change(connection, volume, wanted.id)
            or not moves.try_move(connection, "volume", volume_id, "retype")
        ):
            raise InvalidState(
                "Invalid volume: Retype needs volume to be in available or in-use state, not be part of an active "
                "migration or a consistency group, requested type has to be different that the one from the volume, and "
                "for in-use volumes front-end qos specs cannot change."
            )
        settled = {"new_type_id": wanted.id, "migration_policy": migration_policy}
        _request(connection, context, "retype", volume, settled, volume_type=wanted.id)


def _growth(connection: Connection, volume: Volume, new: VolumeType) -> int:
    """GiB that the retype makes it larger by, where it becomes a LUKS container."""
    ids = (volume.volume_type_id, new.id)
    was, now = (type_encryptions.find(connection, one) if one is not None else None for one in ids)
    return reencryption.growth(was, now)


def _qos_may_change(connection: Connection, volume: Volume, new_type_id: str) -> bool:
    """A server applies what it was told when it attached the volume: Cinder's `volume_qos_allows_retype`."""
    was, now = (qos_specs.of_type(connection, one) for one in (volume.volume_type_id, new_type_id))
    same = (was.id if was else None) == (now.id if now else None)
    return volume.status != "in-use" or same or all(one is None or one.consumer == "back-end" for one in (was, now))


def migrate_volume(
    database: Database,
    context: RequestContext,
    volume_id: str,
    host: str,
    *,
    force_host_copy: bool = False,
) -> None:
    """Have a volume moved to `host` (`host@backend#pool`, or any pool of `host@backend`). An available one is in
    `maintenance` meanwhile, whether that was asked for or not: what is written while it is copied would be lost.

    Mirrors os-migrate_volume of Cinder. Raises `NotFound`, `InvalidInput` (no such service), `InvalidState`.
    """
    with database.begin() as connection:
        volume = volumes.get(connection, volume_id, context.own_project)
        if not any(one.up and host in (one.name, one.backend) for one in pools.all_pools(connection)):
            raise InvalidInput(f"Invalid host: No available service named '{host}'")
        require_hydrated(connection, volume_id)
        allowed = (
            volume.status in ("available", "in-use")
            and volume.migration_status in SETTLED
            and volume.replication_status in UNREPLICATED
            and volume.host != host
            and volume.group_id is None
            and not snapshots.of_volume(connection, volume_id)
        )
        if allowed and volume.status == "available":
            allowed = moves.try_move(connection, "volume", volume_id, "migrate")
        if not allowed:
            raise InvalidState(
                f"Invalid volume: Volume {volume_id} status must be available or in-use, must not be migrating, have "
                "snapshots, be replicated, be part of a group and destination host/cluster must be different than the "
                "current one"
            )
        volumes.update(connection, volume_id, migration_status="starting")
        _request(connection, context, "migrate", volume, {"host": host, "force_host_copy": force_host_copy})


def complete_migration(
    database: Database, context: RequestContext, volume_id: str, new_volume_id: str, error: bool
) -> str:
    """What a server tells that has moved its data from one volume to another; the id of the volume that stays.

    Mirrors os-migrate_volume_completion of Cinder. Here no migration ever has a second volume, so a volume is never the
    target of one. Raises `NotFound`, `InvalidState`.
    """
    with database.read() as connection:
        volume = volumes.get(connection, volume_id, context.own_project)
        new = volumes.get(connection, new_volume_id, context.own_project)
        attached = bool(attachments.of_volume(connection, volume_id))
    if volume.migration_status is None and new.migration_status is None:
        if attached and not error:
            raise InvalidState(
                f"Invalid volume: Volume {volume_id} is attached; its attachments are moved by their API."
            )
        return new.id
    if volume.migration_status is None:
        raise InvalidState("Invalid volume: Source volume not mid-migration.")
    if new.migration_status is None:
        raise InvalidState("Invalid volume: Destination volume not mid-migration.")
    raise InvalidState(
        f"Invalid volume: Destination has migration_status {new.migration_status}, expected target:{volume_id}."
    )


def _request(
    connection: Connection, context: RequestContext, verb: str, volume: Volume, settled: dict[str, Any], **told: Any
) -> None:
    operation_id = str(uuid.uuid4())
    outbox.volume_event(connection, f"{verb}.start", volume, operation_id, **told)
    operations.request_flow(
        connection,
        context,
        f"{verb}_volume",
        operation_id=operation_id,
        resource=volume,
        arguments={
            "volume_id": volume.id,
            "status_before": volume.status,
            "moment_id": reencryption.moment_id_of(operation_id),  # which tells the doctor what it is
            **settled,
        },
    )
