"""Calls on how types encrypt, and how a volume is encrypted."""

from typing import Any, NotRequired, TypedDict

import msgspec
import sqlalchemy as sa

from breezeblock.api import listing
from breezeblock.api.call import Call, Reply
from breezeblock.api.handlers.volumes import LISTING
from breezeblock.api.schemas.encryption import EncryptionCreate, EncryptionUpdate, bits
from breezeblock.api.shapes import Time
from breezeblock.db import tables, type_encryptions, volume_types
from breezeblock.errors import NotFound
from breezeblock.services import encryption as services

BARE = "text/plain; charset=UTF-8"
"""What a bare value comes as."""

_SPECS = ("control_location", "cipher", "key_size", "provider")


class EncryptionFields(TypedDict):
    """How volumes of a type are encrypted."""

    provider: str
    control_location: str
    cipher: str | None
    key_size: int | None


class NewEncryption(EncryptionFields):
    """How volumes of a type are encrypted from now on."""

    volume_type_id: str
    encryption_id: str


class CreatedEncryption(TypedDict):
    """The encryption of a type that was made."""

    encryption: NewEncryption


class TypeEncryptionShown(TypedDict, total=False):
    """The encryption of a type; empty where it has none."""

    volume_type_id: str
    encryption_id: str
    provider: str
    control_location: str
    cipher: str | None
    key_size: int | None
    created_at: Time
    updated_at: Time | None
    deleted: bool
    deleted_at: None


class ChangedEncryption(TypedDict):
    """What was changed of the encryption of a type."""

    encryption: TypeEncryptionShown


class VolumeEncryption(TypedDict):
    """How a volume is opened."""

    encryption_key_id: str | None
    provider: NotRequired[str]
    control_location: NotRequired[str]
    cipher: NotRequired[str | None]
    key_size: NotRequired[int | None]


def create(call: Call) -> CreatedEncryption:
    """POST /types/{id}/encryption."""
    body: EncryptionCreate = call.body.content
    values: EncryptionFields = {
        "provider": body.provider,
        "control_location": body.control_location,
        "cipher": body.cipher,
        "key_size": bits(body.key_size),
    }
    made = services.create_encryption(call.database, call.id, **values)
    return {"encryption": {**values, "volume_type_id": made.volume_type_id, "encryption_id": made.encryption_id}}


def show(call: Call) -> TypeEncryptionShown:
    """GET /types/{id}/encryption: an empty object where the type does not encrypt."""
    return _of_type(call)


def show_one(call: Call) -> dict[str, Any]:
    """GET /types/{id}/encryption/{key}."""
    shown, key = dict(_of_type(call)), call.path["key"]
    if key not in shown:
        raise NotFound(f"Volume type encryption for type {call.id} does not exist.")
    return {key: shown[key]}


def update(call: Call) -> ChangedEncryption:
    """PUT /types/{id}/encryption/{encryption_id}; the type has but one, whatever the path says, as with Cinder."""
    body: EncryptionUpdate = call.body.content
    values: TypeEncryptionShown = msgspec.to_builtins(body)  # without what is not set
    if "key_size" in values:
        values["key_size"] = bits(values["key_size"])
    services.update_encryption(call.database, call.id, **values)
    return {"encryption": values}


def delete(call: Call) -> None:
    """DELETE /types/{id}/encryption/{encryption_id}."""
    services.delete_encryption(call.database, call.id)


def of_volume(call: Call) -> VolumeEncryption:
    """GET /volumes/{id}/encryption: what Nova opens it by; the key itself is with the key manager."""
    return _of_volume(call)


def one_of_volume(call: Call) -> Reply[bytes]:
    """GET /volumes/{id}/encryption/{key}: the bare value."""
    value = dict(_of_volume(call)).get(call.path["key"])
    if value is None:
        raise NotFound(f"Volume {call.id} has no encryption metadata {call.path['key']}.")
    return Reply(content=str(value).encode())


def _of_type(call: Call) -> TypeEncryptionShown:
    with call.database.read() as connection:
        if volume_types.get(connection, call.id).id != call.id:
            raise NotFound(f"Volume type {call.id} could not be found.")
        found = type_encryptions.find(connection, call.id)
    if found is None:
        return {}
    return {
        "volume_type_id": found.volume_type_id,
        "encryption_id": found.encryption_id,
        "provider": found.provider,
        "control_location": found.control_location,
        "cipher": found.cipher,
        "key_size": found.key_size,
        "created_at": found.created_at,
        "updated_at": found.updated_at,
        "deleted": False,
        "deleted_at": None,
    }


def _of_volume(call: Call) -> VolumeEncryption:
    volumes, specs = tables.volumes, tables.volume_type_encryptions
    with call.database.read() as connection:
        columns = (volumes.c.encryption_key_id, volumes.c.volume_type_id)
        key_id, type_id = listing.one(call, connection, LISTING, columns, call.id)
        query = sa.select(*(specs.c[name] for name in _SPECS)).where(specs.c.volume_type_id == type_id)
        found = connection.execute(query).first()
    if found is None:
        return {"encryption_key_id": key_id}
    return {
        "encryption_key_id": key_id,
        "control_location": found.control_location,
        "cipher": found.cipher,
        "key_size": found.key_size,
        "provider": found.provider,
    }
