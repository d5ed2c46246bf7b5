"""Use cases of the image-volume cache (ours): what is in it, fetch ahead, pin, evict."""

from sqlalchemy.engine import Connection

from breezeblock.config import Settings
from breezeblock.context import RequestContext
from breezeblock.db import image_cache, pools
from breezeblock.db.connect import Database
from breezeblock.db.image_cache import CacheEntry
from breezeblock.errors import Conflict, InvalidInput
from breezeblock.flows.image_cache import Fill, evict, fresh_volume, is_being_filled, request_fill
from breezeblock.flows.internal_volumes import has_tenant
from breezeblock.images.catalog import ImageCatalog
from breezeblock.scheduling.admission import take_turn
from breezeblock.services import sources

LARGEST_GIB = 16384
"""How large a volume an image may become that is fetched for nobody in particular, without per_volume_size_limit."""


def prefetch(
    database: Database,
    settings: Settings,
    catalog: ImageCatalog,
    context: RequestContext,
    image_ref: str,
    *,
    backend: str | None = None,
    pinned: bool = False,
) -> CacheEntry:
    """Have an image (id or name) cached before anybody asks for a volume of it; the entry, whole or being filled.

    `backend` (`host@backend`) may be left out where there is only one. Raises `InvalidInput`, `Conflict`.
    """
    if not has_tenant(settings):
        raise InvalidInput("The cache has no owner: set cinder_internal_tenant_project_id and _user_id.")
    image = sources.find_image(catalog, context, image_ref)
    limit = settings.per_volume_size_limit
    wanted = Fill(image_id=image.id, size=limit if limit > 0 else LARGEST_GIB, project_id=context.project_id)
    with database.begin() as connection:
        take_turn(connection)
        chosen = _backend(connection, settings, backend)
        entry = image_cache.find(connection, chosen, image.id)
        if entry is not None and (fresh_volume(connection, entry, image) or is_being_filled(connection, entry)):
            if pinned:
                image_cache.update(connection, entry.volume_id, pinned=True)
        else:
            entry = request_fill(connection, settings, context, chosen, image, wanted, pinned=pinned)
        return image_cache.get(connection, entry.volume_id)


def _backend(connection: Connection, settings: Settings, wanted: str | None) -> str:
    """The backend that is meant. Raises `InvalidInput` where that is not clear, or where it has no cache."""
    known = sorted({pool.backend for pool in pools.all_pools(connection)})
    off = {own.backend for own in settings.backends if not own.image_volume_cache_enabled}
    if wanted is None:
        cached = [one for one in known if one not in off]
        if len(cached) != 1:
            raise InvalidInput(f"Name the backend; those with a cache are: {', '.join(cached) or 'none'}.")
        return cached[0]
    if wanted not in known:
        raise InvalidInput(f"There is no backend {wanted}; there are: {', '.join(known) or 'none'}.")
    if wanted in off:
        raise InvalidInput(f"image_volume_cache_enabled is off for backend {wanted}.")
    return wanted


def pin(database: Database, entry_id: str, *, pinned: bool) -> None:
    """Keep an entry whatever the cache's limits say, or no longer. Raises `NotFound`."""
    with database.begin() as connection:
        take_turn(connection)
        image_cache.get(connection, entry_id)
        image_cache.update(connection, entry_id, pinned=pinned)


def evict_entry(database: Database, settings: Settings, entry_id: str) -> None:
    """Drop an entry and its volume; volumes made of it live on. Raises `NotFound`, and `Conflict` for one that is pinned
    or being filled."""
    with database.begin() as connection:
        take_turn(connection)
        entry = image_cache.get(connection, entry_id)
        if entry.pinned:
            raise Conflict(f"Image cache entry {entry_id} is pinned; unpin it first.")
        if is_being_filled(connection, entry):
            raise Conflict(
                f"Image cache entry {entry_id} is being filled; cancel operation {entry.operation_id} instead."
            )
        evict(connection, settings, entry, None)
