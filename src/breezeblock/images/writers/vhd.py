"""vhd, dynamic: the "Virtual Hard Disk Image Format Specification" of Microsoft, and qemu's block/vpc.c.

Its size is exact, as qemu-img's `force_size` makes it: the geometry says nothing, the writer's mark that the size counts.
"""

import struct
import uuid
from array import array
from collections.abc import Iterator

from breezeblock.drivers.contract import BlockSource
from breezeblock.images.writers.blocks import SECTOR, content, data_runs, padded

MOST_BYTES = 2040 << 30
"""The largest disk that its block table can address, as qemu has it."""

_BLOCK = 2 << 20
_TABLE = 3 * SECTOR
_FOOTER = struct.Struct(">8sIIQI4sI4sQQHBBII16s")
_HEADER = struct.Struct(">8sQQIIII")
_UNUSED = 0xFFFFFFFF
_ALL_USED = b"\xff" * (_BLOCK // SECTOR // 8)


class VhdWriter:
    """A disk as a dynamic vhd with blocks of 2 MiB."""

    def __init__(self, source: BlockSource, image_id: str) -> None:
        self._source = source
        self._uuid = uuid.UUID(image_id)
        self._runs = data_runs(source, _BLOCK)
        self._entries = -(-source.size // _BLOCK)
        self._blocks = _TABLE + -(-4 * self._entries // SECTOR) * SECTOR
        data = sum(run.length for run in self._runs)
        self.length: int | None = self._blocks + data * (len(_ALL_USED) + _BLOCK) + SECTOR

    def pieces(self) -> Iterator[bytes]:
        """The file."""
        footer = self._footer()
        yield footer + self._header()
        yield self._table()
        for block in content(self._source, self._runs, _BLOCK):
            yield _ALL_USED
            yield block
        yield footer

    def _footer(self) -> bytes:
        size = self._source.size
        largest_geometry = (65535, 16, 255)
        data = _FOOTER.pack(
            *(b"conectix", 2, 0x10000, SECTOR, 0, b"qem2", 0x50003, b"Wi2k"),
            *(size, size, *largest_geometry, 3, 0, self._uuid.bytes),
        )
        return padded(_summed(data, 64), SECTOR)

    def _header(self) -> bytes:
        data = _HEADER.pack(b"cxsparse", 0xFFFFFFFFFFFFFFFF, _TABLE, 0x10000, self._entries, _BLOCK, 0)
        return padded(_summed(data, 36), 2 * SECTOR)

    def _table(self) -> bytes:
        table = array("I", [_UNUSED]) * ((self._blocks - _TABLE) // 4)
        sector, step = self._blocks // SECTOR, (len(_ALL_USED) + _BLOCK) // SECTOR
        for first, count in self._runs:
            table[first : first + count] = array("I", range(sector, sector + count * step, step))
            sector += count * step
        table.byteswap()
        return table.tobytes()


def _summed(data: bytes, at: int) -> bytes:
    """With the checksum in its place, which is zero until then."""
    return data[:at] + struct.pack(">I", ~sum(data) & 0xFFFFFFFF) + data[at + 4 :]
