"""A volume that is encrypted otherwise from now on: its new key, and what turns its content from one way to the other."""

import uuid

import msgspec

from breezeblock.drivers.contract import BlockSource, BlockTarget, Fill
from breezeblock.encryption import cipher, luks
from breezeblock.encryption.held_header import HeldHeader
from breezeblock.encryption.layer import decrypting
from breezeblock.flows import encrypting
from breezeblock.flows.copy_content import filling_from
from breezeblock.flows.engine import Flow
from breezeblock.keys.store import name_for
from breezeblock.model.encryption import TypeEncryption
from breezeblock.model.volume import Volume


def differs(was: TypeEncryption | None, now: TypeEncryption | None) -> bool:
    """Whether volumes of two types are encrypted in different ways, or of one alone."""
    return (was is None) != (now is None) or (was is not None and not was.is_like(now))


def growth(was: TypeEncryption | None, now: TypeEncryption | None) -> int:
    """GiB that a volume grows by: where it becomes a container, the header needs room that its content must not lose."""
    return int(was is None and now is not None)


def moment_id_of(flow_id: str) -> str:
    """The id of the passing snapshot of a volume that is made anew where it lies; its new key is named for that, too."""
    return str(uuid.uuid5(uuid.UUID(flow_id), "moment"))


def key_name_of(flow: Flow) -> str:
    """The name of the new key."""
    return name_for(moment_id_of(flow.id))


def with_new_key(flow: Flow, there: Volume) -> Volume:
    """The volume as it will be, its new key made, where it is encrypted under one."""
    return encrypting.with_key_named(flow, there, key_name_of(flow)) if there.encryption_key_id is not None else there


def filling(flow: Flow, source: BlockSource, here: Volume, there: Volume) -> Fill:
    """Writes what the volume `here` holds (`source`), encrypted as the volume `there` is to be."""
    if here.encryption_key_id == there.encryption_key_id:
        return filling_from(flow, source)
    if here.encryption_key_id is None:
        return encrypting.inside(flow, there, filling_from(flow, source), source.size)
    secret = encrypting.passphrase_of(flow, here.encryption_key_id)
    if there.encryption_key_id is not None:
        wanted = cipher.master_bytes(encrypting.encryption_of(flow, there))
        if len(luks.unlock(source.pread(luks.HEADER_BYTES, 0), secret)) == wanted:
            return _rekeying(flow, source, here, there)

    def decrypted(target: BlockTarget) -> None:
        with decrypting(source, secret) as plain:
            fill = filling_from(flow, plain)
            if there.encryption_key_id is not None:
                fill = encrypting.inside(flow, there, fill, plain.size)
            fill(target)

    return decrypted


def _rekeying(flow: Flow, source: BlockSource, here: Volume, there: Volume) -> Fill:
    """The sectors as they are, under a header of the new key."""
    rewrite = encrypting.rekeying(flow, there, here.encryption_key_id)
    assert rewrite is not None

    def fill(target: BlockTarget) -> None:
        held = HeldHeader(target)
        filling_from(flow, source)(held)
        held.finish(rewrite)

    return fill


def as_it_will_be(flow: Flow, volume: Volume, changes: dict[str, object]) -> Volume:
    """The volume with those of the `changes` that tell how it is made."""
    known = ("volume_type_id", "size", "admin_metadata", "encryption_key_id")
    there = msgspec.structs.replace(volume, **{name: changes[name] for name in known if name in changes})
    return with_new_key(flow, there) if "encryption_key_id" in changes else there
