"""The checksum of an image, computed beside its transfer and compared at its end."""

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor

import msgspec

from breezeblock.errors import ImageUnacceptable
from breezeblock.images.digest import Digest, new_digest
from breezeblock.model.image import Image


class HashState(msgspec.Struct, frozen=True):
    """How far an image is hashed: the first `position` bytes."""

    algorithm: str
    position: int
    state: bytes


def expected(image: Image) -> tuple[str, str] | None:
    """Algorithm and value that the image's bytes must have: Glance's multihash, else its md5, else nothing."""
    if image.os_hash_value and image.os_hash_algo and image.os_hash_algo in hashlib.algorithms_available:
        return image.os_hash_algo, image.os_hash_value
    return ("md5", image.checksum) if image.checksum else None


class Checksum:
    """Hashes in a thread of its own: hashing sets the interpreter free, so it runs beside input and output."""

    def __init__(self, wanted: tuple[str, str] | None, kept: HashState | None = None) -> None:
        """`wanted` is algorithm and value, None to hash nothing. Goes on from `kept`, which is of that algorithm."""
        self.position = kept.position if kept else 0
        self._digest: Digest | None = None
        self._value = ""
        if wanted is not None:
            algorithm, self._value = wanted
            self._digest = new_digest(algorithm, kept.state if kept else None)
        self._pool = ThreadPoolExecutor(1, "image-hash")
        self._pending: Future[None] | None = None

    def __enter__(self) -> "Checksum":
        return self

    def __exit__(self, *exc: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def update(self, piece: bytes, position: int) -> None:
        """Hash the bytes at `position` of the image while the caller goes on; what was hashed before is left out."""
        known = self.position - position
        self.position = max(self.position, position + len(piece))
        if self._digest is None or known >= len(piece):
            return
        self._wait()
        self._pending = self._pool.submit(self._digest.update, piece[known:] if known > 0 else piece)

    def state(self) -> HashState | None:
        """To go on from in another process; None where there is no hash, or none that can be taken up."""
        self._wait()
        state = self._digest.state() if self._digest is not None else None
        return HashState(self._digest.name, self.position, state) if self._digest and state else None

    def verify(self) -> None:
        """Raises `ImageUnacceptable` when the bytes were other ones."""
        self._wait()
        if self._digest is not None and self._digest.hexdigest() != self._value:
            raise ImageUnacceptable(
                f"The image's content does not have its checksum ({self._digest.name}); upload the image again."
            )

    def _wait(self) -> None:
        if self._pending is not None:
            self._pending.result()
            self._pending = None
