"""qcow2 of version 3, as qemu's docs/interop/qcow2.rst describes it.

Header, refcounts, L1 table, all L2 tables, then the data in the order of the disk: whoever reads the file in one pass
knows where a cluster belongs before it comes.
"""

import struct
from array import array
from collections.abc import Iterator

from breezeblock.drivers.contract import BlockSource
from breezeblock.images.writers.blocks import Run, content, data_runs, padded

_BITS = 16
_CLUSTER = 1 << _BITS
_ENTRIES = _CLUSTER // 8
"""Of an L2 table, which is one cluster; and of a cluster of the L1 or the refcount table."""
_COUNTS = _CLUSTER // 2
"""Refcounts, of 16 bits, in a cluster of them."""
_COPIED = 1 << 63
_HEADER = struct.Struct(">4sIQIIQIIQQIIQQQQII")


class Qcow2Writer:
    """A disk as a qcow2 of 64 KiB clusters, none compressed, each used once."""

    def __init__(self, source: BlockSource, image_id: str) -> None:
        self._source = source
        self._runs = data_runs(source, _CLUSTER)
        self._l1_size = max(1, -(-source.size // (_CLUSTER * _ENTRIES)))
        self._l1_clusters = -(-self._l1_size // _ENTRIES)
        self._tables = _tables(self._runs)
        data = sum(run.length for run in self._runs)
        self._count_blocks, self._count_table = _refcounts(1 + self._l1_clusters + len(self._tables) + data)
        self._l1 = 1 + self._count_table + self._count_blocks
        self._l2 = self._l1 + self._l1_clusters
        self._data = self._l2 + len(self._tables)
        self._clusters = self._data + data
        self.length: int | None = self._clusters * _CLUSTER

    def pieces(self) -> Iterator[bytes]:
        """The file."""
        yield padded(self._header(), _CLUSTER)
        yield padded(_big_endian(self._offsets(1 + self._count_table, self._count_blocks)), _CLUSTER)
        for block in range(self._count_blocks):
            yield padded(b"\0\1" * min(_COUNTS, self._clusters - block * _COUNTS), _CLUSTER)
        l1 = array("Q", bytes(8 * self._l1_size))
        for index, offset in zip(self._tables, self._offsets(self._l2, len(self._tables)), strict=True):
            l1[index] = _COPIED | offset
        yield padded(_big_endian(l1), _CLUSTER)
        yield from self._l2_tables()
        yield from content(self._source, self._runs, _CLUSTER)

    def _header(self) -> bytes:
        return _HEADER.pack(
            *(b"QFI\xfb", 3, 0, 0, _BITS, self._source.size, 0),
            *(self._l1_size, self._l1 * _CLUSTER, _CLUSTER, self._count_table),
            *(0, 0, 0, 0, 0, 4, _HEADER.size),
        )

    def _offsets(self, first: int, count: int) -> "array[int]":
        return array("Q", range(first * _CLUSTER, (first + count) * _CLUSTER, _CLUSTER))

    def _l2_tables(self) -> Iterator[bytes]:
        table, index, data = array("Q", bytes(_CLUSTER)), None, self._data
        for first, count in self._runs:
            while count:
                if index is not None and first // _ENTRIES != index:
                    yield _big_endian(table)
                    table = array("Q", bytes(_CLUSTER))
                index, at = divmod(first, _ENTRIES)
                here = min(count, _ENTRIES - at)
                begin = _COPIED | data * _CLUSTER
                table[at : at + here] = array("Q", range(begin, begin + here * _CLUSTER, _CLUSTER))
                first, count, data = first + here, count - here, data + here  # noqa: PLW2901
        if index is not None:
            yield _big_endian(table)


def _tables(runs: list[Run]) -> list[int]:
    """The numbers of the L2 tables that are needed, ascending."""
    tables: list[int] = []
    for first, count in runs:
        begin = first // _ENTRIES
        begin += bool(tables) and begin == tables[-1]
        tables += range(begin, (first + count - 1) // _ENTRIES + 1)
    return tables


def _refcounts(others: int) -> tuple[int, int]:
    """Clusters of refcounts, and of the table of those, that count themselves and `others`."""
    blocks = table = 1
    while True:
        needed = -(-(others + blocks + table) // _COUNTS)
        if (needed, -(-needed // _ENTRIES)) == (blocks, table):
            return blocks, table
        blocks, table = needed, -(-needed // _ENTRIES)


def _big_endian(entries: "array[int]") -> bytes:
    entries = entries[:]
    entries.byteswap()
    return entries.tobytes()
