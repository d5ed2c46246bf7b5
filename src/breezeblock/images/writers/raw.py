"""raw: the disk's bytes, holes as zeros."""

from collections.abc import Iterator

from breezeblock.drivers.contract import BlockSource
from breezeblock.images.writers.blocks import PIECE


class RawWriter:
    """A disk as it is."""

    def __init__(self, source: BlockSource, image_id: str) -> None:
        self.length: int | None = source.size
        self._source = source

    def pieces(self) -> Iterator[bytes]:
        """The file. A piece is all data or all zeros, so that who keeps it may keep it sparse."""
        zeros = bytes(PIECE)
        for extent in self._source.extents():
            end = extent.offset + extent.length
            for offset in range(extent.offset, end, PIECE):
                length = min(PIECE, end - offset)
                if extent.data:
                    yield self._source.pread(length, offset)
                else:
                    yield zeros if length == PIECE else zeros[:length]
