"""What a source or a rung answers."""

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
