"""A volume made anew where it lies, of a moment of itself, because its content is encrypted otherwise from now on.

The moment is a snapshot that the storage alone knows. The volume is removed once that is there, made empty and filled
from it; a failure makes the volume of the moment again, as it was. The moment goes when the row has changed.
"""

from breezeblock.db import pools, type_encryptions, volumes
from breezeblock.flows import backup_bases, encrypting, reencryption
from breezeblock.flows.engine import Flow
from breezeblock.model import clock
from breezeblock.model.snapshot import Snapshot
from breezeblock.model.volume import Volume
from breezeblock.model.volume_type import VolumeType
from breezeblock.scheduling.placement import Wanted, why_not

_BEGUN, _EMPTIED, _RESTORED = "moment", "delete_volume", "restored"

MOMENT = "moment_before_retype"
"""The key of a volume's administrators' metadata that names the snapshot it was before, for as long as that is kept: also
behind a retype that could neither end nor be undone."""


def has_begun(flow: Flow) -> bool:
    """Whether the volume is perhaps not what it was any more."""
    return flow.passed(_BEGUN)


def moment_of(flow: Flow, volume: Volume) -> Snapshot:
    """The volume as it was."""
    return _moment(volume, reencryption.moment_id_of(flow.id))


def _moment(volume: Volume, moment_id: str) -> Snapshot:
    return Snapshot(
        id=moment_id,
        project_id=volume.project_id,
        user_id=volume.user_id,
        volume_id=volume.id,
        status="creating",
        volume_size=volume.size,
        host=volume.host,
        created_at=clock.now(),
    )


def is_enough(flow: Flow, volume: Volume, old: VolumeType | None, new: VolumeType) -> bool:
    """Whether the volume's pool can have it with the new type, once it is encrypted as that says."""
    with flow.backend.database.read() as connection:
        was, now = (type_encryptions.find(connection, one.id) if one else None for one in (old, new))
        pool = next((one for one in pools.all_pools(connection) if one.name == volume.host), None)
        promised = volumes.provisioned_by_pool(connection).get(str(volume.host), 0)
    if pool is None or not reencryption.differs(was, now):
        return False
    size = volume.size + reencryption.growth(was, now)
    wanted = Wanted(size=size, extra_specs=new.extra_specs, encrypted=now is not None)
    return why_not(pool, wanted, promised) is None


def remake(flow: Flow, volume: Volume, changes: dict[str, object]) -> Volume:
    """Make the volume anew with these `changes` of its row; the volume as it is then. May be run again."""
    flow.take_copy_turn(volume.project_id)
    moment = moment_of(flow, volume)
    if not flow.passed(_BEGUN):
        kept = backup_bases.remove(flow, volume)  # the next backup has nothing in common with the last one
        with flow.saving() as connection:
            backup_bases.forget(connection, kept)
            known = volume.admin_metadata | {MOMENT: moment.storage_name}
            volumes.update(connection, volume.id, admin_metadata=known)
        with flow.explained("create_snapshot", snapshot=moment.id):
            flow.driver.create_snapshot(moment, volume)
        flow.checkpoint(_BEGUN)
    there = reencryption.as_it_will_be(flow, volume, changes)
    if not flow.passed(_EMPTIED):
        flow.driver.terminate_connection(volume, None)  # nobody is connected; an export may be left all the same
        flow.driver.delete_volume(volume)
        flow.checkpoint(_EMPTIED)
    with flow.explained("copy", source=moment.id, size=there.size) as result:
        result["model_update"] = update = flow.driver.create_volume(there) or {}
        with flow.driver.open_volume(moment) as source:
            fill = reencryption.filling(flow, source, volume, there)
            flow.driver.copy_image_to_volume(there, f"retype:{flow.id}", fill)
    changes |= volumes.model_update_values(update)
    return there


def restore(flow: Flow) -> None:
    """Let the volume be what it was, and nothing be left of what it was to become. May be run again."""
    if not has_begun(flow):
        return
    with flow.backend.database.read() as connection:
        volume = volumes.get(connection, flow.arguments["volume_id"])
    moment = moment_of(flow, volume)
    if not flow.passed(_RESTORED):
        flow.driver.delete_volume(volume)
        update = flow.driver.create_volume_from_snapshot(volume, moment) or {}
        with flow.saving() as connection:
            volumes.update(connection, volume.id, **volumes.model_update_values(update))
        flow.checkpoint(_RESTORED)  # from here on the moment may be gone
    flow.driver.delete_snapshot(moment)
    with flow.saving() as connection:
        volumes.forget_admin_metadata(connection, volume.id, MOMENT)
    encrypting.forget_key(flow, reencryption.key_name_of(flow))


def delete_moment(flow: Flow, volume: Volume) -> None:
    """Remove what is kept of a volume that is deleted after a retype which could not be undone; nothing kept is done."""
    name = volume.admin_metadata.get(MOMENT)
    if name is not None:
        with flow.explained("delete_snapshot", snapshot=name):
            flow.driver.delete_snapshot(_moment(volume, name.removeprefix("snapshot-")))
