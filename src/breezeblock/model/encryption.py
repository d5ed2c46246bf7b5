"""How the volumes of a type are encrypted."""

import msgspec


class TypeEncryption(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table `volume_type_encryptions`; the words are Cinder's."""

    volume_type_id: str
    encryption_id: str
    provider: str
    control_location: str
    """`front-end`: whoever opens the volume decrypts it; `back-end`: the storage does."""
    cipher: str | None = None
    """Such as aes-xts-plain64."""
    key_size: int | None = None
    """Bits."""
    created_at: str
    updated_at: str | None = None

    def is_like(self, other: "TypeEncryption | None") -> bool:
        """Whether volumes of both types are encrypted in the same way."""
        return other is not None and self._way == other._way

    @property
    def _way(self) -> tuple[object, ...]:
        return (self.provider, self.control_location, self.cipher, self.key_size)
