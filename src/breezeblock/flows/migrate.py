"""Migrate a volume to another backend or pool, because an administrator says so."""

from typing import Any

import msgspec

from breezeblock.db import backups, moves, outbox, pools, volume_types, volumes
from breezeblock.drivers.contract import MigratesVolumes
from breezeblock.errors import InvalidState, NotSupportedByBackend, NoValidBackend
from breezeblock.flows import backup_bases, migration
from breezeblock.flows.engine import Flow, flow
from breezeblock.flows.resize import wait_for_copies
from breezeblock.model.pool import Pool
from breezeblock.model.volume import Volume
from breezeblock.scheduling.placement import Wanted, why_not


def abandon(flow: Flow, error: BaseException) -> None:
    """The volume is where it was; its migration_status is `error`."""
    migration.abandon(flow, error, "migrate_done")


@flow("migrate_volume", abandon=abandon)
def migrate_volume(flow: Flow) -> None:
    """By the driver where it can and is let; else by a copy, which the worker of the target makes."""
    with flow.backend.database.read() as connection:
        volume = volumes.get(connection, flow.arguments["volume_id"])
    match migration.stage_of(flow):
        case migration.ARRIVING:
            migration.arrive(flow, volume, "migrate_done")
        case migration.RETURNING:
            migration.come_back(flow, volume, "migrate_done")
        case _:
            if flow.arguments["status_before"] != "available":
                raise InvalidState("An attached volume is migrated by its server, and there is no Nova here to do it.")
            pool = choose(flow, volume)
            wait_for_copies(flow, volume.id)
            migration.wait_for_clearing(flow, volume, pool)
            if flow.arguments["force_host_copy"] or not by_driver(flow, volume, pool):
                migration.leave(flow, volume, pool)


def choose(flow: Flow, volume: Volume) -> Pool:
    """The pool asked for, or the one of its backend that has most room. Raises `NoValidBackend`."""
    wanted_host = flow.arguments["host"]
    with flow.backend.database.read() as connection:
        volume_type = volume_types.find(connection, volume.volume_type_id or "")
        wanted = Wanted(
            size=volume.size,
            extra_specs=volume_type.extra_specs if volume_type else {},
            encrypted=volume.encryption_key_id is not None,
            not_in=frozenset({str(volume.host)}),
        )
        found = [one for one in pools.all_pools(connection) if wanted_host in (one.name, one.backend)]
        promised = volumes.provisioned_by_pool(connection)
    reasons = {one.name: why_not(one, wanted, promised.get(one.name, 0)) for one in found}
    fitting = [one for one in found if reasons[one.name] is None]
    with flow.explained("placement", host=wanted_host) as result:
        result |= {name: reason or "fits" for name, reason in reasons.items()}
        if not fitting:
            raise NoValidBackend(f"Cannot place volume {volume.id} on {wanted_host}: {_told(reasons)}.")
    return max(fitting, key=lambda one: one.free_capacity_gb)


def _told(reasons: dict[str, str | None]) -> str:
    return "; ".join(f"{name}: {reason}" for name, reason in reasons.items()) or "there is no such pool"


def by_driver(flow: Flow, volume: Volume, pool: Pool) -> bool:
    """Whether the driver moved it; then the row tells so."""
    with flow.explained("migrate_volume", host=pool.name) as result:
        try:
            if not isinstance(flow.driver, MigratesVolumes):
                raise NotSupportedByBackend("the driver does not move volumes by itself")
            result["model_update"] = update = flow.driver.migrate_volume(volume, pool.name)
        except NotSupportedByBackend as error:
            result |= {"outcome": "declined", "reason": error.message}
            return False
    changes: dict[str, Any] = {
        "host": pool.name,
        "availability_zone": pool.availability_zone,
        "migration_status": "success",
    }
    with flow.ending() as connection:
        backup_bases.leave(connection, str(volume.backend), backups.with_base(connection, volume.id))
        changes |= volumes.model_update_values(update)
        moves.move(connection, "volume", volume.id, "migrate_done", flow.arguments["status_before"], **changes)
        there = msgspec.structs.replace(volume, host=pool.name)
        outbox.volume_event(connection, "migrate.end", there, flow.id)
    return True
