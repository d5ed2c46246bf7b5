"""Use cases of encryption: how a type encrypts (administrators), and whether a new volume is encrypted."""

import uuid
from typing import Any

from sqlalchemy.engine import Connection

from breezeblock.db import type_encryptions
from breezeblock.db.connect import Database
from breezeblock.encryption import cipher
from breezeblock.errors import InvalidInput, InvalidState, NotFound
from breezeblock.flows import encrypting
from breezeblock.model import clock
from breezeblock.model.encryption import TypeEncryption
from breezeblock.model.image import Image
from breezeblock.model.sources import FromImage, Raw
from breezeblock.model.volume_type import VolumeType
from breezeblock.services.sources import Source
from breezeblock.services.volume_types import check_unused, of_id


def create_encryption(database: Database, type_id: str, **values: Any) -> TypeEncryption:
    """Have a type encrypt the volumes made of it from now on.

    Raises `NotFound`, `InvalidState` while volumes have the type, `InvalidInput` where it does so already.
    """
    with database.begin() as connection:
        of_id(connection, type_id)
        check_unused(connection, type_id, "Cannot create encryption specs. Volume type in use.")
        if type_encryptions.find(connection, type_id) is not None:
            raise InvalidInput(f"Volume type encryption for type {type_id} already exists.")
        made = TypeEncryption(volume_type_id=type_id, encryption_id=str(uuid.uuid4()), created_at=clock.now(), **values)
        type_encryptions.insert(connection, made)
    return made


def update_encryption(database: Database, type_id: str, **values: Any) -> None:
    """Change how a type encrypts. Raises `NotFound`, `InvalidState` while volumes have the type."""
    with database.begin() as connection:
        of_id(connection, type_id)
        check_unused(connection, type_id, "Cannot update encryption specs. Volume type in use.")
        _get(connection, type_id)
        type_encryptions.update(connection, type_id, **values)


def delete_encryption(database: Database, type_id: str) -> None:
    """Have a type not encrypt any more. Raises `NotFound`, `InvalidState` while volumes have the type."""
    with database.begin() as connection:
        check_unused(connection, type_id, "Cannot delete encryption specs. Volume type in use.")
        _get(connection, type_id)
        type_encryptions.remove(connection, type_id)


def _get(connection: Connection, type_id: str) -> TypeEncryption:
    found = type_encryptions.find(connection, type_id)
    if found is None:
        raise NotFound(f"Volume type encryption for type {type_id} does not exist.")
    return found


def of_new_volume(
    connection: Connection, volume_type: VolumeType, source: Source, image: Image | None
) -> TypeEncryption | None:
    """How a new volume of this type and source is encrypted; None if it is not.

    What is encrypted stays so, in the same way, and what is not cannot become so by being cloned: as Cinder has it.
    Raises `InvalidInput`.
    """
    encryption = type_encryptions.find(connection, volume_type.id)
    if encryption is not None:
        cipher.check(encryption)
        if volume_type.wants("multiattach"):
            raise InvalidState("Invalid volume: Multiattach cannot be used with encrypted volumes.")
    if image is not None:
        check_image(connection, image, encrypted=encryption is not None)
    if isinstance(source.spec, Raw | FromImage):
        return encryption
    if (encryption is None) != (source.encryption_key_id is None):
        raise _incompatible(volume_type, "either both are encrypted or neither is")
    if encryption is not None and volume_type.id != source.type_id:
        of_source = type_encryptions.find(connection, source.type_id) if source.type_id is not None else None
        if not encryption.is_like(of_source):
            raise _incompatible(volume_type, "their types do not encrypt in the same way")
    return encryption


def check_image(connection: Connection, image: Image, *, encrypted: bool) -> None:
    """Raises `InvalidInput` for an encrypted image whose key is not known here, or whose volume would not be encrypted."""
    if encrypting.key_of_image(connection, image) is not None and not encrypted:
        raise InvalidInput(
            f"Invalid input received: Invalid volume_type provided: image {image.id} is encrypted, and the volume's type is "
            "not; ask for a type that encrypts."
        )


def _incompatible(volume_type: VolumeType, why: str) -> InvalidInput:
    return InvalidInput(
        f"Invalid input received: Invalid volume_type provided: {volume_type.id} (requested type is not compatible: the "
        f"source and the volume made of it differ, and {why}; match the source's type, or omit the type argument)."
    )
