"""The protocol of a key store, and the names of keys."""

import uuid
from typing import Protocol

_NAMES = uuid.UUID("6f0c2a7e-4a86-4d0c-9a3e-8f4e2f5b6c11")


class KeyStore(Protocol):
    """Keeps one key for each encrypted volume and backup.

    A key has a name before it is there, so that a row can tell of it first and nothing is lost in a crash. A store that
    chooses ids by itself finds a key by its name as well. Every verb may be run twice. Raises `KeyManagerError`.
    """

    def make(self, name: str, length: int, reader: str) -> str:
        """The id of the key of this name, made of `length` random bytes where there is none; on stable storage.

        `reader` is the id of the user for whom a hypervisor gets it, in a store that tells users apart.
        """

    def copy(self, name: str, key_id: str, reader: str) -> str:
        """The id of the key of this name, where there is none made as a copy of another; on stable storage."""

    def give(self, key_id: str, reader: str) -> None:
        """Have this user read the key, in a store that tells users apart, and nobody who could before."""

    def get(self, key_id: str) -> bytes:
        """The key, by its id or name."""

    def certificate(self, certificate_id: str) -> bytes:
        """An X.509 certificate that images are signed by, PEM or DER; whoever signs them has put it there."""

    def delete(self, key_id: str) -> None:
        """Forget a key, by its id or name; gone is done."""


def name_for(resource_id: str) -> str:
    """The name of the key of a volume or backup."""
    return str(uuid.uuid5(_NAMES, resource_id))


def passphrase(key: bytes) -> str:
    """What opens the LUKS container: the key in hexadecimal, as Nova and os-brick make it."""
    return key.hex()
