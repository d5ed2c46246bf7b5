"""Give a volume that is there the content of an image: the last rung of the ladder, on a volume instead of a new one.

The rungs above it make a volume, and this one has its place, its snapshots and perhaps its attachment already.
"""

from breezeblock.db import moves, outbox, volumes
from breezeblock.flows import encrypting
from breezeblock.flows.engine import Flow, flow, message_for_user, state_after
from breezeblock.flows.image_ladder import bootable
from breezeblock.flows.image_ladder.download import prepared_image, version_of
from breezeblock.flows.made import Made
from breezeblock.flows.resize import wait_for_copies
from breezeblock.flows.verification import Verification


def abandon(flow: Flow, error: BaseException) -> None:
    """The volume is in `error`, as with Cinder: it reads as zeros, unless nothing was written yet."""
    with flow.ending(state_after(error), message_for_user(error)) as connection:
        moves.try_move(connection, "volume", flow.arguments["volume_id"], "reimage_failed")


@flow("reimage_volume", abandon=abandon)
def reimage_volume(flow: Flow) -> None:
    """Inspect the image, then fill the volume with it; what it held goes, and its size stays."""
    with flow.backend.database.read() as connection:
        volume = volumes.get(connection, flow.arguments["volume_id"])
    image = flow.backend.images.get(flow.context.as_service(), flow.arguments["image_id"])
    wait_for_copies(flow, volume.id)
    flow.take_copy_turn(volume.project_id)
    verification = Verification(flow, image)
    with (
        flow.explained("reimage", image=image.id, disk_format=image.disk_format, size=volume.size),
        prepared_image(flow, verification, image, volume.size, may_spool=volume.encryption_key_id is None) as prepared,
    ):
        # of this flow alone: the same image again is written again, for what the volume holds may have changed
        content = f"image:{image.id}:{version_of(image)}:{flow.id}"
        end = prepared.facts.virtual_size
        fill = encrypting.filling(flow, volume, image, lambda to: prepared.fill(flow.paced(to), flow.progress), end)
        flow.driver.copy_image_to_volume(volume, content, fill)
    told = bootable.handle(flow, image, Made())
    with flow.ending() as connection:
        moves.move(
            connection,
            "volume",
            volume.id,
            "reimage_done",
            flow.arguments["status_before"],
            bootable=told.bootable,
            image_metadata=told.image_metadata,
            image_id=image.id,
        )
        outbox.volume_event(connection, "reimage.end", volume, flow.id, image_id=image.id)
