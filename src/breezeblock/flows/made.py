"""What a source or a rung answers."""

from typing import Any

import msgspec

from breezeblock.model.volume import ModelUpdate


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """The volume is on the storage, whole. What the row is to be changed by."""

    model_update: ModelUpdate = {}
    bootable: bool = False
    image_metadata: dict[str, str] = {}


class Declined(msgspec.Struct, frozen=True):
    """A rung did not make the volume, for this reason; the next one is tried. Nothing of it is left."""

    reason: str


def answer_of(kept: dict[str, Any]) -> Made | Declined:
    """The answer of a rung, from the plain JSON that a checkpoint kept; only a decline gives a reason."""
    return msgspec.convert(kept, Declined) if "reason" in kept else msgspec.convert(kept, Made)
