"""Hashes whose state can be written down and taken up again by another process.

A download that was cut off goes on where it was, and its checksum covers the bytes from the first one on. `hashlib`
keeps its state to itself; libcrypto's own contexts are plain memory. `hashlib` uses the same library, so the speed is
the same, and ctypes too sets the interpreter free while it hashes.
"""

import ctypes
import functools
import hashlib
from typing import Protocol

_CONTEXT_BYTES = 256
_NAMES = {
    "md5": ("MD5", 16),
    "sha1": ("SHA1", 20),
    "sha224": ("SHA224", 28),
    "sha256": ("SHA256", 32),
    "sha384": ("SHA384", 48),
    "sha512": ("SHA512", 64),
}
"""Algorithm -> (its name in libcrypto, bytes of its result)."""


class Digest(Protocol):
    """A hash that is being computed."""

    name: str

    def update(self, data: bytes) -> None:
        """Hash some more bytes."""

    def hexdigest(self) -> str:
        """The result so far, as hex digits."""

    def state(self) -> bytes | None:
        """What `new_digest` goes on from, or None where this algorithm does not tell."""


def new_digest(algorithm: str, state: bytes | None = None) -> Digest:
    """A hash by hashlib's name of it, begun anew or taken up from `state`.

    Raises:
        ValueError: the algorithm is unknown, or cannot be taken up.
    """
    if algorithm in _NAMES and _libcrypto() is not None:
        return _KeptDigest(algorithm, state)
    if state is not None:
        raise ValueError(f"a {algorithm} cannot be taken up")
    return _PlainDigest(algorithm)


class _PlainDigest:
    def __init__(self, algorithm: str) -> None:
        self.name = algorithm
        self._hash = hashlib.new(algorithm)
        self.update, self.hexdigest = self._hash.update, self._hash.hexdigest

    def state(self) -> bytes | None:
        return None


class _KeptDigest:
    def __init__(self, algorithm: str, state: bytes | None) -> None:
        self.name = algorithm
        prefix, self._length = _NAMES[algorithm]
        library = _libcrypto()
        self._update, self._final = getattr(library, f"{prefix}_Update"), getattr(library, f"{prefix}_Final")
        self._context = ctypes.create_string_buffer(_CONTEXT_BYTES)
        if state is None:
            getattr(library, f"{prefix}_Init")(self._context)
        elif len(state) == _CONTEXT_BYTES:
            self._context.raw = state
        else:
            raise ValueError(f"this is no state of a {algorithm}")

    def update(self, data: bytes) -> None:
        self._update(self._context, ctypes.c_char_p(data), ctypes.c_size_t(len(data)))

    def hexdigest(self) -> str:
        # finishing uses a context up
        context = ctypes.create_string_buffer(self._context.raw, _CONTEXT_BYTES)
        result = ctypes.create_string_buffer(self._length)
        self._final(result, context)
        return result.raw.hex()

    def state(self) -> bytes | None:
        return self._context.raw


@functools.cache
def _libcrypto() -> ctypes.CDLL | None:
    """The libcrypto that hashlib has loaded already; None where Python was built with another one."""
    import _hashlib

    try:
        library = ctypes.CDLL(_hashlib.__file__)  # its symbols are found through the module that is linked to it
        return library if all(hasattr(library, f"{name}_Update") for name, _ in _NAMES.values()) else None
    except (OSError, AttributeError):
        return None
