"""Where the parts of a disk lie in an image's file, in the order of the file: what one pass over it needs to know."""

import struct
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import msgspec
import zstandard
from zlib_ng import zlib_ng

from breezeblock.errors import BreezeblockError, ImageUnacceptable

Coding = Literal["deflate", "zstd", "grain"]
"""How packed parts are packed: as in qcow2 (a bare deflate stream, or zstd), or as a grain of vmdk with its marker."""

MOST_PARTS = 2_000_000
_GRAIN_MARKER = struct.Struct("<QI")
_LARGEST_WINDOW = 8 << 20


class Scattered(BreezeblockError):
    """The image's parts overlap, or are too many to be read in one pass."""


class Part(msgspec.Struct, frozen=True, gc=False):
    """`length` bytes at `position` of the file are `size` bytes at `offset` of the disk; the same bytes, unless packed.

    Behind a packed part may lie bytes that do not belong to it: its length is where it ends at the latest.
    """

    position: int
    length: int
    offset: int
    size: int
    packed: bool


class Layout:
    """The parts of one image. What is not in any part reads as zeros. 33 bytes of memory for each."""

    def __init__(self, virtual_size: int, coding: Coding = "deflate") -> None:
        self.virtual_size = virtual_size
        self.coding = coding
        self._columns = tuple(array("Q") for _ in range(4))
        self._packed = bytearray()
        self._order: Sequence[int] | None = None
        self._ascending = True

    def __len__(self) -> int:
        return len(self._packed)

    def add(self, position: int, length: int, offset: int, size: int, *, packed: bool = False) -> None:
        """One more part. Raises as `extend`."""
        self.extend([(position, length, offset, size, packed)])

    def extend(self, parts: Iterable[tuple[int, int, int, int, bool]]) -> None:
        """More parts, each with what a `Part` has; what lies beyond the disk's end is cut off. Raises `Scattered` when
        there are too many."""
        positions, lengths, offsets, sizes = self._columns
        end_of_disk, kinds = self.virtual_size, self._packed
        # an image has thousands: all of them in one call take half as long as a call for each
        for position, most_length, offset, most_size, packed in parts:
            size = most_size if offset + most_size <= end_of_disk else end_of_disk - offset
            if size <= 0:
                continue
            length = most_length if packed or most_length <= size else size
            if kinds:
                follows = positions[-1] if kinds[-1] else positions[-1] + lengths[-1]
                if position == follows and not packed and not kinds[-1] and offset == offsets[-1] + sizes[-1]:
                    lengths[-1] += length
                    sizes[-1] += size
                    continue
                if position < follows:
                    self._ascending = False
            if len(kinds) == MOST_PARTS:
                raise Scattered(f"The image has more than {MOST_PARTS} parts.")
            positions.append(position)
            lengths.append(length)
            offsets.append(offset)
            sizes.append(size)
            kinds.append(packed)

    def sort(self) -> None:
        """Bring the parts into the order of the file. Raises `Scattered` when bytes are used twice."""
        if self._ascending:
            return
        positions = self._columns[0]
        self._order = sorted(range(len(self)), key=positions.__getitem__)
        end = 0
        for index in self._order:
            if positions[index] < end:
                raise Scattered
            end = positions[index] + (0 if self._packed[index] else self._columns[1][index])

    def parts(self, begin: int = 0) -> Iterator[Part]:
        """The sorted parts, without the packed ones that lie before `begin` and the plain ones that end there."""
        for index in self._order or range(len(self)):
            part = self.part(index)
            if (part.position if part.packed else part.position + part.length - 1) >= begin:
                yield part

    def part(self, index: int) -> Part:
        """One of the parts, as they were added."""
        position, length, offset, size = (column[index] for column in self._columns)
        return Part(position, length, offset, size, bool(self._packed[index]))

    def by_offset(self) -> tuple[Sequence[int], Sequence[int]]:
        """The offsets of all parts in the order of the disk, and their indices."""
        offsets = self._columns[2]
        order = array("I", sorted(range(len(self)), key=offsets.__getitem__))
        return array("Q", map(offsets.__getitem__, order)), order

    def unpack(self, packed: Sequence[tuple[bytes, int]]) -> list[bytes]:
        """The content of packed parts, given their bytes and sizes. Never makes more than that many bytes.

        Raises:
            ImageUnacceptable: they are not what they should be.
        """
        zstd = zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW) if self.coding == "zstd" else None
        contents = []
        try:
            for data, size in packed:
                if zstd is not None:
                    content = zstd.stream_reader(data).read(size)
                elif self.coding == "deflate":
                    content = zlib_ng.decompressobj(-15).decompress(data, size)
                else:
                    _, length = _GRAIN_MARKER.unpack_from(data)
                    content = zlib_ng.decompressobj().decompress(data[12 : 12 + length], size)
                if len(content) < size:
                    raise ImageUnacceptable("The image is broken: a packed part of it is cut off.")
                contents.append(content)
        except (zlib_ng.error, zstandard.ZstdError, struct.error) as error:  # type: ignore[misc]  # its stub says instance
            raise ImageUnacceptable(f"The image is broken: a part of it cannot be unpacked ({error}).") from error
        return contents
