"""Bodies of the calls on the image-volume cache (ours)."""

from typing import TypedDict

import msgspec

from breezeblock.api.bodies import envelope
from breezeblock.api.schemas.fields import Flag, Words


class Prefetch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """POST /image-cache. The image's id or name; `backend` is `host@backend`."""

    image_id: Words
    backend: Words | None = None
    pinned: Flag | None = None


class Query(TypedDict, total=False):
    """GET /image-cache."""

    backend: str
    image_id: str


PREFETCH = envelope("prefetch", Prefetch)
