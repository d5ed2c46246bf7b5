"""Where two snapshots differ, told by where their bytes lie: what lies at the same place on the disk is the same.

Both are read-only, and hold their places as long as they are there. Files that stand on a common base have its bytes in
the same place of the same file; files that share blocks by reflink have them in the same blocks, as the filesystem's map
(FIEMAP) tells. What it cannot tell of counts as changed.
"""

import array
import fcntl
import struct
from collections.abc import Iterator
from typing import NamedTuple

from breezeblock.drivers.contract import Extent
from breezeblock.drivers.directory.content import ChainSource, Piece

FS_IOC_FIEMAP = 0xC020660B
FIEMAP_FLAG_SYNC = 0x1
_REQUEST = struct.Struct("=QQLLLL")
_EXTENT = struct.Struct("=QQQQQLLLL")
_EXTENTS = 512
"""How many are asked for at once."""

_LAST = 0x1
_PLAIN = 0x1 | 0x2000 | 0x1000
"""The flags of an extent (last, shared, merged) whose bytes lie plainly where the map says."""


class Place(NamedTuple):
    """Where `length` bytes from `offset` on lie: at `position` of what `where` names. `where` None: they are zeros."""

    offset: int
    length: int
    where: tuple[object, ...] | None
    position: int

    def cut(self, offset: int, end: int) -> "Place":
        """The part between these bytes."""
        return Place(offset, end - offset, self.where, self.position + offset - self.offset)


def places(source: ChainSource, size: int, mapped: bool) -> Iterator[Place]:
    """Where the first `size` bytes of a snapshot lie, in order; behind its end are zeros.

    `mapped`: the filesystem is asked too, for it may have the same blocks in several files.
    """
    for piece in source.pieces(0, min(size, source.size)):
        descriptor = source.descriptor(piece)
        if piece.level is None:
            yield Place(piece.offset, piece.length, None, 0)
        elif descriptor is None:  # a compressed cluster: the whole of it or nothing
            yield Place(piece.offset, piece.length, ("packed", source.identity(piece), piece.position, piece.offset), 0)
        elif mapped:
            yield from _blocks(piece, descriptor, source.identity(piece))
        else:
            yield Place(piece.offset, piece.length, ("file", source.identity(piece)), piece.position)
    if size > source.size:
        yield Place(source.size, size - source.size, None, 0)


def changed(before: list[Place], now: list[Place]) -> Iterator[Extent]:
    """The runs of `now` that do not lie where those of `before` do. Both cover the same bytes."""
    begin = end = 0
    data = False
    for old, new in _side_by_side(before, now):
        if old.where == new.where and (old.where is None or old.position == new.position):
            continue
        if new.offset != end or data != (new.where is not None):
            if end > begin:
                yield Extent(begin, end - begin, data)
            begin, data = new.offset, new.where is not None
        end = new.offset + new.length
    if end > begin:
        yield Extent(begin, end - begin, data)


def _side_by_side(before: list[Place], now: list[Place]) -> Iterator[tuple[Place, Place]]:
    olds, news = iter(before), iter(now)
    old, new = next(olds, None), next(news, None)
    at = 0
    while old is not None and new is not None:
        end = min(old.offset + old.length, new.offset + new.length)
        yield old.cut(at, end), new.cut(at, end)
        at = end
        if old.offset + old.length == end:
            old = next(olds, None)
        if new.offset + new.length == end:
            new = next(news, None)


def _blocks(piece: Piece, descriptor: int, identity: tuple[int, int]) -> Iterator[Place]:
    """A piece of a file, by the blocks of the disk."""
    at, end = piece.position, piece.position + piece.length
    shift = piece.offset - piece.position
    for start, stop, physical in _map(descriptor, at, end):
        if start > at:  # written, but not mapped: its file is all that is known of it
            yield Place(at + shift, start - at, ("file", identity), at)
        where = ("file", identity) if physical is None else ("disk", identity[0])
        yield Place(start + shift, stop - start, where, start if physical is None else physical)
        at = stop
    if at < end:
        yield Place(at + shift, end - at, ("file", identity), at)


def _map(descriptor: int, start: int, end: int) -> Iterator[tuple[int, int, int | None]]:
    """The extents of a file between two bytes: begin, end, and where on the disk it begins, None where that says nothing."""
    while start < end:
        size = _REQUEST.size + _EXTENTS * _EXTENT.size
        asked = array.array("B", bytes(size))
        _REQUEST.pack_into(asked, 0, start, end - start, FIEMAP_FLAG_SYNC, 0, _EXTENTS, 0)
        fcntl.ioctl(descriptor, FS_IOC_FIEMAP, asked, True)
        found = _REQUEST.unpack_from(asked)[3]
        if not found:
            return
        for number in range(found):
            logical, physical, length, _, _, flags, *_ = _EXTENT.unpack_from(
                asked, _REQUEST.size + number * _EXTENT.size
            )
            first, last = max(logical, start), min(logical + length, end)
            if last > first:
                yield first, last, physical + first - logical if not flags & ~_PLAIN else None
            start = max(start, logical + length)
            if flags & _LAST:
                return
