"""Bodies of the calls on how a type encrypts (Cinder: `api/schemas/volume_type_encryption.py`)."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from breezeblock.api.bodies import envelope
from breezeblock.api.schemas.fields import MAX_INT, Text
from breezeblock.errors import InvalidInput

Location = Literal["front-end", "back-end"]
KeySize = Annotated[int, Meta(ge=0, le=MAX_INT)] | Text


class EncryptionCreate(msgspec.Struct, frozen=True, kw_only=True):
    """POST /types/{id}/encryption. Keys beyond these are let pass and mean nothing."""

    provider: Text
    control_location: Location
    cipher: Text | None = None
    key_size: KeySize | None = None


class EncryptionUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """PUT /types/{id}/encryption/{encryption_id}."""

    provider: Text | msgspec.UnsetType = msgspec.UNSET
    control_location: Location | msgspec.UnsetType = msgspec.UNSET
    cipher: Text | msgspec.UnsetType | None = msgspec.UNSET
    key_size: KeySize | msgspec.UnsetType | None = msgspec.UNSET


CREATE = envelope("encryption", EncryptionCreate)
UPDATE = envelope("encryption", EncryptionUpdate)


def bits(value: int | str | None) -> int | None:
    """A key size, also as text. Raises `InvalidInput`."""
    if value is None or isinstance(value, int):
        return value
    if not value.isdecimal() or int(value) > MAX_INT:
        raise InvalidInput(f"Invalid input for field/attribute key_size. Value: {value}. It is not a number of bits.")
    return int(value)
