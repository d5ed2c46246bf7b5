"""Rung 3: the image-volume cache. A volume of the service holds the image; users' volumes are its clones.

Where the image is not cached yet, a flow of its own fetches it (`flows.image_cache`), once for all creates of this image
on this backend, whichever worker runs them. They wait without a thread, and clone when it has ended. Where it failed:

* the image is not acceptable: so it is for all that wait, unless their volume is larger than the fill was asked for;
* the storage, or a limit of the cache, did not allow it: each goes on to the next rung;
* it was cancelled: so are all that waited for it;
* anything else: the create that asked for it fails with its error, one of the others asks again.
"""

import logging

from sqlalchemy.engine import Connection

from breezeblock.db import image_cache, moves, operations, outbox
from breezeblock.db.image_cache import CacheEntry
from breezeblock.errors import BreezeblockError, Cancelled, DriverError, ImageUnacceptable
from breezeblock.flows.engine import Flow, Parked
from breezeblock.flows.image_cache import Fill, asked_of, fresh_volume, is_being_filled, request_fill
from breezeblock.flows.internal_volumes import has_tenant
from breezeblock.flows.made import Declined, Made
from breezeblock.flows.verification import SIGNED_HASH, signature_check
from breezeblock.images.checksum import Check
from breezeblock.model.image import Image
from breezeblock.model.operation import Operation
from breezeblock.model.volume import Volume
from breezeblock.scheduling.admission import take_turn

log = logging.getLogger(__name__)


def climb(flow: Flow, volume: Volume, image: Image) -> Made | Declined:
    """Clone the cached volume of this image. Raises `Parked` while it is being filled."""
    if reason := why_not(flow, volume):
        return Declined(reason)
    fill = awaited(flow)
    if fill is not None and (declined := learn_of_fill(flow, volume, fill)):
        return declined
    signed = signature_check(flow, image)
    fetched = {} if fill is None else {"bytes_done": fill.bytes_done, "bytes_total": fill.bytes_total}
    with flow.saving(step="cached", **fetched) as connection:
        take_turn(connection)
        entry = image_cache.find(connection, flow.backend.name, image.id)
        source = leased(connection, flow, volume, image, entry, signed)
        if source is None:
            wait_for_fill(connection, flow, volume, image, entry)
    if source is None:
        raise Parked
    if source.size > volume.size:
        raise ImageUnacceptable(f"The image's disk needs {source.size} GiB and the volume has {volume.size}.")
    try:
        return Made(model_update=flow.driver.create_cloned_volume(volume, source) or {})
    except DriverError:
        with flow.backend.database.begin() as connection:
            image_cache.release(connection, source.id, flow.id)
        raise


def why_not(flow: Flow, volume: Volume) -> str | None:
    """Why the cache is not used for this volume, or None."""
    if not flow.backend.own.image_volume_cache_enabled:
        return "image_volume_cache_enabled is off for this backend"
    if volume.encryption_key_id is not None:
        return "the volume is encrypted: a clone would have to be re-keyed"
    if not has_tenant(flow.backend.settings):
        log.info("no internal tenant is configured: the image-volume cache is not used")
        return "no internal tenant is configured (cinder_internal_tenant_project_id, _user_id)"
    return None


def awaited(flow: Flow) -> Operation | None:
    """The fill that this create waited for, if it did."""
    if flow.waited_for is None:
        return None
    with flow.backend.database.read() as connection:
        return operations.get(connection, flow.waited_for)


def learn_of_fill(flow: Flow, volume: Volume, fill: Operation) -> Declined | None:
    """What the end of a fill means for a create that waited for it; None: look into the cache (again)."""
    if fill.state not in {"failed", "cancelled"}:
        return None
    asked = asked_of(fill)
    error = next((one.result.get("error") for one in fill.answers if one.step == "failed"), "failed")
    message = fill.message or ""
    if error == "declined":
        return Declined(message)
    if error == "cancelled":
        raise Cancelled(f"Operation {fill.id}, which fetched the image, was cancelled.")
    if error == "refused" and volume.size <= asked.size:
        raise ImageUnacceptable(message)
    if asked.by == flow.id:
        raise BreezeblockError(message)
    return None


def leased(
    connection: Connection, flow: Flow, volume: Volume, image: Image, entry: CacheEntry | None, signed: Check | None
) -> Volume | None:
    """The volume that holds the image as it is now, kept for this flow until it has its clone; None where there is none.

    Of a signed image that is one whose bytes were hashed for that; raises `ImageUnacceptable` where it does not sign them.
    """
    source = fresh_volume(connection, entry, image)
    if source is None:
        return None
    if signed is not None:
        algorithm, _, value = source.admin_metadata.get(SIGNED_HASH, "").partition(":")
        if algorithm != signed.algorithm:
            return None
        signed.judge(bytes.fromhex(value))
    if not flow.passed(image_cache.lease_of(source.id)):
        image_cache.lease(connection, source.id, flow.id)
    tell(connection, flow, "hit", volume, image.id)
    return source


def wait_for_fill(connection: Connection, flow: Flow, volume: Volume, image: Image, entry: CacheEntry | None) -> None:
    """Park until the image is cached: by a fill that runs, or by one that is asked for now."""
    if entry is None or not is_being_filled(connection, entry):
        tell(connection, flow, "miss", volume, image.id)
        wanted = Fill(
            image_id=image.id, size=volume.size, project_id=volume.project_id, volume_type_id=volume.volume_type_id
        )
        backend = flow.backend
        entry = request_fill(connection, backend.settings, flow.context, backend.name, image, wanted, asked_by=flow.id)
    moves.try_move(connection, "volume", volume.id, "download")
    flow.park(connection, "cached", f"waits for operation {entry.operation_id} to fill the cache", entry.operation_id)


def tell(connection: Connection, flow: Flow, event: str, volume: Volume, image_id: str) -> None:
    """The event of a look into the cache, once for a create: one that comes again finds what it asked for itself."""
    if flow.resumed and any(
        outbox.was_told(connection, flow.id, f"image_volume_cache.{one}") for one in ("hit", "miss")
    ):
        return
    outbox.image_cache_event(
        connection,
        event,
        image_id,
        host=volume.host,
        project_id=volume.project_id,
        operation_id=flow.id,
    )
