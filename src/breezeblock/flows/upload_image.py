"""Make an image of a volume: its bytes go to the image service as they are read, in the format that was asked for."""

import logging
import time
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from breezeblock import killpoints
from breezeblock.db import attachments, image_keys, moves, outbox, tables, volumes
from breezeblock.errors import BreezeblockError, Conflict, DatabaseUnavailable, ImageUnacceptable, ServiceUnavailable
from breezeblock.flows import encrypting
from breezeblock.flows.engine import Flow, flow, message_for_user, state_after
from breezeblock.images.upload import VolumeFile
from breezeblock.model.image import Image
from breezeblock.model.snapshot import Snapshot
from breezeblock.model.volume import Volume

log = logging.getLogger(__name__)

WAIT_SECONDS = 0.2
PATIENCE_SECONDS = 60.0
"""How long the image service may take to notice that the sender of an earlier attempt is gone."""

UNDO_SECONDS = 5.0
"""How long it may take to let itself be told to remove an image."""

_HAS_DATA = {"active", "deactivated"}


def abandon(flow: Flow, error: BaseException) -> None:
    """Remove the image with its key, unless it has all its data, and the moment; the volume is what it was before."""
    message = message_for_user(error)
    with flow.backend.database.read() as connection:
        volume = volumes.find(connection, flow.arguments["volume_id"])
        key = image_keys.find(connection, flow.arguments["image_id"])
    undo: list[Callable[[], None]] = []
    if not flow.passed("upload"):
        undo.append(lambda: _discard(flow))
        if key is not None:
            undo.append(lambda: encrypting.forget_key(flow, key.encryption_key_id))
    moment = moment_of(flow, volume)
    if moment is not None:
        undo.append(lambda: flow.driver.delete_snapshot(moment))
    for act in undo:
        try:
            act()
        except DatabaseUnavailable:
            raise
        except BreezeblockError as left:
            log.exception("volume %s: what a failed upload made could not be removed", flow.arguments["volume_id"])
            message += f" Not all that was made could be removed: {left.message}"
    with flow.ending(state_after(error), message) as connection:  # which writes upload.error
        if not flow.passed("upload"):
            image_keys.remove(connection, flow.arguments["image_id"])
        release(connection, flow.arguments["volume_id"])


def _discard(flow: Flow) -> None:
    """Remove the image. The service may be busy for a moment: it has just lost the sender, and sets the image back."""
    killpoints.reached("before_discard")
    deadline = time.monotonic() + UNDO_SECONDS
    while True:
        try:
            flow.backend.images.discard(flow.arguments["image_id"])
            break
        except (ServiceUnavailable, Conflict) as busy:
            if isinstance(busy, DatabaseUnavailable) or time.monotonic() > deadline:
                raise
        time.sleep(WAIT_SECONDS)
    killpoints.reached("after_discard")


@flow("upload_image", abandon=abandon)
def upload_image(flow: Flow) -> None:
    """Send the volume, or the moment that is taken of one in use, to the image."""
    with flow.backend.database.read() as connection:
        volume = volumes.get(connection, flow.arguments["volume_id"])
    moment = moment_of(flow, volume)
    if moment is not None and not flow.passed("create_snapshot"):
        with flow.explained("create_snapshot", snapshot=moment.id):
            flow.driver.create_snapshot(moment, volume)
        flow.checkpoint("create_snapshot")  # the moment is that of the request, however long the copy has to wait
    if not flow.passed("upload"):
        encrypting.give_image_key(flow, volume, flow.arguments["image_id"])
        flow.take_copy_turn(volume.project_id)
    flow.step("upload", send, flow, moment or volume)
    if moment is not None:
        with flow.explained("delete_snapshot", snapshot=moment.id):
            flow.driver.delete_snapshot(moment)
    image_id = flow.arguments["image_id"]
    with flow.ending() as connection:
        status = release(connection, volume.id)
        outbox.volume_event(connection, "upload.end", volume, flow.id, image_id=image_id, status=status)


def moment_of(flow: Flow, volume: Volume | None) -> Snapshot | None:
    """The passing snapshot that a volume in use is read from; known to the storage alone. None for one at rest."""
    moment_id = flow.arguments["moment_id"]
    if moment_id is None or volume is None:
        return None
    return Snapshot(
        id=moment_id,
        project_id=volume.project_id,
        user_id=volume.user_id,
        volume_id=volume.id,
        status="creating",
        volume_size=volume.size,
        host=volume.host,
        created_at=volume.created_at,
    )


def send(flow: Flow, origin: Volume | Snapshot) -> dict[str, Any]:
    """Give the image its data; what the image is then."""
    images, image_id = flow.backend.images, flow.arguments["image_id"]
    image = images.get(flow.context.as_service(), image_id)
    with flow.explained("upload", image=image_id, disk_format=image.disk_format) as result:
        with flow.driver.open_volume(origin) as source:

            def report(done: int, total: int) -> None:
                flow.progress(done, total)
                killpoints.reached("between_pieces")

            data = VolumeFile(source, image.disk_format or "raw", image_id, report, flow.pace)
            image = give_data(flow, data)
        result |= {"size": image.size, "checksum": image.checksum}
    return dict(result)


def give_data(flow: Flow, data: VolumeFile) -> Image:
    """The image with the data. No upload can be taken up in its middle, so one that was cut off begins anew."""
    images, image_id, context = flow.backend.images, flow.arguments["image_id"], flow.context.as_service()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        image = images.get(context, image_id)
        if image.status in _HAS_DATA:  # by an attempt whose end was not noted
            return whole(image, data)
        try:
            killpoints.reached("before_upload")
            image = images.upload(context, image_id, data)
            killpoints.reached("after_upload")
            return image
        except Conflict:
            if not flow.attempts or time.monotonic() > deadline:
                raise
        flow.progress(0, data.length)
        time.sleep(WAIT_SECONDS)


def whole(image: Image, data: VolumeFile) -> Image:
    """The image, if it holds exactly these data. Raises `ImageUnacceptable` where an attempt was cut off unnoticed."""
    if image.os_hash_algo is None or data.digest(image.os_hash_algo) != image.os_hash_value:
        raise ImageUnacceptable(f"The image {image.id} holds other data than this volume's; upload the volume again.")
    return image


def release(connection: sa.Connection, volume_id: str) -> str:
    """The volume is available or in use, as its attachments say, unless somebody changed its status meanwhile."""
    status = "in-use" if attachments.of_volume(connection, volume_id) else "available"
    moves.try_move(connection, "volume", volume_id, "upload_done", status)
    return status


def being_uploaded(connection: sa.Connection, volume_id: str) -> bool:
    """Whether an upload of this volume is asked for or runs."""
    requests, table = tables.flow_requests, tables.operations
    query = sa.select(table.c.id).join(requests, requests.c.id == table.c.id)
    query = query.where(table.c.resource_id == volume_id, table.c.kind == "upload_image")
    return connection.execute(query).first() is not None
