"""Fail a backend over to its replication target, and back.

Where the backend works is decided in one transaction (the step `switched`): from then on its driver is opened there.
Before that the replicas are brought in step: what the storage still answers for when failing over, all of it when
failing back. After that each replica becomes its volume. Nobody else is at the storage meanwhile.
"""

import contextlib
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from breezeblock.db import attachments, moves, operations, services, snapshots, volumes
from breezeblock.db.services import VOLUME_BINARY
from breezeblock.drivers.contract import FailsOver
from breezeblock.errors import (
    BackendInUse,
    BackendNotFound,
    BackendTransient,
    BreezeblockError,
    DriverError,
    InvalidReplicationTarget,
    NotSupportedByBackend,
)
from breezeblock.flows.engine import Flow, flow, message_for_user
from breezeblock.model import clock
from breezeblock.model.volume import ModelUpdate, Volume

KIND = "failover_host"
DEFAULT = "default"
"""The backend_id of the storage itself, where one fails back to: Cinder's word."""

REPLICATED = frozenset(("enabled", "failed-over", "failover-error", "error"))
"""The replication_status of volumes that have, or should have, a replica."""

SWITCHED = "switched"
WAIT_SECONDS = 0.1


class Settled(msgspec.Struct):
    """What has become of the volumes, by id."""

    promoted: dict[str, ModelUpdate] = {}
    lost: list[str] = []


def order_of(connection: Connection, backend: str) -> str | None:
    """The id of the flow that is to fail `host@backend` over, or back; None where none was asked for."""
    pending = operations.pending_on(connection, backend)
    return next((one.id for one in pending if one.flow == KIND), None)


def abandon(flow: Flow, error: BaseException) -> None:
    """Until it was decided the backend stays where it was; after that it is where it was to go, and may be sent again."""
    flow.backend.gate.open()
    with flow.ending("failed", message_for_user(error)) as connection:
        active = services.active_backend_id(connection, flow.backend.name)
        changes: dict[str, Any] = {"replication_status": "failed-over" if active else "enabled"}
        refused = isinstance(error, InvalidReplicationTarget | BackendInUse | NotSupportedByBackend)
        if flow.passed(SWITCHED) or not (refused or active):
            changes = {
                "replication_status": "failover-error",
                "disabled": True,
                "disabled_reason": message_for_user(error),
            }
        services.update(connection, flow.backend.name, VOLUME_BINARY, **changes)


@flow(KIND, abandon=abandon, beside=True)
def failover_host(flow: Flow) -> None:
    """Bring the replicas in step, go where they are, and have them be the volumes."""
    close_gate(flow)
    driver, active = failing_over(flow), active_place(flow)
    driver.use_backend(active)
    if not flow.passed(SWITCHED):
        target = choose(flow, driver, active)
        if target != active and target is None:
            copy_back(flow, driver)
        elif target != active:
            save(flow, driver)
        go(flow, driver, active, target)
        with flow.saving(step=SWITCHED) as connection:
            services.update(connection, flow.backend.name, VOLUME_BINARY, active_backend_id=target)
            flow.hold(connection, SWITCHED)
    target = active_place(flow)
    settled = promote(flow, driver, target)
    objects = set(driver.list_objects())
    with flow.ending() as connection:
        tell_volumes(connection, flow, target, settled)
        tell_snapshots(connection, flow, target, objects)
        tell_service(connection, flow, target)
    flow.backend.gate.open()


def failing_over(flow: Flow) -> FailsOver:
    """The driver. Raises `NotSupportedByBackend` where it cannot fail over."""
    driver = flow.driver
    if not isinstance(driver, FailsOver):
        raise NotSupportedByBackend(f"The driver of backend {flow.backend.name} cannot fail over.")
    return driver


def active_place(flow: Flow) -> str | None:
    """The replication target that the backend works at; None for its own storage."""
    with flow.backend.database.read() as connection:
        return services.active_backend_id(connection, flow.backend.name)


def close_gate(flow: Flow) -> None:
    """Be alone at the storage."""
    gate = flow.backend.gate
    gate.close(flow.id)
    while not gate.is_empty_but_for(flow.id):
        flow.look()
        flow.pause(WAIT_SECONDS)


def choose(flow: Flow, driver: FailsOver, active: str | None) -> str | None:
    """Where to go: the target that is asked for, or any that the backend is not at; None for its own storage.

    Raises `InvalidReplicationTarget`.
    """
    wanted, targets = flow.arguments["backend_id"], driver.replication_targets()
    if wanted == DEFAULT:
        return None
    candidates = [one for one in targets if one == wanted or (wanted is None and one != active)]
    if not candidates:
        known = ", ".join([*targets, DEFAULT]) if targets else "none"
        raise InvalidReplicationTarget(
            f"Invalid Replication Target: {wanted or 'there is none left'}; backend {flow.backend.name} has {known}."
        )
    return candidates[0]


def mine(flow: Flow) -> list[Volume]:
    """All volumes of the backend."""
    with flow.backend.database.read() as connection:
        return volumes.on_backend(connection, flow.backend.name)


def save(flow: Flow, driver: FailsOver) -> None:
    """Bring the replicas in step, as far as the storage still answers: it may be gone."""
    wanted = [
        one for one in mine(flow) if one.replication_status in REPLICATED and one.status in {"available", "in-use"}
    ]
    with flow.explained("update_replica", volumes=len(wanted)) as result:
        result |= {"in_step": 0, "failed": {}}
        try:
            driver.check_for_setup_error()
            for volume in wanted:
                result["in_step"] += bring_in_step(flow, driver, volume, result["failed"])
        except BreezeblockError as error:
            result |= {"outcome": "declined", "reason": f"the storage does not answer: {error.message}"}


def bring_in_step(flow: Flow, driver: FailsOver, volume: Volume, failed: dict[str, str]) -> bool:
    """Whether a replica is in step now, for what is true of one volume alone. Raises `BackendTransient`."""
    try:
        update = driver.update_replica(volume)
    except BackendTransient:
        raise
    except DriverError as error:
        failed[volume.id] = error.message
        return False
    with flow.saving() as connection:
        volumes.update(connection, volume.id, replicated_at=update.get("replicated_at"))
    return True


def copy_back(flow: Flow, driver: FailsOver) -> None:
    """Bring the storage in step with where the backend works: most of it while that is used, the rest alone."""
    flow.backend.gate.open()
    copy_all(flow, driver)
    close_gate(flow)
    known = copy_all(flow, driver)
    with flow.explained("delete_replica") as result:
        left = {name.removesuffix(".tmp") for name in driver.list_replicas()} - known
        result["volumes"] = sorted(left)
        for name in sorted(left):
            driver.delete_replica(named(flow, name))


def copy_all(flow: Flow, driver: FailsOver) -> set[str]:
    """Bring all volumes that are here in step over there; the names of all that there are rows of. Raises
    `BackendInUse` where one is connected: what its client wrote from now on would be lost."""
    rows = mine(flow)
    objects = set(driver.list_objects())
    here = [one for one in rows if one.storage_name in objects]
    with flow.explained("update_replica", volumes=len(here)):
        require_detached(flow, here)
        for volume in here:
            driver.update_replica(volume)
    return {one.storage_name for one in rows}


def require_detached(flow: Flow, here: list[Volume]) -> None:
    """Raises `BackendInUse` where a host is connected to one of these volumes."""
    with flow.backend.database.read() as connection:
        connected = attachments.connected_on(connection, flow.backend.name)
    used = sorted(one.id for one in here if one.id in connected)
    if used:
        raise BackendInUse(
            f"Detach the volumes {', '.join(used[:10])}{' and more' if len(used) > 10 else ''} first: what their clients "
            "write while the backend goes back to its own storage would be lost."
        )


def go(flow: Flow, driver: FailsOver, active: str | None, target: str | None) -> None:
    """Have the driver ask the other place, if that can be used; else it stays where it was."""
    with flow.explained("use_backend", backend_id=target or DEFAULT):
        try:
            driver.use_backend(target)
            driver.check_for_setup_error()
        except BreezeblockError:
            driver.use_backend(active)
            with contextlib.suppress(BreezeblockError):  # it may be what is failed over from
                driver.check_for_setup_error()
            raise


def promote(flow: Flow, driver: FailsOver, target: str | None) -> Settled:
    """Make the replicas the volumes. Raises `BackendTransient` where the place does not answer any more."""
    settled = Settled()
    wanted = [one for one in mine(flow) if target is None or one.replication_status in REPLICATED]
    with flow.explained("promote_replica", volumes=len(wanted)) as result:
        result["failed"] = failed = {}
        for volume in wanted:
            flow.look()
            try:
                settled.promoted[volume.id] = driver.promote_replica(volume)
            except BackendTransient:
                raise
            except BackendNotFound:
                settled.lost.append(volume.id)
            except DriverError as error:
                settled.lost.append(volume.id)
                failed[volume.id] = error.message
        result["lost"] = settled.lost
    return settled


def tell_volumes(connection: Connection, flow: Flow, target: str | None, settled: Settled) -> None:
    """The rows say which volumes go on, and which were left behind (Cinder: `failover` of its volume manager)."""
    for volume in volumes.on_backend(connection, flow.backend.name):
        replicated = volume.replication_status in REPLICATED
        if volume.id in settled.promoted:
            changes = volumes.model_update_values(settled.promoted[volume.id])
            if replicated:
                changes["replication_status"] = "failed-over" if target else "enabled"
            elif volume.replication_status == "not-capable":
                changes["replication_status"] = None
            if volume.replication_status in {"not-capable", "failover-error"}:
                status = volume.previous_status if volume.previous_status in {"in-use", "reserved"} else "available"
                moves.try_move(connection, "volume", volume.id, "found_again", status)
            volumes.update(connection, volume.id, **changes)
        elif moves.try_move(connection, "volume", volume.id, "left_behind"):
            status = "failover-error" if replicated else "not-capable"
            volumes.update(connection, volume.id, replication_status=status)


def tell_snapshots(connection: Connection, flow: Flow, target: str | None, objects: set[str]) -> None:
    """A snapshot goes on where it came along with its volume; one that was left behind is found again."""
    for volume in volumes.on_backend(connection, flow.backend.name):
        for snapshot in snapshots.of_volume(connection, volume.id):
            if snapshot.storage_name not in objects:
                moves.try_move(connection, "snapshot", snapshot.id, "left_behind")
            elif target is None and snapshot.progress == "100%":
                moves.try_move(connection, "snapshot", snapshot.id, "found_again")


def tell_service(connection: Connection, flow: Flow, target: str | None) -> None:
    """What Cinder's service says after a failover, and after a failback."""
    changes = {"replication_status": "failed-over", "disabled": True, "disabled_reason": "failed-over"}
    if target is None:
        frozen = services.get(connection, flow.backend.name, VOLUME_BINARY).frozen
        changes = {
            "replication_status": "enabled",
            "disabled": frozen,
            "disabled_reason": "frozen" if frozen else None,
        }
    services.update(connection, flow.backend.name, VOLUME_BINARY, **changes)


def named(flow: Flow, name: str) -> Volume:
    """A record to name a volume by that has no row."""
    return Volume(
        id=name.removeprefix("volume-"),
        project_id="",
        user_id="",
        size=0,
        status="deleting",
        host=flow.backend.name,
        created_at=clock.now(),
    )
