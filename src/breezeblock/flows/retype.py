"""Give a volume another type: where it lies if that fits there, else on another backend.

A volume that is encrypted otherwise by its new type, or not any more, is made anew of a moment of itself on the way.
"""

from sqlalchemy.engine import Connection

from breezeblock.db import attachments, moves, outbox, pools, snapshots, type_encryptions, volume_types, volumes
from breezeblock.encryption import cipher
from breezeblock.errors import InvalidState
from breezeblock.flows import migration, reencryption, remaking, replicas
from breezeblock.flows.engine import Flow, flow
from breezeblock.flows.migration import pool_of
from breezeblock.flows.resize import wait_for_copies
from breezeblock.model.volume import Volume
from breezeblock.model.volume_type import VolumeType
from breezeblock.scheduling.admission import take_turn
from breezeblock.scheduling.placement import Wanted, place, why_not


def abandon(flow: Flow, error: BaseException) -> None:
    """The volume has its old type, place, content and status."""
    remaking.restore(flow)
    migration.abandon(flow, error, "retype_done")


@flow("retype_volume", abandon=abandon)
def retype_volume(flow: Flow) -> None:
    """In place where the volume's pool has the type's qualities; else by a migration, if that is allowed."""
    with flow.backend.database.read() as connection:
        volume = volumes.get(connection, flow.arguments["volume_id"])
        new = volume_types.get(connection, flow.arguments["new_type_id"])
        old = volume_types.find(connection, volume.volume_type_id or "")
    match migration.stage_of(flow):
        case migration.ARRIVING:
            migration.arrive(flow, volume, "retype_done")
        case migration.RETURNING:
            migration.come_back(flow, volume, "retype_done")
        case _:
            reason = why_elsewhere(flow, volume, old, new)
            if reason is None:
                in_place(flow, volume, old, new)
            elif remaking.has_begun(flow) or remaking.is_enough(flow, volume, old, new):
                anew(flow, volume, old, new, reason)
            else:
                elsewhere(flow, volume, old, new, reason)


def why_elsewhere(flow: Flow, volume: Volume, old: VolumeType | None, new: VolumeType) -> str | None:
    """Why the volume cannot have the new type where it lies, or None."""
    with flow.backend.database.read() as connection:
        encryptions = [type_encryptions.find(connection, one.id) if one else None for one in (old, new)]
        pool = pool_of(connection, str(volume.host))
    was, now = encryptions
    if reencryption.differs(was, now):
        return "the types do not encrypt in the same way"
    if old is not None and old.extra_specs == new.extra_specs:
        return None
    if (old.extra_specs if old else {}).get("provisioning:type") != new.extra_specs.get("provisioning:type"):
        return "the types do not provision in the same way"
    if pool is None:
        return f"{volume.host} is not reported"
    return why_not(pool, Wanted(size=0, extra_specs=new.extra_specs, encrypted=now is not None), 0)


def in_place(flow: Flow, volume: Volume, old: VolumeType | None, new: VolumeType) -> None:
    """Only the rows change."""
    with flow.explained("retype", volume_type=new.id):
        if not new.wants("replication_enabled"):
            replicas.remove(flow, volume)
    changes = changes_of(flow, volume, old, new)
    with flow.ending() as connection:
        moves.move(connection, "volume", volume.id, "retype_done", flow.arguments["status_before"], **changes)
        for snapshot in snapshots.of_volume(connection, volume.id):
            snapshots.update(connection, snapshot.id, volume_type_id=new.id)
        outbox.volume_event(connection, "retype.end", volume, flow.id, volume_type=new.id)


def require_allowed(flow: Flow, volume: Volume, new: VolumeType, reason: str) -> None:
    """Raises `InvalidState` unless the content may be copied, as the retype's `migration_policy` says."""
    with flow.explained("retype", volume_type=new.id) as result:
        result |= {"outcome": "declined", "reason": reason}
    if flow.arguments["migration_policy"] != "on-demand":
        raise InvalidState(f"Retype requires migration but is not allowed: {reason}.")
    wait_for_copies(flow, volume.id)


def anew(flow: Flow, volume: Volume, old: VolumeType | None, new: VolumeType, reason: str) -> None:
    """On the pool where it lies."""
    changes = changes_of(flow, volume, old, new)
    if not remaking.has_begun(flow):
        require_allowed(flow, volume, new, reason)
        with flow.backend.database.read() as connection:
            check_may_leave(connection, flow, volume)
    there = remaking.remake(flow, volume, changes)
    with flow.ending() as connection:
        migration.require_room(connection, flow, volume, there)
        changes["encryption_key_id"] = there.encryption_key_id
        moves.move(connection, "volume", volume.id, "retype_done", flow.arguments["status_before"], **changes)
        outbox.volume_event(connection, "retype.end", volume, flow.id, volume_type=new.id)
        migration.request_clearing(connection, volume, there, remaking.moment_of(flow, volume).storage_name)


def elsewhere(flow: Flow, volume: Volume, old: VolumeType | None, new: VolumeType, reason: str) -> None:
    """Choose a pool that has the new type's qualities, and migrate there."""
    changes = changes_of(flow, volume, old, new)
    require_allowed(flow, volume, new, reason)
    with flow.backend.database.begin() as connection:
        check_may_leave(connection, flow, volume)
        take_turn(connection)
        wanted = Wanted(
            size=int(str(changes.get("size", volume.size))),
            extra_specs=new.extra_specs,
            zones=(volume.availability_zone,) if volume.availability_zone else (),
            encrypted=changes.get("encryption_key_id", volume.encryption_key_id) is not None,
            not_in=frozenset(one.name for one in pools.all_pools(connection) if one.backend == volume.backend),
        )
        placement = place(connection, wanted)
        volumes.update(connection, volume.id, migration_status="starting")
    for answer in placement.answers:
        flow.answer(answer)
    migration.wait_for_clearing(flow, volume, placement.pool)
    migration.leave(flow, volume, placement.pool, **changes)


def check_may_leave(connection: Connection, flow: Flow, volume: Volume) -> None:
    """Raises `InvalidState` for a volume that has to stay what and where it is, as Cinder has it."""
    if flow.arguments["status_before"] != "available":
        raise InvalidState("An attached volume is migrated by its server, and there is no Nova here to do it.")
    if snapshots.of_volume(connection, volume.id):
        raise InvalidState("Volume must not have snapshots.")
    if volume.replication_status not in (None, "disabled", "not-capable"):
        raise InvalidState("Volume must not be replicated.")
    kept = volume.admin_metadata.get(remaking.MOMENT)
    if kept not in (None, remaking.moment_of(flow, volume).storage_name):
        raise InvalidState(f"What the volume was before a retype that could not be undone is kept as {kept}.")
    if attachments.connected(connection, volume.id):
        raise InvalidState("A host is connected to the volume; terminate the connection first.")


def changes_of(flow: Flow, volume: Volume, old: VolumeType | None, new: VolumeType) -> dict[str, object]:
    """The columns that go with the type. Whether it is replicated changes only where the types differ in that, and size
    and key only where they encrypt in different ways; a new key is told by its name.

    Raises `InvalidInput` where nothing can be encrypted as the new type says.
    """
    ways = {"provisioning": "provisioning:type", "hydration": "image_hydration"}
    dropped = {*ways, remaking.MOMENT}
    kept = {name: value for name, value in volume.admin_metadata.items() if name not in dropped}
    kept |= {name: new.extra_specs[spec] for name, spec in ways.items() if spec in new.extra_specs}
    changes: dict[str, object] = {
        "volume_type_id": new.id,
        "multiattach": new.wants("multiattach"),
        "admin_metadata": kept,
    }
    if (old is not None and old.wants("replication_enabled")) != new.wants("replication_enabled"):
        changes["replication_status"] = "enabled" if new.wants("replication_enabled") else None
        changes["replicated_at"] = None
    with flow.backend.database.read() as connection:
        was, now = (type_encryptions.find(connection, one.id) if one else None for one in (old, new))
    if reencryption.differs(was, now):
        if now is not None:
            cipher.check(now)
        changes["encryption_key_id"] = reencryption.key_name_of(flow) if now is not None else None
        changes["size"] = volume.size + reencryption.growth(was, now)
    return changes
