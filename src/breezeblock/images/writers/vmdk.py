"""vmdk, streamOptimized: "Virtual Disk Format 5.0" of VMware, and qemu's block/vmdk.c.

Each grain is compressed and says where it belongs. The tables follow what they tell of, and a footer tells where they are.
"""

import os
import struct
from array import array
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from zlib_ng import zlib_ng

from breezeblock.drivers.contract import BlockSource
from breezeblock.errors import DriverError
from breezeblock.images.writers.blocks import SECTOR, content, data_runs, padded

MOST_BYTES = 2040 << 30
"""The largest disk whose grains surely have sector numbers of 32 bits, however badly they compress."""

_GRAIN = 64 << 10
_ENTRIES = 512
"""Of a grain table."""
_AHEAD = 64
"""Grains that are being compressed at once."""
_LEVEL = 2
"""90 MB/s of programs on one core, where the default does 61; the file is a twentieth larger."""
_DESCRIPTOR_SECTORS = 20
_FIRST_SECTOR = 128
_AT_END = 0xFFFFFFFFFFFFFFFF
_FLAGS = 1 | 1 << 16 | 1 << 17  # newlines are checkable, grains are compressed, markers are there
_HEADER = struct.Struct("<4sIIQQQQIQQQB4sH")
_MARKER = struct.Struct("<QII")
_END, _TABLE, _DIRECTORY, _FOOTER = range(4)
_ZEROS = bytes(_GRAIN)
_DESCRIPTOR = """\
# Disk DescriptorFile
version=1
CID={cid}
parentCID=ffffffff
createType="streamOptimized"

# Extent description
RW {sectors} SPARSE "{name}.vmdk"

# The Disk Data Base
#DDB

ddb.virtualHWVersion = "4"
ddb.geometry.cylinders = "{cylinders}"
ddb.geometry.heads = "16"
ddb.geometry.sectors = "63"
ddb.adapterType = "ide"
"""


class VmdkWriter:
    """A disk as a streamOptimized vmdk. Grains of zeros are left out, though the source has them as data."""

    length: int | None = None

    def __init__(self, source: BlockSource, image_id: str) -> None:
        self._source = source
        self._id = image_id
        self._runs = data_runs(source, _GRAIN)
        self._sectors = source.size // SECTOR

    def pieces(self) -> Iterator[bytes]:
        """The file."""
        yield padded(padded(self._header(_AT_END), SECTOR) + self._descriptor(), _FIRST_SECTOR * SECTOR)
        directory = array("I", bytes(4 * -(-self._sectors * SECTOR // (_GRAIN * _ENTRIES))))
        table, index, sector = array("I", bytes(4 * _ENTRIES)), None, _FIRST_SECTOR
        for number, grain in self._grains():
            if index is not None and number // _ENTRIES != index:
                directory[index] = sector + 1
                yield (written := _marked(_TABLE, table.tobytes()))
                sector += len(written) // SECTOR
                table = array("I", bytes(4 * _ENTRIES))
            index, at = divmod(number, _ENTRIES)
            table[at] = _sector_number(sector)
            yield grain
            sector += len(grain) // SECTOR
        if index is not None:
            directory[index] = sector + 1
            yield (written := _marked(_TABLE, table.tobytes()))
            sector += len(written) // SECTOR
        yield _marked(_DIRECTORY, directory.tobytes())
        yield _marked(_FOOTER, self._header(sector + 1))
        yield _marked(_END, b"")

    def _header(self, directory: int) -> bytes:
        return _HEADER.pack(
            *(b"KDMV", 3, _FLAGS, self._sectors, _GRAIN // SECTOR, 1, _DESCRIPTOR_SECTORS, _ENTRIES),
            *(0, directory, _FIRST_SECTOR, 0, b"\n \r\n", 1),
        )

    def _descriptor(self) -> bytes:
        cylinders = min(16383, self._sectors // (16 * 63))
        cid = f"{zlib_ng.crc32(self._id.encode()):08x}"
        text = _DESCRIPTOR.format(cid=cid, sectors=self._sectors, name=self._id, cylinders=cylinders)
        return padded(text.encode(), _DESCRIPTOR_SECTORS * SECTOR)

    def _grains(self) -> Iterator[tuple[int, bytes]]:
        """The number of each grain that is not zero, and the grain as it stands in the file."""
        waiting: deque[tuple[int, Future[bytes]]] = deque()
        numbers = (number for first, count in self._runs for number in range(first, first + count))
        with ThreadPoolExecutor(min(4, os.cpu_count() or 1), thread_name_prefix="vmdk") as pool:
            for piece in content(self._source, self._runs, _GRAIN):
                for at in range(0, len(piece), _GRAIN):
                    number, grain = next(numbers), piece[at : at + _GRAIN]
                    if grain != _ZEROS:
                        waiting.append((number, pool.submit(_packed, number, grain)))
                while len(waiting) > _AHEAD:
                    number, packed = waiting.popleft()
                    yield number, packed.result()
            for number, packed in waiting:
                yield number, packed.result()


def _packed(number: int, grain: bytes) -> bytes:
    data = zlib_ng.compress(grain, _LEVEL)
    return padded(struct.pack("<QI", number * (_GRAIN // SECTOR), len(data)) + data, SECTOR)


def _marked(kind: int, data: bytes) -> bytes:
    data = padded(data, SECTOR)
    return padded(_MARKER.pack(len(data) // SECTOR, 0, kind), SECTOR) + data


def _sector_number(sector: int) -> int:
    if sector >> 32:
        raise DriverError("The vmdk became larger than its format can be; upload the volume in another one.")
    return sector
