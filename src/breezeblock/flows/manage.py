"""Take what lies on a storage and belongs to nobody as a volume or snapshot, let go of one, and list what there is."""

import logging
from typing import Any

import msgspec

from breezeblock.db import moves, outbox, snapshots, volume_types, volumes
from breezeblock.drivers.contract import Manages
from breezeblock.errors import DriverError, NotSupportedByBackend, NoValidBackend
from breezeblock.flows import backup_bases
from breezeblock.flows.engine import Flow, flow, message_for_user, state_after
from breezeblock.flows.migration import pool_of
from breezeblock.flows.resize import wait_for_copies
from breezeblock.model import clock
from breezeblock.model.snapshot import Snapshot
from breezeblock.model.volume import Volume
from breezeblock.scheduling import quota
from breezeblock.scheduling.admission import take_turn
from breezeblock.scheduling.placement import Wanted, why_not

log = logging.getLogger(__name__)


def managing(flow: Flow) -> Manages:
    """The driver. Raises `NotSupportedByBackend` for one that manages nothing."""
    if not isinstance(flow.driver, Manages):
        raise NotSupportedByBackend(f"Backend {flow.backend.name} cannot take or leave what nobody manages.")
    return flow.driver


def abandon_manage(flow: Flow, error: BaseException) -> None:
    """What was taken is let go of; the row says that it is in error, and counts no gigabytes."""
    thing = _thing(flow)
    if thing is None:
        return
    message = message_for_user(error)
    try:
        _let_go(flow, thing)
    except (DriverError, NotSupportedByBackend) as left:
        log.warning("%s: what was taken for it could not be let go of: %s", thing.storage_name, left)
    with flow.ending(state_after(error), message) as connection:
        if isinstance(thing, Volume):
            moves.try_move(connection, "volume", thing.id, "manage_failed", size=0)
        else:
            moves.try_move(connection, "snapshot", thing.id, "create_failed")


@flow("manage_volume", abandon=abandon_manage)
def manage_volume(flow: Flow) -> None:
    """Look how large it is, see that there is quota for that, and have the driver take it."""
    reference = flow.arguments["reference"]
    with flow.backend.database.read() as connection:
        volume = volumes.get(connection, flow.arguments["volume_id"])
    with flow.explained("manage_existing_get_size", reference=reference) as result:
        result["size"] = size = flow.step("size", managing(flow).manage_existing_get_size, volume, reference)
    volume = admit(flow, volume, size)
    with flow.explained("manage_existing", reference=reference, size=size) as result:
        result["model_update"] = update = managing(flow).manage_existing(volume, reference) or {}
    with flow.ending() as connection:
        changes = {"launched_at": clock.now(), **volumes.model_update_values(update)}
        moves.move(connection, "volume", volume.id, "manage_done", **changes)
        outbox.volume_event(connection, "manage_existing.end", volume, flow.id)


def admit(flow: Flow, volume: Volume, size: int) -> Volume:
    """The volume with its size, which its pool's qualities and the quota allow. Raises `NoValidBackend`, `OverQuota`."""
    with flow.saving(step="admit") as connection:
        take_turn(connection)
        pool = pool_of(connection, str(volume.host))
        volume_type = volume_types.find(connection, volume.volume_type_id or "")
        wanted = Wanted(size=0, extra_specs=volume_type.extra_specs if volume_type else {})
        reason = why_not(pool, wanted, 0) if pool is not None else "it is not reported"
        if reason is not None:
            raise NoValidBackend(f"The volume cannot be of its type on {volume.host}: {reason}.")
        more = {"gigabytes": size - volume.size}
        quota.check(
            connection,
            flow.backend.settings,
            volume.project_id,
            volume_size=size,
            type_id=volume.volume_type_id,
            **more,
        )
        volumes.update(connection, volume.id, size=size)
    return msgspec.structs.replace(volume, size=size)


@flow("manage_snapshot", abandon=abandon_manage)
def manage_snapshot(flow: Flow) -> None:
    """Have the driver take it, at the size of its volume."""
    reference = flow.arguments["reference"]
    with flow.backend.database.read() as connection:
        snapshot = snapshots.get(connection, flow.arguments["snapshot_id"])
    with flow.explained("manage_existing_snapshot", reference=reference) as result:
        size = flow.step("size", managing(flow).manage_existing_get_size, snapshot, reference)
        if size > snapshot.volume_size:
            raise NotSupportedByBackend(f"It has {size} GiB, more than its volume's {snapshot.volume_size}.")
        result["model_update"] = update = managing(flow).manage_existing_snapshot(snapshot, reference) or {}
    changes = {key: value for key, value in update.items() if key in {"provider_id", "provider_location"}}
    with flow.ending() as connection:
        moves.move(connection, "snapshot", snapshot.id, "create_done", progress="100%", **changes)
        outbox.snapshot_event(connection, "manage_existing.end", snapshot, flow.id, status="available")


def abandon_unmanage(flow: Flow, error: BaseException) -> None:
    """It is still ours, and in error."""
    thing = _thing(flow)
    with flow.ending(state_after(error), message_for_user(error)) as connection:
        if thing is not None:
            noun = type(thing).__name__.lower()
            moves.try_move(connection, noun, thing.id, "unmanage_failed")


@flow("unmanage_volume", abandon=abandon_unmanage)
def unmanage_volume(flow: Flow) -> None:
    """Have the driver leave the content to whoever takes it, then forget the volume."""
    volume = _thing(flow)
    if not isinstance(volume, Volume):
        return
    wait_for_copies(flow, volume.id)
    bases = backup_bases.remove(flow, volume)
    with flow.explained("unmanage", volume=volume.id):
        _let_go(flow, volume)
    with flow.ending() as connection:
        backup_bases.forget(connection, bases)
        volumes.remove(connection, volume.id)
        outbox.volume_event(connection, "unmanage.end", volume, flow.id)


@flow("unmanage_snapshot", abandon=abandon_unmanage)
def unmanage_snapshot(flow: Flow) -> None:
    """As a volume."""
    snapshot = _thing(flow)
    if not isinstance(snapshot, Snapshot):
        return
    with flow.explained("unmanage_snapshot", snapshot=snapshot.id):
        _let_go(flow, snapshot)
    with flow.ending() as connection:
        snapshots.remove(connection, snapshot.id)
        outbox.snapshot_event(connection, "unmanage.end", snapshot, flow.id)


def abandon_list(flow: Flow, error: BaseException) -> None:
    """Who asked is told why."""
    with flow.ending(state_after(error), message_for_user(error)):
        pass


@flow("list_manageable", abandon=abandon_list)
def list_manageable(flow: Flow) -> None:
    """Tell what may be managed, in the operation's answer."""
    driver = managing(flow)
    of_snapshots = flow.arguments["kind"] == "snapshot"
    with flow.explained("list_manageable", kind=flow.arguments["kind"]) as result:
        found = driver.get_manageable_snapshots() if of_snapshots else driver.get_manageable_volumes()
        result["found"] = msgspec.to_builtins(list(found))
    with flow.ending():
        pass


def _thing(flow: Flow) -> Volume | Snapshot | None:
    arguments: dict[str, Any] = flow.arguments
    with flow.backend.database.read() as connection:
        if "volume_id" in arguments:
            return volumes.find(connection, arguments["volume_id"])
        return snapshots.find(connection, arguments["snapshot_id"])


def _let_go(flow: Flow, thing: Volume | Snapshot) -> None:
    if isinstance(thing, Volume):
        managing(flow).unmanage(thing)
    else:
        managing(flow).unmanage_snapshot(thing)
