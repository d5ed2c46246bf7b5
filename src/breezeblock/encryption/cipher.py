"""What a type's encryption means here, and whether it can be had."""

from breezeblock.errors import InvalidInput
from breezeblock.model.encryption import TypeEncryption

PROVIDERS = frozenset(
    {
        "luks",
        "LuksEncryptor",
        "nova.volume.encryptors.luks.LuksEncryptor",
        "os_brick.encryptors.luks.LuksEncryptor",
    }
)
"""The names that LUKS has had (os-brick: `LEGACY_PROVIDER_CLASS_TO_FORMAT_MAP`)."""

MASTER_BYTES = {128: 32, 256: 64, 512: 64}
"""Bytes of the master key by a type's `key_size` in bits. As where Cinder lets QEMU make the container, 256 is AES-256,
which XTS needs two keys for; 512 is those two together, as cryptsetup counts."""


def check(encryption: TypeEncryption) -> None:
    """Raises `InvalidInput` where volumes cannot be encrypted in this way."""
    if encryption.provider not in PROVIDERS:
        raise _refused(encryption, f"the provider {encryption.provider} is not supported; luks is")
    if encryption.control_location != "front-end":
        raise _refused(encryption, f"the control location {encryption.control_location} is not supported; front-end is")
    if encryption.cipher != "aes-xts-plain64":
        raise _refused(encryption, f"the cipher {encryption.cipher} is not supported; aes-xts-plain64 is")
    if encryption.key_size not in MASTER_BYTES:
        sizes = ", ".join(str(bits) for bits in MASTER_BYTES)
        raise _refused(encryption, f"the key size {encryption.key_size} is not supported; {sizes} are")


def key_bytes(encryption: TypeEncryption) -> int:
    """Bytes of the key that the passphrase is made of."""
    return (encryption.key_size or 0) // 8


def master_bytes(encryption: TypeEncryption) -> int:
    """Bytes of the key that the sectors are encrypted with."""
    return MASTER_BYTES[encryption.key_size or 0]


def _refused(encryption: TypeEncryption, why: str) -> InvalidInput:
    return InvalidInput(f"Invalid volume_type: Invalid encryption spec of type {encryption.volume_type_id}: {why}.")
