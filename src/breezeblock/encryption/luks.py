"""The header of a LUKS1 container: made, and made anew under another key.

The format is that of the "LUKS1 On-Disk Format Specification" 1.2.3, as cryptsetup and QEMU read it. The header wraps
one random master key, which encrypts the sectors, in a key slot under the volume's passphrase. It says nothing of the
container's size. It is made here and not by `qemu-img create -f luks`, which takes seconds to measure how often a
passphrase has to be stretched: ours are as random as the master key, so stretching them adds nothing.
"""

import hashlib
import secrets
import struct
import uuid

import msgspec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from breezeblock.errors import DriverError

SECTOR = 512
HEADER_BYTES = 2 << 20
"""What the header takes of a volume's beginning, for every cipher here; cryptsetup's alignment."""
MAGIC = b"LUKS\xba\xbe"
CIPHER = ("aes", "xts-plain64", "sha256")
_HEAD = struct.Struct(">6sH32s32s32sII20s32sI40s")
_SLOT = struct.Struct(">II32sII")
_SLOTS = 8
_ACTIVE, _INACTIVE = 0x00AC71F3, 0x0000DEAD
_STRIPES = 4000
_FIRST_MATERIAL = 8
_ITERATIONS = 4096
_MOST_ITERATIONS = 10_000_000
"""A client may write what it likes where its volume's header is; this is some seconds of work."""


class _Slot(msgspec.Struct, frozen=True, array_like=True):
    active: int
    iterations: int
    salt: bytes
    sector: int
    stripes: int


class _Head(msgspec.Struct, frozen=True, array_like=True):
    magic: bytes
    version: int
    cipher: bytes
    mode: bytes
    digest: bytes
    payload_sector: int
    key_bytes: int
    key_digest: bytes
    key_salt: bytes
    key_iterations: int
    uuid: bytes


def make(passphrase: str, key_bytes: int) -> bytes:
    """The `HEADER_BYTES` that begin a new container, with a random master key of `key_bytes` bytes (32 or 64)."""
    return _seal(secrets.token_bytes(key_bytes), passphrase)


def rekeyed(header: bytes, old: str, new: str) -> bytes:
    """The header of a copy: the same master key, under the passphrase `new` alone, and with a UUID of its own.

    Raises `DriverError` where `header` is none of ours or `old` does not open it.
    """
    return _seal(unlock(header, old), new)


def unlock(header: bytes, passphrase: str) -> bytes:
    """The master key. Raises `DriverError` where `header` is none of ours or the passphrase does not open it."""
    if header[: len(MAGIC)] != MAGIC or len(header) < HEADER_BYTES:
        raise DriverError("The volume does not begin with a LUKS header.")
    head = _Head(*_HEAD.unpack_from(header))
    known = (head.version, head.payload_sector * SECTOR) == (1, HEADER_BYTES) and head.key_bytes in (32, 64)
    if not known or _names(head) != CIPHER or not 0 < head.key_iterations <= _MOST_ITERATIONS:
        raise DriverError("The volume's LUKS header was not made by this service; its key cannot be changed.")
    for number in range(_SLOTS):
        slot = _Slot(*_SLOT.unpack_from(header, _HEAD.size + number * _SLOT.size))
        start, length = slot.sector * SECTOR, head.key_bytes * _STRIPES
        if slot.active != _ACTIVE or slot.stripes != _STRIPES or start + length > HEADER_BYTES:
            continue
        if not 0 < slot.iterations <= _MOST_ITERATIONS:
            continue
        wrapping = _stretched(passphrase, slot.salt, slot.iterations, head.key_bytes)
        key = _merge(_crypt(wrapping, header[start : start + length], encrypt=False), head.key_bytes)
        if secrets.compare_digest(_stretched(key, head.key_salt, head.key_iterations, 20), head.key_digest):
            return key
    raise DriverError("The volume's key does not open its LUKS header.")


def _names(head: _Head) -> tuple[str, ...]:
    return tuple(name.rstrip(b"\0").decode("ascii", "replace") for name in (head.cipher, head.mode, head.digest))


def _seal(key: bytes, passphrase: str) -> bytes:
    """A header with one active slot; the other slots are empty."""
    header = bytearray(HEADER_BYTES)
    key_salt, salt = secrets.token_bytes(32), secrets.token_bytes(32)
    digest = _stretched(key, key_salt, _ITERATIONS, 20)
    cipher, mode, digest_name = (name.encode() for name in CIPHER)
    payload, name = HEADER_BYTES // SECTOR, str(uuid.uuid4()).encode()
    _HEAD.pack_into(
        header, 0, MAGIC, 1, cipher, mode, digest_name, payload, len(key), digest, key_salt, _ITERATIONS, name
    )
    each = -(-len(key) * _STRIPES // 4096) * 4096 // SECTOR
    for number in range(_SLOTS):
        state = (_INACTIVE, 0, bytes(32)) if number else (_ACTIVE, _ITERATIONS, salt)
        sector = _FIRST_MATERIAL + number * each
        _SLOT.pack_into(header, _HEAD.size + number * _SLOT.size, *state, sector, _STRIPES)
    material = _crypt(_stretched(passphrase, salt, _ITERATIONS, len(key)), _split(key), encrypt=True)
    start = _FIRST_MATERIAL * SECTOR
    header[start : start + len(material)] = material
    return bytes(header)


def _stretched(secret: str | bytes, salt: bytes, iterations: int, length: int) -> bytes:
    data = secret.encode() if isinstance(secret, str) else secret
    return hashlib.pbkdf2_hmac("sha256", data, salt, iterations, length)


def _crypt(key: bytes, data: bytes, *, encrypt: bool) -> bytes:
    """AES-XTS, sector by sector, numbered from 0 (plain64)."""
    algorithm, done = algorithms.AES(key), []
    for number, start in enumerate(range(0, len(data), SECTOR)):
        cipher = Cipher(algorithm, modes.XTS(number.to_bytes(16, "little")))
        context = cipher.encryptor() if encrypt else cipher.decryptor()
        done.append(context.update(data[start : start + SECTOR]))
    return b"".join(done)


def _split(key: bytes) -> bytes:
    """The key spread over all stripes, so that it is lost when any of them is (anti-forensic splitter)."""
    stripes = [secrets.token_bytes(len(key)) for _ in range(_STRIPES - 1)]
    return b"".join([*stripes, _xor(_gathered(stripes, len(key)), key)])


def _merge(material: bytes, length: int) -> bytes:
    stripes = [material[start : start + length] for start in range(0, length * (_STRIPES - 1), length)]
    return _xor(_gathered(stripes, length), material[length * (_STRIPES - 1) :][:length])


def _gathered(stripes: list[bytes], length: int) -> bytes:
    gathered = bytes(length)
    for stripe in stripes:
        gathered = _diffused(_xor(gathered, stripe))
    return gathered


def _diffused(block: bytes) -> bytes:
    parts = [block[start : start + 32] for start in range(0, len(block), 32)]
    hashes = [hashlib.sha256(number.to_bytes(4, "big") + part).digest() for number, part in enumerate(parts)]
    return b"".join(digest[: len(part)] for digest, part in zip(hashes, parts, strict=True))


def _xor(one: bytes, other: bytes) -> bytes:
    return (int.from_bytes(one) ^ int.from_bytes(other)).to_bytes(len(one))
