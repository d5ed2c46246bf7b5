"""Rung 3: the image-volume cache. A volume of the service holds the image; users' volumes are its clones.

The cache volume is made first, and the user's volume is always a clone of it, so no user's volume is ever the parent
of another's. Entries are kept per backend under the internal tenant, fresh by `updated_at` and checksum of the image,
and make room for others when they were unused for longest.
"""

import logging
import threading
import uuid
from collections import defaultdict

from sqlalchemy.engine import Connection

from breezeblock.context import admin_context
from breezeblock.db import image_cache, moves, operations, outbox, volumes
from breezeblock.db.image_cache import CacheEntry
from breezeblock.errors import Cancelled, DriverError, ImageUnacceptable, NoValidBackend
from breezeblock.flows.engine import Flow, message_for_user
from breezeblock.flows.image_ladder import download
from breezeblock.flows.made import Declined, Made
from breezeblock.model import clock
from breezeblock.model.image import Image
from breezeblock.model.volume import Volume
from breezeblock.scheduling.admission import admit_volume
from breezeblock.scheduling.placement import Wanted

log = logging.getLogger(__name__)

_filling: defaultdict[tuple[str, str], threading.Lock] = defaultdict(threading.Lock)
"""One lock for each image on each backend: the first create fills the cache, the others wait and clone."""


def climb(flow: Flow, volume: Volume, image: Image) -> Made | Declined:
    """Clone the cached volume of this image, filling the cache first where it has none."""
    own, settings = flow.backend.own, flow.backend.settings
    if not own.image_volume_cache_enabled:
        return Declined("image_volume_cache_enabled is off for this backend")
    if volume.encryption_key_id is not None:
        return Declined("the volume is encrypted: a clone would have to be re-keyed")
    if not (settings.cinder_internal_tenant_project_id and settings.cinder_internal_tenant_user_id):
        log.info("no internal tenant is configured: the image-volume cache is not used")
        return Declined("no internal tenant is configured (cinder_internal_tenant_project_id, _user_id)")
    lock = _filling[flow.backend.name, image.id]
    while not lock.acquire(timeout=download.WAIT_SECONDS):
        flow.progress(0, image.size)
    try:
        entry: CacheEntry | Declined | None = fresh_entry(flow, image)
        hit = entry is not None
        if entry is None:
            with flow.backend.database.begin() as connection:
                tell(connection, flow, "miss", volume, image.id)
            try:
                entry = fill(flow, volume, image)
            except (ImageUnacceptable, Cancelled):
                raise
            except (DriverError, NoValidBackend) as error:
                return Declined(f"the cache could not be filled: {error.message}")
    finally:
        lock.release()
    if isinstance(entry, Declined):
        return entry
    return clone(flow, volume, entry, hit)


def tell(connection: Connection, flow: Flow, event: str, volume: Volume, image_id: str) -> None:
    """The event of a look into the cache, once for a create: one that is taken up again finds what it filled itself."""
    if flow.attempts and any(
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


def clone(flow: Flow, volume: Volume, entry: CacheEntry, hit: bool) -> Made | Declined:
    """The user's volume, as a clone of the cached one; `hit` if that was there before."""
    with flow.backend.database.begin() as connection:
        if hit:
            tell(connection, flow, "hit", volume, entry.image_id)
        source = volumes.find(connection, entry.volume_id)
        image_cache.touch(connection, entry.volume_id)
    if source is None:
        return Declined("the cache entry went away meanwhile")
    return Made(model_update=flow.driver.create_cloned_volume(volume, source) or {})


def fresh_entry(flow: Flow, image: Image) -> CacheEntry | None:
    """The entry of this image as it is now; one of an older content, or without its volume, is dropped."""
    with flow.backend.database.read() as connection:
        entry = image_cache.find(connection, flow.backend.name, image.id)
        held = entry is not None and volumes.find(connection, entry.volume_id) is not None
    if entry is None:
        return None
    if held and entry.image_updated_at == image.updated_at and entry.checksum == image.checksum:
        return entry
    log.info("image %s has changed, or its cache volume %s is gone: it is dropped", image.id, entry.volume_id)
    evict(flow, entry)
    return None


def fill(flow: Flow, volume: Volume, image: Image) -> CacheEntry | Declined:
    """Make a cache volume of the image, and its entry. Nothing is left of one that fails."""
    with download.prepared_image(flow, volume, image) as prepared:
        size = max(1, -(-prepared.facts.virtual_size // (1 << 30)))
        if not make_room(flow, size):
            return Declined(f"the image's {size} GiB are more than the cache may hold")
        cache_volume = admit(flow, volume, image, size)
        try:
            made = download.copy_in(flow, cache_volume, prepared)
        except Exception as error:
            forget(flow, cache_volume, message_for_user(error))
            raise
    entry = CacheEntry(
        backend=flow.backend.name,
        image_id=image.id,
        image_updated_at=image.updated_at,
        checksum=image.checksum,
        volume_id=cache_volume.id,
        size=cache_volume.size,
        last_used=clock.now(),
    )
    with flow.backend.database.begin() as connection:
        changes = volumes.model_update_values(made.model_update)
        moves.move(connection, "volume", cache_volume.id, "create_done", launched_at=clock.now(), **changes)
        outbox.volume_event(connection, "create.end", cache_volume, flow.id, status="available")
        image_cache.insert(connection, entry)
    return entry


def admit(flow: Flow, volume: Volume, image: Image, size: int) -> Volume:
    """The cache volume's row. Its id derives from the flow's, so that a flow taken up again finds what it began."""
    settings = flow.backend.settings
    volume_id = cache_volume_id(flow, image.id)
    draft = Volume(
        id=volume_id,
        project_id=settings.cinder_internal_tenant_project_id,
        user_id=settings.cinder_internal_tenant_user_id,
        name=f"image-{image.id}",
        size=size,
        status="creating",
        volume_type_id=volume.volume_type_id,
        image_id=image.id,
        bootable=True,
        consumes_quota=False,
        admin_metadata={"readonly": "True"},
        image_metadata=image.volume_metadata(),
        created_at=clock.now(),
    )
    with flow.backend.database.begin() as connection:
        begun = volumes.find(connection, volume_id)
        if begun is not None:
            return begun
        wanted = Wanted(size=size, backend=flow.backend.name)
        admitted, _ = admit_volume(connection, settings, draft, wanted)
        outbox.volume_event(connection, "create.start", admitted, flow.id)
    return admitted


def cache_volume_id(flow: Flow, image_id: str) -> str:
    """The id of the cache volume that this flow would make."""
    return str(uuid.uuid5(uuid.UUID(flow.id), f"image-cache:{image_id}"))


def forget_unfinished(flow: Flow, image_id: str, reason: str) -> None:
    """Remove the cache volume that this flow began, unless it was finished: then it serves others."""
    with flow.backend.database.read() as connection:
        begun = volumes.find(connection, cache_volume_id(flow, image_id))
    if begun is not None and begun.status == "creating":
        forget(flow, begun, reason)


def make_room(flow: Flow, size: int) -> bool:
    """Evict what was unused for longest until the image fits the cache's limits; False when it never will."""
    own = flow.backend.own
    if own.image_volume_cache_max_size_gb and size > own.image_volume_cache_max_size_gb:
        return False
    with flow.backend.database.read() as connection:
        entries = image_cache.of_backend(connection, flow.backend.name)
    while entries and _too_many(own.image_volume_cache_max_count, own.image_volume_cache_max_size_gb, entries, size):
        evict(flow, entries.pop(0))
    return True


def _too_many(max_count: int, max_size_gb: int, entries: list[CacheEntry], size: int) -> bool:
    full = bool(max_count) and len(entries) + 1 > max_count
    large = bool(max_size_gb) and sum(entry.size for entry in entries) + size > max_size_gb
    return full or large


def evict(flow: Flow, entry: CacheEntry) -> None:
    """Drop an entry and have its volume deleted, by a flow of its own so that a crash leaves neither without the other.

    Clones live on, as the driver contract promises.
    """
    with flow.backend.database.begin() as connection:
        image_cache.remove(connection, entry.volume_id)
        outbox.image_cache_event(
            connection,
            "evict",
            entry.image_id,
            host=entry.backend,
            project_id=flow.backend.settings.cinder_internal_tenant_project_id,  # the image may be another project's
            operation_id=flow.id,
        )
        cache_volume = volumes.find(connection, entry.volume_id)
        if cache_volume is None or not moves.try_move(connection, "volume", cache_volume.id, "delete"):
            return
        operation_id = str(uuid.uuid4())
        outbox.volume_event(connection, "delete.start", cache_volume, operation_id)
        operations.request_flow(
            connection,
            admin_context(),
            "delete_volume",
            operation_id=operation_id,
            resource=cache_volume,
            arguments={"volume_id": cache_volume.id},
        )


def forget(flow: Flow, cache_volume: Volume, reason: str) -> None:
    """Remove a cache volume from the storage and from the tables; one that was never whole ends for this reason."""
    with flow.backend.database.begin() as connection:
        image_cache.remove(connection, cache_volume.id)
    flow.driver.delete_volume(cache_volume)
    with flow.backend.database.begin() as connection:
        volumes.remove(connection, cache_volume.id)
        if cache_volume.status == "creating":
            outbox.volume_event(connection, "create.error", cache_volume, flow.id, error=reason)
        else:
            outbox.volume_event(connection, "delete.start", cache_volume, flow.id)
            outbox.volume_event(connection, "delete.end", cache_volume, flow.id)
