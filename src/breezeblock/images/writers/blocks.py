"""A disk in blocks of one size, as image formats see it."""

from collections.abc import Iterator
from typing import NamedTuple

from breezeblock.drivers.contract import BlockSource

SECTOR = 512
PIECE = 1 << 20
"""Bytes that are read at once."""


class Run(NamedTuple):
    """Neighbouring blocks that hold data: the number of the first, and how many they are."""

    first: int
    length: int


def data_runs(source: BlockSource, block: int) -> list[Run]:
    """All blocks of `block` bytes with any data in them, in order, as runs that do not touch."""
    runs: list[Run] = []
    for extent in source.extents():
        if not extent.data:
            continue
        first, end = extent.offset // block, -(-(extent.offset + extent.length) // block)
        if runs and first <= (before := runs[-1]).first + before.length:
            runs[-1] = Run(before.first, end - before.first)
        else:
            runs.append(Run(first, end - first))
    return runs


def content(source: BlockSource, runs: list[Run], block: int) -> Iterator[bytes]:
    """The content of these blocks in pieces of whole blocks; zeros behind the disk's end."""
    for first, length in runs:
        end = (first + length) * block
        for offset in range(first * block, end, max(PIECE, block)):
            wanted = min(max(PIECE, block), end - offset)
            yield source.pread(min(wanted, source.size - offset), offset).ljust(wanted, b"\0")


def padded(data: bytes, unit: int) -> bytes:
    """The data, filled up with zeros to a multiple of `unit` bytes."""
    return data + bytes(-len(data) % unit)
