"""The image-volume cache: what fills it, makes room in it and empties it. Rung `cached` clones from it.

An image is fetched once for a backend, by a flow of its own, whoever asked for it: a create that found nothing, or an
administrator. It goes into a volume of the internal tenant, and all volumes of users are clones of that, so no user's
volume is ever the parent of another's. Entries make room for others when they were unused for longest.
"""

import logging
import uuid

import msgspec
from sqlalchemy.engine import Connection

from breezeblock.config import Settings
from breezeblock.context import RequestContext
from breezeblock.db import image_cache, moves, operations, outbox, volumes
from breezeblock.db.image_cache import CacheEntry
from breezeblock.errors import BreezeblockError, Cancelled, DriverError, ImageUnacceptable, NoValidBackend
from breezeblock.flows import adoption, internal_volumes
from breezeblock.flows.engine import Flow, flow, message_for_user, state_after
from breezeblock.flows.image_ladder import download
from breezeblock.flows.made import Made
from breezeblock.flows.verification import SIGNED_HASH, Verification
from breezeblock.model import clock
from breezeblock.model.image import Image
from breezeblock.model.operation import Answer, Operation
from breezeblock.model.volume import Volume
from breezeblock.scheduling.admission import admit_volume, take_turn
from breezeblock.scheduling.placement import Wanted

log = logging.getLogger(__name__)

KIND = "fill_image_cache"


class Fill(msgspec.Struct, frozen=True, kw_only=True):
    """The arguments of a fill: for whom it is, and the volume's size in GiB that the image must not be larger than."""

    image_id: str
    size: int
    project_id: str
    volume_type_id: str | None = None


class CacheTooSmall(BreezeblockError):
    """The image is larger than what the cache may hold beside that which has to stay."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What the first answer of a fill tells: the flow that asked for it (None: an administrator) and for what size."""

    by: str | None
    size: int


def fresh_volume(connection: Connection, entry: CacheEntry | None, image: Image) -> Volume | None:
    """The volume of an entry, if it is there and holds the image as it is now."""
    if entry is None or entry.operation_id is not None:
        return None
    if (entry.image_updated_at, entry.checksum) != (image.updated_at, image.checksum):
        return None
    volume = volumes.find(connection, entry.volume_id)
    return volume if volume is not None and volume.status in {"available", "in-use"} else None


def is_being_filled(connection: Connection, entry: CacheEntry) -> bool:
    """Whether the flow that fills an entry is there, and shall go on."""
    if entry.operation_id is None or not operations.is_pending(connection, entry.operation_id):
        return False
    return not operations.cancel_requested(connection, entry.operation_id)


def request_fill(
    connection: Connection,
    settings: Settings,
    context: RequestContext,
    backend: str,
    image: Image,
    wanted: Fill,
    *,
    asked_by: str | None = None,
    pinned: bool = False,
) -> CacheEntry:
    """Have an image cached on a backend; the entry, which is being filled from now on. It takes the place of what is there
    of the image: an older content, or what nobody fills any more. A pin stays."""
    before = image_cache.find(connection, backend, image.id)
    if before is not None:
        evict(connection, settings, before, asked_by)
        pinned = pinned or before.pinned
    operation_id = str(uuid.uuid4())
    volume_id = _volume_id(operation_id)
    entry = CacheEntry(
        backend=backend,
        image_id=image.id,
        image_updated_at=image.updated_at,
        checksum=image.checksum,
        volume_id=volume_id,
        size=0,
        last_used=clock.now(),
        pinned=pinned,
        operation_id=operation_id,
    )
    image_cache.insert(connection, entry)
    asked = Answer(
        step="asked",
        outcome="done",
        started_at=clock.now(),
        given=msgspec.to_builtins(Asked(by=asked_by, size=wanted.size)),
    )
    operations.request_flow(
        connection,
        context,
        KIND,
        operation_id=operation_id,
        resource=internal_volumes.draft(settings, volume_id, image, wanted.volume_type_id, host=backend),
        arguments=msgspec.to_builtins(wanted),
        answers=[asked],
    )
    return entry


def _volume_id(operation_id: str) -> str:
    """The id of the cache volume that a fill makes."""
    return str(uuid.uuid5(uuid.UUID(operation_id), "image-cache"))


def abandon(flow: Flow, error: BaseException) -> None:
    """A fill that failed leaves neither entry nor volume; those that waited for it are told by its operation."""
    message = message_for_user(error)
    with flow.backend.database.read() as connection:
        begun = volumes.find(connection, _volume_id(flow.id))
    removed = True
    if begun is not None:
        try:
            flow.driver.delete_volume(begun)
        except DriverError as left:
            log.exception("volume %s: the remains of a failed fill could not be removed", begun.id)
            message += f" What was made of it could not be removed: {left.message}"
            removed = False
    flow.answer(Answer(step="failed", outcome="failed", reason=message, result={"error": _kind_of(error)}))
    with flow.ending(state_after(error), message) as connection:
        take_turn(connection)
        operations.wake_waiting(connection, flow.id)
        image_cache.remove(connection, _volume_id(flow.id))
        if begun is not None and removed:
            volumes.remove(connection, begun.id)
        elif begun is not None:
            moves.try_move(connection, "volume", begun.id, "create_failed")


def _kind_of(error: BaseException) -> str:
    """What a failed fill means for those who waited: the image is `refused` for everybody, the fill was `cancelled`, the
    storage or the cache `declined` and the next rung may do better, or it `failed` and the next one may try again."""
    kinds: dict[str, tuple[type[Exception], ...]] = {
        "refused": (ImageUnacceptable,),
        "cancelled": (Cancelled,),
        "declined": (DriverError, NoValidBackend, CacheTooSmall),
    }
    return next((kind for kind, classes in kinds.items() if isinstance(error, classes)), "failed")


@flow(KIND, abandon=abandon)
def fill_image_cache(flow: Flow) -> None:
    """Fetch the image into a volume of the internal tenant; then those who wait may clone it."""
    wanted = msgspec.convert(flow.arguments, Fill)
    image = flow.backend.images.get(flow.context.as_service(), wanted.image_id)
    flow.take_copy_turn(wanted.project_id)
    with flow.saving(step="fill", bytes_total=image.size) as connection:
        entry = _entry_of(connection, flow)
    if entry is None:
        raise Cancelled("The cache entry was dropped before it was filled.")
    verification = Verification(flow, image)
    with (
        flow.explained("fill", image=image.id, disk_format=image.disk_format) as result,
        download.prepared_image(flow, verification, image, wanted.size) as prepared,
    ):
        size = max(1, -(-prepared.facts.virtual_size // (1 << 30)))
        cache_volume = admit(flow, entry, image, wanted, size)
        made = download.copy_in(flow, cache_volume, prepared)
        result |= {"volume": cache_volume.id, "size": size}
    publish(flow, cache_volume, image, made, verification.signed_hash)


def _entry_of(connection: Connection, flow: Flow) -> CacheEntry | None:
    """The entry that this flow fills."""
    entry = image_cache.find(connection, flow.backend.name, flow.arguments["image_id"])
    return entry if entry is not None and entry.operation_id == flow.id else None


def admit(flow: Flow, entry: CacheEntry, image: Image, wanted: Fill, size: int) -> Volume:
    """Room in the cache, and the cache volume's row; one that was begun before a crash is gone on with."""
    with flow.backend.database.begin() as connection:
        take_turn(connection)
        begun = volumes.find(connection, entry.volume_id)
        if begun is not None:
            return begun
        make_room(connection, flow, entry, size)
        image_cache.update(connection, entry.volume_id, size=size)
        draft = internal_volumes.draft(
            flow.backend.settings, entry.volume_id, image, wanted.volume_type_id, host=flow.backend.name, size=size
        )
        admitted, _ = admit_volume(
            connection, flow.backend.settings, draft, Wanted(size=size, backend=flow.backend.name)
        )
        outbox.volume_event(connection, "create.start", admitted, flow.id)
    return admitted


def publish(flow: Flow, cache_volume: Volume, image: Image, made: Made, signed_hash: str | None) -> None:
    """The last step of a fill: the entry is whole, in one transaction with the volume. Those who wait are woken."""
    now = clock.now()
    with flow.ending() as connection:
        take_turn(connection)
        changes = volumes.model_update_values(made.model_update)
        if signed_hash is not None:
            changes["admin_metadata"] = cache_volume.admin_metadata | {SIGNED_HASH: signed_hash}
        moves.move(connection, "volume", cache_volume.id, "create_done", launched_at=now, **changes)
        made_volume = msgspec.structs.replace(cache_volume, status="available", launched_at=now, **changes)
        outbox.volume_event(connection, "create.end", made_volume, flow.id)
        if made.adopted:
            adoption.request_settling(connection, flow, made_volume)
        version = {"image_updated_at": image.updated_at, "checksum": image.checksum}
        if not image_cache.update(connection, cache_volume.id, operation_id=None, last_used=now, **version):
            raise Cancelled("The cache entry was dropped while it was filled.")
        operations.wake_waiting(connection, flow.id)


def make_room(connection: Connection, flow: Flow, own: CacheEntry, size: int) -> None:
    """Evict what was unused for longest until the image fits the cache's limits. What is pinned, being filled or being
    cloned stays. Raises `CacheTooSmall`."""
    count, gigabytes = flow.backend.own.image_volume_cache_max_count, flow.backend.own.image_volume_cache_max_size_gb
    others = [one for one in image_cache.of_backend(connection, own.backend) if one.volume_id != own.volume_id]
    going = [one for one in others if _may_go(connection, one)]
    while (count and len(others) >= count) or (gigabytes and sum(one.size for one in others) + size > gigabytes):
        if not going:
            raise CacheTooSmall(f"the image's {size} GiB are more than the cache may hold")
        evict(connection, flow.backend.settings, going[0], flow.id)
        others.remove(going.pop(0))


def _may_go(connection: Connection, entry: CacheEntry) -> bool:
    return not (entry.pinned or entry.operation_id or image_cache.is_leased(connection, entry.volume_id))


def evict(connection: Connection, settings: Settings, entry: CacheEntry, operation_id: str | None) -> None:
    """Drop an entry and have its volume deleted, by a flow of its own so that a crash leaves neither without the other.

    Clones live on, as the driver contract promises; those being made are waited for. `operation_id` is what it is done
    for; None: for itself.
    """
    delete_id = str(uuid.uuid4())
    image_cache.remove(connection, entry.volume_id)
    if entry.operation_id is not None:
        return  # it never was whole; what was begun belongs to its fill
    outbox.image_cache_event(
        connection,
        "evict",
        entry.image_id,
        host=entry.backend,
        project_id=settings.cinder_internal_tenant_project_id,  # the image may be another project's
        operation_id=operation_id or delete_id,
    )
    internal_volumes.request_delete(connection, entry.volume_id, delete_id)


def stop_unwanted(connection: Connection, flow: Flow) -> None:
    """A create that waited for a fill ends before it: where nobody else wants that one either, it need not go on."""
    if flow.waited_for is None:
        return
    take_turn(connection)
    if operations.is_awaited(connection, flow.waited_for, but_for=flow.id):
        return
    fill = operations.get(connection, flow.waited_for)
    if fill is None or fill.kind != KIND:
        return
    pinned = any(entry.pinned for entry in image_cache.listed(connection, operation_id=flow.waited_for))
    if not pinned and asked_of(fill).by is not None:
        operations.request_cancel(connection, fill.id)


def asked_of(fill: Operation) -> Asked:
    """Who asked for a fill, and for what size."""
    return msgspec.convert(fill.answers[0].given, Asked)
