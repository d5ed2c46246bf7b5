"""What a source or a rung answers."""

from typing import Any

import msgspec

from breezeblock.model.volume import ModelUpdate


class Hydration(msgspec.Struct, frozen=True):
    """What comes after the volume is available: the rest of this image, in this version. `source_bytes` is its disk's size."""

    image_id: str
    version: str
    source_bytes: int


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """The volume is on the storage, whole or with a `hydration` to come. What the row is to be changed by."""

    model_update: ModelUpdate = {}
    bootable: bool = False
    image_metadata: dict[str, str] = {}
    hydration: Hydration | None = None
    adopted: bool = False
    """Whether it stands on the image's own file, which is still to be settled."""


class Declined(msgspec.Struct, frozen=True):
    """A rung did not make the volume, for this reason; the next one is tried. Nothing of it is left."""

    reason: str


def answer_of(kept: dict[str, Any]) -> Made | Declined:
    """The answer of a rung, from the plain JSON that a checkpoint kept; only a decline gives a reason."""
    return msgspec.convert(kept, Declined) if "reason" in kept else msgspec.convert(kept, Made)
