"""A file that is looked at with distrust: every read is checked against its end."""

import struct
from array import array
from typing import Any

import msgspec

from breezeblock.errors import ImageUnacceptable
from breezeblock.images.content import ImageContent

GiB = 1 << 30
BIGGEST = 1 << 50
"""Bytes; no volume is larger than a PiB, whatever a header says."""

BIGGEST_TABLE = 32 << 20
"""Bytes of one table; qemu's own limit for the L1 table of qcow2."""


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What is allowed. `max_virtual_size` is the volume's size in bytes, None where no volume is asked for yet."""

    max_virtual_size: int | None = None
    vmdk_allowed_types: tuple[str, ...] = ("streamOptimized", "monolithicSparse")


class ImageFile:
    """An image file. `name` is the format's, for messages."""

    def __init__(self, content: ImageContent, name: str) -> None:
        self.name = name
        self.size = content.size
        self._content = content

    def refuse(self, what: str) -> ImageUnacceptable:
        """The error that says what is wrong, to be raised."""
        return ImageUnacceptable(f"The {self.name} image is refused: {what}")

    def truncated(self) -> ImageUnacceptable:
        """The error for a structure beyond the file's end."""
        return self.refuse("it is truncated: its tables point beyond the end of the file. Upload it again.")

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes at `offset`; a file that ends before is refused as truncated."""
        if offset < 0 or offset + length > self.size:
            raise self.truncated()
        data = self._content.pread(length, offset)
        if len(data) < length:
            raise self.truncated()
        return data

    def unpack(self, layout: str, offset: int) -> tuple[Any, ...]:
        """`struct.unpack` of what lies at `offset`."""
        return struct.unpack(layout, self.read(offset, struct.calcsize(layout)))

    def table(self, typecode: str, offset: int, entries: int, *, big_endian: bool = False) -> "array[int]":
        """A table of integers of the `array` type code. One that would fill the memory is refused, as by qemu."""
        values = array(typecode)
        if entries * values.itemsize > BIGGEST_TABLE:
            raise self.refuse(f"one of its tables has {entries} entries, too many to be read.")
        values.frombytes(self.read(offset, entries * values.itemsize))
        if big_endian:
            values.byteswap()
        return values

    def check_virtual_size(self, size: int, rules: Rules) -> None:
        """Refuse an empty disk, an absurd one, and one that is larger than the volume."""
        if size <= 0:
            raise self.refuse("its disk has no content.")
        if size > BIGGEST:
            raise self.refuse(f"its disk claims to have {size} bytes, more than any volume.")
        limit = rules.max_virtual_size
        if limit is not None and size > limit:
            raise ImageUnacceptable(
                f"The image's disk has {size} bytes and the volume {limit}; "
                f"ask for a volume of at least {-(-size // GiB)} GiB."
            )
