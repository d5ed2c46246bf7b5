"""What a flow does where a volume is encrypted: its key, made before anything is written under it and forgotten after
that is gone, and its container. Each function leaves a plain volume as it is."""

from collections.abc import Iterator

import msgspec
from sqlalchemy.engine import Connection

from breezeblock import killpoints
from breezeblock.db import backups, image_keys, type_encryptions, volumes
from breezeblock.drivers.contract import BlockTarget, Fill, Rewrite
from breezeblock.encryption import cipher, luks
from breezeblock.encryption.held_header import HeldHeader
from breezeblock.encryption.layer import encrypting
from breezeblock.errors import ImageUnacceptable, InvalidInput, KeyManagerError
from breezeblock.flows.engine import Flow
from breezeblock.keys.store import name_for, passphrase
from breezeblock.model.backup import Backup
from breezeblock.model.encryption import TypeEncryption
from breezeblock.model.image import KEY_ID, KEY_POLICY, WITH_IMAGE, Image
from breezeblock.model.volume import Volume


def with_key(flow: Flow, volume: Volume) -> Volume:
    """The volume, with its key there. A store that chooses ids by itself tells the id only now."""
    if volume.encryption_key_id is None:
        return volume
    made = with_key_named(flow, volume, name_for(volume.id))
    if made.encryption_key_id != volume.encryption_key_id:
        with flow.saving() as connection:
            volumes.update(connection, volume.id, encryption_key_id=made.encryption_key_id)
    return made


def with_key_named(flow: Flow, volume: Volume, name: str) -> Volume:
    """The volume under the key of that name, which is there then. Its row does not tell."""
    encryption = encryption_of(flow, volume)
    killpoints.reached("before_make_key")
    key_id = flow.backend.keys.make(name, cipher.key_bytes(encryption), volume.user_id)
    killpoints.reached("after_make_key")
    if not flow.resumed:
        with flow.explained("encryption", cipher=encryption.cipher, key_size=encryption.key_size) as result:
            result["encryption_key_id"] = key_id
    return msgspec.structs.replace(volume, encryption_key_id=key_id)


def forget_key(flow: Flow, key_id: str | None) -> None:
    """Have nobody open any more what was encrypted under this key; gone is done."""
    if key_id is not None:
        killpoints.reached("before_delete_key")
        flow.backend.keys.delete(key_id)
        killpoints.reached("after_delete_key")


def copy_key(flow: Flow, backup: Backup, volume: Volume) -> None:
    """Keep the volume's key for its backup, which outlives the volume."""
    if backup.encryption_key_id is not None and volume.encryption_key_id is not None:
        _copy(flow, backup, volume.encryption_key_id)


def _copy(flow: Flow, backup: Backup, of: str) -> None:
    killpoints.reached("before_copy_key")
    key_id = flow.backend.keys.copy(name_for(backup.id), of, backup.user_id)
    killpoints.reached("after_copy_key")
    if key_id != backup.encryption_key_id:
        with flow.saving() as connection:
            backups.update(connection, backup.id, encryption_key_id=key_id)


def give_image_key(flow: Flow, volume: Volume, image_id: str) -> None:
    """Keep the volume's key for the image that is made of it, and have the image tell which that is."""
    if volume.encryption_key_id is None:
        return
    killpoints.reached("before_copy_key")
    key_id = flow.backend.keys.copy(name_for(image_id), volume.encryption_key_id, flow.context.user_id)
    killpoints.reached("after_copy_key")
    with flow.saving() as connection:
        image_keys.update(connection, image_id, key_id)
    killpoints.reached("before_describe")
    flow.backend.images.describe(image_id, {KEY_ID: key_id, KEY_POLICY: WITH_IMAGE})
    killpoints.reached("after_describe")


def copy_imported_key(flow: Flow, backup: Backup, key_id: str | None) -> None:
    """Keep the key that a record tells of for the backup that is made of it. Raises `KeyManagerError` if it is gone."""
    if backup.encryption_key_id is not None and key_id is not None:
        _copy(flow, backup, key_id)


def key_of_image(connection: Connection, image: Image) -> str | None:
    """The key of an image that is a LUKS container; None of one that does not say that it is.

    The service reads any key, and properties are its user's to write: so only what this service noted itself counts.
    Raises `InvalidInput` for an image that names another key, or is not raw.
    """
    if image.encryption_key_id is None:
        return None
    noted = image_keys.find(connection, image.id)
    if noted is None or noted.encryption_key_id != image.encryption_key_id:
        raise InvalidInput(
            f"Invalid image: Image {image.id} is encrypted under a key that this service did not make for it; no volume "
            "can be made of it here."
        )
    if image.disk_format != "raw":
        raise InvalidInput(f"Invalid image: Image {image.id} is encrypted and has to be raw, not {image.disk_format}.")
    return noted.encryption_key_id


def filling(flow: Flow, volume: Volume, image: Image, fill: Fill, end: int) -> Fill:
    """As `inside`, for the content of an image; one that is a container itself is put under the volume's key.

    Raises as `key_of_image`, and `ImageUnacceptable` where the volume is not encrypted or in another way.
    """
    with flow.backend.database.read() as connection:
        key_id = key_of_image(connection, image)
    if key_id is None:
        return inside(flow, volume, fill, end)
    rewrite = rekeying(flow, volume, key_id)
    if rewrite is None:
        raise ImageUnacceptable(f"The image {image.id} is encrypted, and the volume is not.")
    old, wanted = passphrase_of(flow, key_id), cipher.master_bytes(encryption_of(flow, volume))

    def rekeyed(header: bytes) -> bytes:
        if len(luks.unlock(header, old)) != wanted:
            raise ImageUnacceptable("The image is not encrypted in the way of the volume's type.")
        return rewrite(header)

    def copied(target: BlockTarget) -> None:
        held = HeldHeader(target)
        fill(held)
        held.finish(rekeyed)

    return copied


def make_container(flow: Flow, volume: Volume) -> None:
    """Turn an empty volume into an empty container. What is inside reads as noise until it is written."""
    if volume.encryption_key_id is None:
        return
    header = _new_header(flow, volume)
    flow.driver.copy_image_to_volume(volume, f"luks:{volume.id}", lambda target: target.pwrite(header, 0))


def inside(flow: Flow, volume: Volume, fill: Fill, end: int) -> Fill:
    """The fill that does what `fill` does inside the volume's container, where it reads as zeros up to the byte `end`."""
    if volume.encryption_key_id is None:
        return fill
    header, secret = _new_header(flow, volume), passphrase_of(flow, volume.encryption_key_id)

    def wait(size: int) -> None:
        flow.look()
        if flow.backend.pace is not None:
            flow.pace(size)

    def encrypted(target: BlockTarget) -> None:
        with encrypting(target, header, secret) as target_inside:
            fill(target_inside)
            target_inside.finish(end, wait)

    return encrypted


def rewriting(flow: Flow, volume: Volume, source_key_id: str | None) -> dict[str, Rewrite]:
    """The arguments by which a driver puts a copy of what is encrypted under another key under the volume's own."""
    rewrite = rekeying(flow, volume, source_key_id)
    return {} if rewrite is None else {"rewrite": rewrite}


def rekeying(flow: Flow, volume: Volume, source_key_id: str | None) -> Rewrite | None:
    """Puts a header under the volume's own key."""
    if volume.encryption_key_id is None or source_key_id is None:
        return None
    old, new = passphrase_of(flow, source_key_id), passphrase_of(flow, volume.encryption_key_id)
    return lambda header: luks.rekeyed(header, old, new)


def rewritten(pieces: Iterator[tuple[int, bytes]], rewrite: Rewrite | None) -> Iterator[tuple[int, bytes]]:
    """Pieces `(offset, bytes)` of a container in their order, its header rewritten."""
    if rewrite is None:
        yield from pieces
        return
    header = bytearray(luks.HEADER_BYTES)
    rest: tuple[int, bytes] | None = None
    for offset, content in pieces:
        kept = content[: max(0, luks.HEADER_BYTES - offset)]
        header[offset : offset + len(kept)] = kept
        if len(kept) < len(content):
            rest = (offset + len(kept), content[len(kept) :])
            break
    yield 0, rewrite(bytes(header))
    if rest is not None:
        yield rest
    yield from pieces


def _new_header(flow: Flow, volume: Volume) -> bytes:
    master_bytes = cipher.master_bytes(encryption_of(flow, volume))
    return luks.make(passphrase_of(flow, str(volume.encryption_key_id)), master_bytes)


def passphrase_of(flow: Flow, key_id: str) -> str:
    """What opens a container of this key. Raises `KeyManagerError`."""
    return passphrase(flow.backend.keys.get(key_id))


def encryption_of(flow: Flow, volume: Volume) -> TypeEncryption:
    """How the volume's type encrypts. Raises `KeyManagerError` where it does not any more."""
    with flow.backend.database.read() as connection:
        found = type_encryptions.find(connection, volume.volume_type_id or "")
    if found is None:
        raise KeyManagerError(f"The type of volume {volume.id} does not say any more how it is encrypted.")
    return found
