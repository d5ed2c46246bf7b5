"""When a storage fails at a create: try the next pool, never the same one twice."""

import logging

import msgspec

from breezeblock.db import volumes
from breezeblock.errors import BreezeblockError, DriverError, NoValidBackend
from breezeblock.flows import encrypting
from breezeblock.flows.engine import Flow
from breezeblock.flows.image_ladder import sharing
from breezeblock.model import clock
from breezeblock.model.operation import Answer
from breezeblock.model.volume import Volume
from breezeblock.scheduling.admission import take_turn
from breezeblock.scheduling.placement import Wanted, place

log = logging.getLogger(__name__)


def elsewhere(flow: Flow, volume: Volume, error: DriverError) -> bool:
    """Hand a create over to another pool that fits; False when there is none, or `scheduler_max_attempts` are used up.

    Mirrors Cinder's OnFailureReschedule, but never chooses a pool that failed, and removes first what was begun there.
    """
    tried = [*flow.arguments.get("tried", []), volume.host]
    if "wanted" not in flow.arguments or len(tried) >= flow.backend.settings.scheduler_max_attempts:
        return False
    wanted = msgspec.convert(flow.arguments["wanted"], Wanted)
    sharing.remove_half_made(flow)
    try:
        flow.driver.delete_volume(volume)
        encrypting.forget_key(flow, volume.encryption_key_id)
    except BreezeblockError:
        log.exception(
            "volume %s: its remains on %s could not be removed, so it is not tried elsewhere", volume.id, volume.host
        )
        return False
    with flow.backend.database.begin() as connection:
        take_turn(connection)
        try:
            placement = place(connection, msgspec.structs.replace(wanted, not_in=frozenset(tried)))
        except NoValidBackend:
            return False
        flow.answer(
            Answer(
                step="reschedule",
                outcome="made",
                reason=f"{volume.host} failed: {error.message}",
                started_at=clock.now(),
            )
        )
        for answer in placement.answers:
            flow.answer(answer)
        pool = placement.pool
        volumes.update(connection, volume.id, host=pool.name, availability_zone=pool.availability_zone)
        moved = msgspec.structs.replace(volume, host=pool.name)
        sharing.end(connection, flow)
        flow.hand_over(connection, moved, {**flow.arguments, "tried": tried})
    return True
