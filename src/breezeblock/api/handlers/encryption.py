"""Calls on how types encrypt, and how a volume is encrypted."""

from typing import Any

import msgspec
import sqlalchemy as sa

from breezeblock.api import listing
from breezeblock.api.call import Call, Reply
from breezeblock.api.handlers.volumes import LISTING
from breezeblock.api.schemas.encryption import EncryptionCreate, EncryptionUpdate, bits
from breezeblock.db import tables, type_encryptions, volume_types
from breezeblock.errors import NotFound
from breezeblock.services import encryption as services

_SPECS = ("control_location", "cipher", "key_size", "provider")


def create(call: Call) -> Any:
    """POST /types/{id}/encryption."""
    body: EncryptionCreate = call.body.content
    values = msgspec.structs.asdict(body) | {"key_size": bits(body.key_size)}
    made = services.create_encryption(call.database, call.id, **values)
    return {"encryption": values | {"volume_type_id": made.volume_type_id, "encryption_id": made.encryption_id}}


def show(call: Call) -> Any:
    """GET /types/{id}/encryption: an empty object where the type does not encrypt."""
    return _of_type(call)


def show_one(call: Call) -> Any:
    """GET /types/{id}/encryption/{key}."""
    shown, key = _of_type(call), call.path["key"]
    if key not in shown:
        raise NotFound(f"Volume type encryption for type {call.id} does not exist.")
    return {key: shown[key]}


def update(call: Call) -> Any:
    """PUT /types/{id}/encryption/{encryption_id}; the type has but one, whatever the path says, as with Cinder."""
    body: EncryptionUpdate = call.body.content
    values: dict[str, Any] = msgspec.to_builtins(body)  # without what is not set
    if "key_size" in values:
        values["key_size"] = bits(values["key_size"])
    services.update_encryption(call.database, call.id, **values)
    return {"encryption": values}


def delete(call: Call) -> None:
    """DELETE /types/{id}/encryption/{encryption_id}."""
    services.delete_encryption(call.database, call.id)


def of_volume(call: Call) -> Any:
    """GET /volumes/{id}/encryption: what Nova opens it by; the key itself is with the key manager."""
    return _of_volume(call)


def one_of_volume(call: Call) -> Any:
    """GET /volumes/{id}/encryption/{key}: the bare value."""
    value = _of_volume(call).get(call.path["key"])
    if value is None:
        raise NotFound(f"Volume {call.id} has no encryption metadata {call.path['key']}.")
    return Reply(content=str(value).encode(), media_type="text/plain; charset=UTF-8")


def _of_type(call: Call) -> dict[str, Any]:
    with call.database.read() as connection:
        if volume_types.get(connection, call.id).id != call.id:
            raise NotFound(f"Volume type {call.id} could not be found.")
        found = type_encryptions.find(connection, call.id)
    if found is None:
        return {}
    return {**msgspec.structs.asdict(found), "deleted": False, "deleted_at": None}


def _of_volume(call: Call) -> dict[str, Any]:
    volumes, specs = tables.volumes, tables.volume_type_encryptions
    with call.database.read() as connection:
        columns = (volumes.c.encryption_key_id, volumes.c.volume_type_id)
        key_id, type_id = listing.one(call, connection, LISTING, columns, call.id)
        query = sa.select(*(specs.c[name] for name in _SPECS)).where(specs.c.volume_type_id == type_id)
        found = connection.execute(query).first()
    return {"encryption_key_id": key_id, **(found._mapping if found is not None else {})}
