"""vdi, dynamic, of VirtualBox, as qemu's block/vdi.c describes it."""

import struct
import uuid
from array import array
from collections.abc import Iterator

from breezeblock.drivers.contract import BlockSource
from breezeblock.images.writers.blocks import SECTOR, content, data_runs, padded

_BLOCK = 1 << 20
_TABLE = 0x200
_HEADER = struct.Struct("<64sIIIII256sIIIIIIIQIIII16s16s88x")
_UNUSED = 0xFFFFFFFF


class VdiWriter:
    """A disk as a dynamic vdi."""

    def __init__(self, source: BlockSource, image_id: str) -> None:
        self._source = source
        self._uuid = uuid.UUID(image_id)
        self._runs = data_runs(source, _BLOCK)
        self._entries = -(-source.size // _BLOCK)
        self._data = _TABLE + -(-4 * self._entries // SECTOR) * SECTOR
        self._used = sum(run.length for run in self._runs)
        self.length: int | None = self._data + self._used * _BLOCK

    def pieces(self) -> Iterator[bytes]:
        """The file."""
        snapshot = uuid.uuid5(self._uuid, "snapshot")
        yield _HEADER.pack(
            *(b"<<< Breezeblock VDI disk image >>>\n", 0xBEDA107F, 0x10001, 0x180, 1, 0, b""),
            *(_TABLE, self._data, 0, 0, 0, SECTOR, 0, self._source.size, _BLOCK, 0, self._entries, self._used),
            *(self._uuid.bytes_le, snapshot.bytes_le),
        )
        table = array("I", [_UNUSED]) * self._entries
        number = 0
        for first, count in self._runs:
            table[first : first + count] = array("I", range(number, number + count))
            number += count
        yield padded(table.tobytes(), SECTOR)
        yield from content(self._source, self._runs, _BLOCK)
