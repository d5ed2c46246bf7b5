"""A volume with the content of an image: the ladder.

Each rung makes the volume or declines with a reason; the first that makes it ends the climb. What every rung answered,
and how long it took, is kept for `explain`. The rungs are the calls of Cinder's `_create_from_image`, in its order.
"""

import time

from breezeblock import killpoints
from breezeblock.errors import RECOVERABLE, DriverError
from breezeblock.flows.engine import Flow
from breezeblock.flows.image_ladder import Rung, bootable, cached, download, driver_clone, image_volume, lazy
from breezeblock.flows.made import Declined, Made, answer_of
from breezeblock.model import clock
from breezeblock.model.image import Image
from breezeblock.model.operation import Answer
from breezeblock.model.sources import FromImage
from breezeblock.model.volume import Volume

RUNGS: tuple[Rung, ...] = (
    Rung("driver_clone", driver_clone.climb),
    Rung("image_volume", image_volume.climb),
    Rung("cached", cached.climb),
    Rung("download", download.climb),
)


WITH_LAZY = (*RUNGS[:2], Rung("lazy", lazy.climb), *RUNGS[2:])


def create(flow: Flow, volume: Volume, spec: FromImage) -> Made:
    """Climb the ladder, then set what makes the volume bootable (rung 5)."""
    image = flow.backend.images.get(flow.context.as_service(), spec.image_id)
    return bootable.handle(flow, image, climb(flow, volume, image))


def climb(flow: Flow, volume: Volume, image: Image) -> Made:
    """The first rung that makes the volume. The last one never declines: it makes it or raises."""
    for rung in WITH_LAZY if lazy.is_wanted(volume) else RUNGS:
        name = f"rung:{rung.name}"
        kept = flow.passed(name)
        answer = answer_of(flow.result(name)) if kept else try_rung(flow, rung, volume, image)
        if not kept:
            flow.note(name, answer)
        if isinstance(answer, Made):
            return answer
    raise DriverError(f"No rung of the ladder made volume {volume.id} of image {image.id}.")


def try_rung(flow: Flow, rung: Rung, volume: Volume, image: Image) -> Made | Declined:
    """One rung. A failure that the driver contract calls recoverable removes its remains and is a decline."""
    began, at = time.monotonic(), clock.now()
    answer: Made | Declined
    try:
        with killpoints.within(rung.name):
            answer = rung.climb(flow, volume, image)
    except RECOVERABLE as error:
        flow.driver.delete_volume(volume)
        if rung is RUNGS[-1]:
            raise
        answer = Declined(error.message)
    declined = isinstance(answer, Declined)
    flow.answer(
        Answer(
            step=rung.name,
            outcome="declined" if declined else "made",
            reason=answer.reason if isinstance(answer, Declined) else "",
            started_at=at,
            seconds=round(time.monotonic() - began, 6),
            given={"image": image.id, "disk_format": image.disk_format, "size": volume.size},
            result={} if isinstance(answer, Declined) else {"model_update": answer.model_update},
        )
    )
    return answer
