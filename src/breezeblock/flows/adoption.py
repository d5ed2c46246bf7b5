"""Adopt an image instead of converting it: the volume stands on the image's own file at first.

So it is available as soon as the file is fetched and verified. Behind it, with the lowest priority and one at a time,
`settle_image` turns the file into something of the storage's own, under all that stand on it by then.
"""

import os
import threading
import time
import uuid

from sqlalchemy.engine import Connection

from breezeblock.db import operations
from breezeblock.drivers import copying
from breezeblock.drivers.contract import AdoptedFile, AdoptsImages
from breezeblock.errors import BackendInUse, BackendOutOfSpace, BackendTransient
from breezeblock.flows.engine import Flow, flow, message_for_user, state_after
from breezeblock.images.transfer import PreparedImage
from breezeblock.model.volume import Volume

KIND = "settle_image"
NICE = 19
LOOK_SECONDS = 0.2
TELL_SECONDS = 1.0
"""After how long it is told that other copies go first."""
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 60.0
PASSING = (BackendInUse, BackendOutOfSpace, BackendTransient)
"""Errors that end by themselves, or when somebody makes room."""

_turn = threading.Lock()


def adopted(flow: Flow, volume: Volume, content: str, prepared: PreparedImage) -> bool:
    """Let a new volume stand on the image, where that is wanted and can be; tells why, or why not."""
    if not flow.backend.own.image_adopt:
        return False
    with flow.explained("adopt", image=prepared.image.id) as result:
        reason = why_not(flow, volume, prepared)
        if reason is None:
            file = AdoptedFile(prepared.facts.virtual_size, prepared.facts.file_size)
            flow.driver.adopt_image(
                volume, content, file, lambda target: prepared.fetch(flow.paced(target), flow.progress)
            )
        result.update({"outcome": "made"} if reason is None else {"outcome": "declined", "reason": reason})
    return reason is None


def why_not(flow: Flow, volume: Volume, prepared: PreparedImage) -> str | None:
    """Why the image has to be converted before the volume can be used, or None."""
    if not isinstance(flow.backend.driver, AdoptsImages):
        return "the driver adopts no images"
    if prepared.facts.format != "qcow2":
        return f"only qcow2 images are adopted; this one is {prepared.image.disk_format}"
    if not prepared.can_be_fetched:
        return "the image cannot be read in one pass"
    if prepared.facts.virtual_size % 512:
        return "the image's disk does not end at a sector"
    if volume.encryption_key_id is not None:
        return "the volume is encrypted: the image would lie on the storage in plain"
    if volume.admin_metadata.get("provisioning") == "thick":
        return "the volume takes all of its room at once"
    return None


def request_settling(connection: Connection, flow: Flow, volume: Volume) -> None:
    """Have the image that a volume stands on settled, unless that is asked for already."""
    name = flow.driver.adopted_below(volume)
    if name is None or any(
        one.flow == KIND and one.arguments["storage_name"] == name
        for one in operations.pending(connection, flow.backend.slot)
    ):
        return
    operations.request_flow(
        connection,
        flow.context,
        KIND,
        operation_id=str(uuid.uuid4()),
        resource=volume,
        arguments={"volume_id": volume.id, "storage_name": name},
    )


def abandon(flow: Flow, error: BaseException) -> None:
    """The volume goes on standing on the image; the doctor tells of it."""
    with flow.ending(state_after(error), message_for_user(error)):
        pass


@flow(KIND, abandon=abandon, beside=True)
def settle_image(flow: Flow) -> None:
    """Wait for the turn, then copy, patiently: nobody waits for this."""
    # of this thread alone, which ends with the flow
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
    while not _turn.acquire(blocking=False):
        flow.look()
        flow.pause(LOOK_SECONDS)
    try:
        with flow.explained("settle"):
            settle_patiently(flow)
    finally:
        _turn.release()
    with flow.ending():
        pass


def settle_patiently(flow: Flow) -> None:
    """Until it is done, or fails by what does not pass."""
    wait = FIRST_WAIT_SECONDS
    while True:
        try:
            with copying.told_to(paced(flow)):
                flow.driver.settle_image(flow.arguments["storage_name"])
        except PASSING as error:
            flow.stalled(message_for_user(error))
        else:
            return
        until = time.monotonic() + wait
        while time.monotonic() < until:
            flow.look()
            flow.pause(LOOK_SECONDS)
        wait = min(wait * 2, LONGEST_WAIT_SECONDS)


def step_aside(flow: Flow) -> None:
    """Wait while anything else is copied, or waits for that, on this backend: nobody waits for this."""
    began, told = time.monotonic(), False
    while flow.backend.copies.are_wanted():
        if not told and time.monotonic() - began >= TELL_SECONDS:
            flow.stalled("Other copies of this backend go first.")
            told = True
        flow.look()
        flow.pause(LOOK_SECONDS)


def paced(flow: Flow) -> copying.Listener:
    """Tells the progress, and waits where the copies of this backend are limited."""
    told: int | None = None

    def tell(done: int, total: int | None) -> None:
        nonlocal told
        step_aside(flow)
        flow.progress(done, total)
        if told is not None:
            flow.pace(done - told)
        told = done

    return tell
