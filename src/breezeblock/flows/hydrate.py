"""Bring the content of a volume that is used already, and then let it stand on its own feet.

While this flow is not finished, whoever reads the volume reads the image through `Backend.sources`. An image service that
is away makes the operation `stalled`; it goes on by itself. An image that proves to be wrong ends the volume.
"""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from breezeblock.db import moves, operations, outbox, volumes, wake
from breezeblock.drivers.contract import Hydrates, ReadableTarget
from breezeblock.errors import BackendNotFound, BreezeblockError, DatabaseUnavailable, ImageUnacceptable
from breezeblock.flows.backend import Backend
from breezeblock.flows.engine import Flow, flow, message_for_user
from breezeblock.flows.image_ladder.download import version_of
from breezeblock.flows.image_ladder.lazy import take_opened
from breezeblock.flows.verification import Verification
from breezeblock.images.lazy_disk import Landing, LazyDisk
from breezeblock.images.lazy_image import LazyImage, open_image
from breezeblock.model.volume import Volume

log = logging.getLogger(__name__)

KIND = "hydrate_volume"
Result = TypeVar("Result")
TURN_SECONDS = 0.2
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 10.0
LOOK_SECONDS = 0.25
DELETING = frozenset(("deleting", "error_deleting"))


class Deleted(BreezeblockError):
    """The volume was deleted before its content had come."""


FINAL = (ImageUnacceptable, BackendNotFound, DatabaseUnavailable, Deleted)
"""After anything else the content may still come: a volume that is used is not given up, it is tried for good."""

_fetching: defaultdict[tuple[str, str, str], threading.Lock] = defaultdict(threading.Lock)
"""By backend, image and version: held by the one hydration that fetches it."""
_first: dict[tuple[str, str, str], LazyDisk] = {}
"""What that one serves."""

_inside: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
"""By volume: held while a hydration works on the storage."""


def abandon(flow: Flow, error: BaseException) -> None:
    """What the volume reads is wrong: cut its clients off. What they wrote is kept until the volume is deleted."""
    volume_id, message = flow.arguments["volume_id"], message_for_user(error)
    with flow.backend.database.read() as connection:
        volume = volumes.find(connection, volume_id)
    if volume is not None and isinstance(flow.driver, Hydrates):
        flow.driver.fence_volume(volume)
        flow.backend.sources.withdraw(volume.storage_name)
    with flow.ending("failed", message) as connection:
        moves.try_move(connection, "volume", volume_id, "hydrate_failed")


@flow(KIND, abandon=abandon, beside=True)
def hydrate_volume(flow: Flow) -> None:
    """Open the image and serve it; when there is a turn, copy it; then the storage needs it no more."""
    with flow.backend.database.read() as connection:
        volume = volumes.find(connection, flow.arguments["volume_id"])
    if volume is None:
        return
    source = serve(flow.backend, volume.storage_name, flow.arguments["source_bytes"])
    while True:
        try:
            bring(flow, volume, source)
            break
        except Deleted as deleted:
            if not is_spared(flow):
                flow.backend.sources.withdraw(volume.storage_name)
                with flow.ending("cancelled", deleted.message):
                    return
    flow.backend.sources.withdraw(volume.storage_name)
    with flow.ending() as connection:
        outbox.volume_event(connection, "hydrate.end", volumes.find(connection, volume.id) or volume, flow.id)


def bring(flow: Flow, volume: Volume, source: LazyDisk) -> None:
    """The story without its ends. Raises `Deleted`."""
    image = patiently(flow, lambda: look(flow, volume))
    source.fetch_from(image.disk)
    with flow.saving(step="hydrate") as connection:
        operations.forget_attempts(connection, flow.id)
    with flow.explained("hydrate", image=flow.arguments["image_id"]) as result:
        patiently(flow, lambda: fill(flow, volume, source, image))
        result["bytes_read_before_they_came"] = image.disk.blocks.fetched
    Verification(flow, image.image, with_signature=False).remember()


def serve(backend: Backend, name: str, size: int) -> LazyDisk:
    """Have a volume's image served; reads wait until it is opened. Served already is done."""
    source = backend.sources.find(name)
    if not isinstance(source, LazyDisk):
        source = LazyDisk(size)
        backend.sources.publish(name, source)
    return source


def serve_pending(backend: Backend) -> None:
    """At the start of a worker: let storages connect again, before the flows have opened their images."""
    with backend.database.read() as connection:
        for request in operations.pending(connection, backend.slot):
            volume = volumes.find(connection, request.arguments["volume_id"]) if request.flow == KIND else None
            if volume is not None:
                serve(backend, volume.storage_name, request.arguments["source_bytes"])


def patiently(flow: Flow, call: Callable[[], Result]) -> Result:
    """What `call` returns, however long the image service or the storage is away. Raises what is `FINAL`."""
    wait = FIRST_WAIT_SECONDS
    while True:
        look_for_delete(flow)
        try:
            return call()
        except FINAL:
            raise
        except Exception as error:
            if not isinstance(error, BreezeblockError):
                log.exception("volume %s: its content does not come", flow.arguments["volume_id"])
            flow.stalled(message_for_user(error))
            it_works(flow)
        until = time.monotonic() + wait
        while time.monotonic() < until:
            flow.pause(LOOK_SECONDS)
            look_for_delete(flow)
        wait = min(wait * 2, LONGEST_WAIT_SECONDS)


def it_works(flow: Flow) -> None:
    """However often workers were killed: this flow was not what killed them."""
    with flow.backend.database.begin() as connection:
        operations.forget_attempts(connection, flow.id)


def look_for_delete(flow: Flow) -> None:
    """Raises `Deleted` once somebody deletes the volume."""
    with flow.backend.database.read() as connection:
        volume = volumes.find(connection, flow.arguments["volume_id"])
    if volume is None or volume.status in DELETING:
        raise Deleted


def is_spared(flow: Flow) -> bool:
    """Wait for the end of a delete: whether the volume is still there."""
    while True:
        with flow.backend.database.read() as connection:
            volume = volumes.find(connection, flow.arguments["volume_id"])
        if volume is None or volume.status not in DELETING:
            return volume is not None
        flow.pause(LOOK_SECONDS)


def wait_until_out(flow: Flow, volume_id: str) -> None:
    """For the flow that deletes a volume, whose status says so: from now on no hydration works on the storage."""
    lock = _inside[volume_id]
    while not lock.acquire(timeout=TURN_SECONDS):
        flow.progress(0, None)
    lock.release()


def look(flow: Flow, volume: Volume) -> LazyImage:
    """The image, as the rung opened it or judged anew. Raises `ImageUnacceptable` where it is not the one that the volume was made of."""
    backend = flow.backend
    if (begun := take_opened(volume.id)) is not None:
        return begun
    image = backend.images.get(flow.context.as_service(), flow.arguments["image_id"])
    if version_of(image) != flow.arguments["version"]:
        raise ImageUnacceptable(f"The image {image.id} has another content than when the volume was made of it.")
    opened = open_image(
        backend.images,
        image,
        volume_size=volume.size,
        checks=Verification(flow, image, with_signature=False).checks,
        vmdk_allowed_types=tuple(backend.settings.vmdk_allowed_types),
    )
    if opened.facts.virtual_size != flow.arguments["source_bytes"]:
        raise ImageUnacceptable(f"The image {image.id} has another size than when the volume was made of it.")
    return opened


def fill(flow: Flow, volume: Volume, source: LazyDisk, image: LazyImage) -> None:
    """One attempt at the whole of it; a later one goes on where this one was. What another volume of this image has
    brought by now is not fetched again."""

    def report(done: int, total: int | None) -> None:
        flow.progress(done, total)
        look_for_delete(flow)

    def land(target: ReadableTarget) -> None:
        landing = Landing(target, image.facts.virtual_size)
        source.land_on(landing)
        image.fill(flow.paced(landing), report)

    with _alone(flow, source, image), _turn(flow, volume), _inside[volume.id]:
        look_for_delete(flow)
        try:
            flow.driver.hydrate_volume(volume, land)
        finally:
            source.land_on(None)


@contextmanager
def _alone(flow: Flow, source: LazyDisk, image: LazyImage) -> Iterator[None]:
    """Of all hydrations of an image on a backend one fetches; the others read what that has, and then find it whole."""
    key = (flow.backend.name, flow.arguments["image_id"], flow.arguments["version"])
    lock = _fetching[key]
    if not lock.acquire(blocking=False):
        with flow.waiting("waits for another volume of this image, which fetches it"):
            while not lock.acquire(timeout=TURN_SECONDS):
                if (first := _first.get(key)) is not None:
                    source.follow(first)
                look_for_delete(flow)
        source.fetch_from(image.disk)
    _first[key] = source
    try:
        yield
    finally:
        del _first[key]
        lock.release()


@contextmanager
def _turn(flow: Flow, volume: Volume) -> Iterator[None]:
    """Copy among the copies of the volume's project. Nobody else waits for this flow, so it may hold its thread."""
    backend = flow.backend
    while not backend.copies.take(volume.project_id, flow.id):
        flow.pause(TURN_SECONDS)
        look_for_delete(flow)
    try:
        yield
    finally:
        if backend.copies.give_back(flow.id):
            with backend.database.begin() as connection:
                wake.wake(connection, backend.slot)
