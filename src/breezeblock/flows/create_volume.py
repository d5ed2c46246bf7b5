"""Create a volume. Read me first: this is what the service exists for.

`services.volumes.create_volume` admitted the volume: its row is there in `creating`, with a host. Here it is made of
its source and becomes `available`; or everything is undone and it becomes `error`, with a message for its user.
"""

import logging
import uuid
from collections.abc import Callable
from typing import Any

import msgspec

from breezeblock import killpoints
from breezeblock.db import moves, operations, outbox, volumes
from breezeblock.errors import DriverError, KeyManagerError
from breezeblock.flows import adoption, encrypting, image_cache, reschedule, restore_backup
from breezeblock.flows.engine import Flow, flow, message_for_user, state_after
from breezeblock.flows.image_ladder import sharing
from breezeblock.flows.made import Made
from breezeblock.flows.sources import backup, image, raw, replica, snapshot, volume
from breezeblock.model import clock
from breezeblock.model.sources import FromBackup, FromImage, Raw, Snap, SourceReplica, SourceVol, VolumeSpec, tag_of
from breezeblock.model.volume import Volume

log = logging.getLogger(__name__)

SOURCES: dict[type, Callable[[Flow, Volume, Any], Made]] = {
    Raw: raw.create,
    Snap: snapshot.create,
    SourceVol: volume.create,
    SourceReplica: replica.create,
    FromImage: image.create,
    FromBackup: backup.create,
}


def abandon(flow: Flow, error: BaseException) -> None:
    """Undo a create: nothing stays on the storage, the quota is free again, the volume is in `error` and says why."""
    with flow.backend.database.read() as connection:
        volume = volumes.find(connection, flow.arguments["volume_id"])
    if volume is None:
        return
    message = message_for_user(error)
    sharing.remove_half_made(flow)
    try:
        flow.driver.delete_volume(volume)
        encrypting.forget_key(flow, volume.encryption_key_id)
    except (DriverError, KeyManagerError) as left:
        log.exception("volume %s: the remains of a failed create could not be removed", volume.id)
        message += f" What was made of it could not be removed: {left.message}"
    with flow.ending(state_after(error), message) as connection:
        moves.try_move(connection, "volume", volume.id, "create_failed")
        restore_backup.end_restore(connection, volume)
        outbox.volume_event(connection, "create.error", volume, flow.id, error=message)
        image_cache.stop_unwanted(connection, flow)
        sharing.end(connection, flow)


@flow("create_volume", abandon=abandon)
def create_volume(flow: Flow) -> None:
    """Dispatch on the source's kind, then publish: model_update, `available` and the end of the flow in one commit."""
    with flow.backend.database.read() as connection:
        volume = volumes.get(connection, flow.arguments["volume_id"])
    spec: VolumeSpec = msgspec.convert(flow.arguments["spec"], VolumeSpec)
    flow.check_deadline()
    volume = encrypting.with_key(flow, volume)
    with killpoints.within(tag_of(spec)):
        try:
            made = SOURCES[type(spec)](flow, volume, spec)
        except DriverError as error:
            if reschedule.elsewhere(flow, volume, error):
                return
            raise
        publish(flow, volume, made)


def publish(flow: Flow, volume: Volume, made: Made) -> None:
    """The last step of every create: one transaction."""
    changes = volumes.model_update_values(made.model_update)
    if made.bootable:
        changes["bootable"] = True
    if made.image_metadata:
        changes["image_metadata"] = made.image_metadata
    now = clock.now()
    with flow.ending() as connection:
        sharing.end(connection, flow)
        moves.move(connection, "volume", volume.id, "create_done", launched_at=now, **changes)
        restore_backup.end_restore(connection, volume)
        made_volume = msgspec.structs.replace(volume, status="available", launched_at=now, **changes)
        outbox.volume_event(connection, "create.end", made_volume, flow.id)
        if made.adopted:
            adoption.request_settling(connection, flow, made_volume)
        if made.hydration is not None:
            operation_id = str(uuid.uuid4())
            outbox.volume_event(connection, "hydrate.start", made_volume, operation_id)
            operations.request_flow(
                connection,
                flow.context,
                "hydrate_volume",
                operation_id=operation_id,
                resource=made_volume,
                arguments={"volume_id": volume.id, **msgspec.to_builtins(made.hydration)},
            )
