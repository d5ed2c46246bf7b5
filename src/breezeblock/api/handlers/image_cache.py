"""Calls on the image-volume cache (ours), for administrators."""

from sqlalchemy.engine import Connection

from breezeblock.api.call import Call
from breezeblock.api.schemas.fields import flag
from breezeblock.api.schemas.image_cache import Prefetch
from breezeblock.api.views.image_cache import CacheEntries, CacheEntryShown, OneCacheEntry, shown
from breezeblock.db import image_cache, operations
from breezeblock.db.image_cache import CacheEntry
from breezeblock.errors import InvalidInput
from breezeblock.services import image_cache as services

FILTERS = frozenset({"backend", "image_id"})


def index(call: Call) -> CacheEntries:
    """GET /image-cache[?backend=…&image_id=…]: all entries, by backend and image."""
    if unknown := call.query.keys() - FILTERS:
        raise InvalidInput(f"Invalid filters {','.join(sorted(unknown))} are found in query options.")
    with call.database.read() as connection:
        return {"image_cache": _shown(connection, image_cache.listed(connection, **call.query))}


def show(call: Call) -> OneCacheEntry:
    """GET /image-cache/{id}."""
    return {"image_cache_entry": _entry(call, call.id)}


def prefetch(call: Call) -> OneCacheEntry:
    """POST /image-cache {"prefetch": {"image_id": …}}: 202 with the entry; its operation tells how far it is."""
    body: Prefetch = call.body.content
    entry = services.prefetch(
        call.database,
        call.settings,
        call.catalog,
        call.context,
        body.image_id,
        backend=body.backend,
        pinned=flag(body.pinned, "pinned"),
    )
    return {"image_cache_entry": _entry(call, entry.volume_id)}


def pin(call: Call) -> None:
    """POST /image-cache/{id}/action {"pin": null}: it stays, whatever the limits of the cache say."""
    services.pin(call.database, call.id, pinned=True)


def unpin(call: Call) -> None:
    """POST /image-cache/{id}/action {"unpin": null}."""
    services.pin(call.database, call.id, pinned=False)


def evict(call: Call) -> None:
    """DELETE /image-cache/{id}: 409 for one that is pinned or being filled."""
    services.evict_entry(call.database, call.settings, call.id)


def _entry(call: Call, entry_id: str) -> CacheEntryShown:
    with call.database.read() as connection:
        return _shown(connection, [image_cache.get(connection, entry_id)])[0]


def _shown(connection: Connection, entries: list[CacheEntry]) -> list[CacheEntryShown]:
    fills = operations.by_id(connection, {one.operation_id for one in entries if one.operation_id is not None})
    names = image_cache.image_names(connection, [one.volume_id for one in entries])
    return [shown(one, names.get(one.volume_id), fills.get(one.operation_id or "")) for one in entries]
