"""What a volume holds: an image's bytes, and the blocks that guests wrote beyond them. Told by its hash."""

import hashlib
import random

import msgspec

from breezeblock.drivers.contract import BlockSource
from tests.clients.sequence_writer import block_of

IMAGE_BYTES = (8 << 20) + 4096
PIECE = 1 << 20


def image_bytes(seed: int) -> bytes:
    """The disk of an image."""
    return random.Random(seed).randbytes(IMAGE_BYTES - 1) + b"!"  # noqa: S311  nothing is kept secret here


class Content(msgspec.Struct, frozen=True):
    """The bytes of a volume in few words: the seed of the image at its beginning, and the number of each block after that."""

    image: int | None = None
    blocks: dict[int, int] = {}

    def digest(self) -> str:
        """As `digest_of` a volume that holds this."""
        digest, end = hashlib.sha256(), 0
        parts = [(0, image_bytes(self.image))] if self.image is not None else []
        parts += [(offset, block_of(number, offset)) for offset, number in sorted(self.blocks.items())]
        for offset, data in parts:
            digest.update(bytes(offset - end))
            digest.update(data if (offset, data) != parts[-1] else data.rstrip(b"\0"))
            end = offset + len(data)
        return digest.hexdigest()


def digest_of(source: BlockSource) -> str:
    """SHA-256 of a disk's bytes up to the last that is not zero."""
    digest, pending = hashlib.sha256(), 0
    for extent in source.extents():
        if not extent.data:
            pending += extent.length
            continue
        for offset in range(extent.offset, extent.offset + extent.length, PIECE):
            data = source.pread(min(PIECE, extent.offset + extent.length - offset), offset)
            kept = data.rstrip(b"\0")
            if kept:
                digest.update(bytes(pending))
                digest.update(kept)
                pending = 0
            pending += len(data) - len(kept)
    return digest.hexdigest()
