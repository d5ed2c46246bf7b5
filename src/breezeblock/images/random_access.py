"""The disk inside an image, read at any place: what is asked for is fetched, and nothing else of the image."""

import threading
from bisect import bisect_right
from collections import OrderedDict
from concurrent.futures import Future
from typing import Protocol

from breezeblock.errors import ImageUnacceptable
from breezeblock.images.formats.layout import Layout

BLOCK = 64 << 10
MOST_BLOCKS = 128
LONGEST_RUN = 8
"""Blocks that are fetched at once for somebody who reads on and on."""
MOST_UNPACKED = 8 << 20
"""Bytes of unpacked parts that are remembered."""


class Content(Protocol):
    """The stored bytes of an image. `size` is bytes."""

    size: int

    def pread(self, length: int, offset: int) -> bytes:
        """Exactly `length` bytes, less only at the end. Called by several threads at once."""


class Blocks:
    """The stored bytes of an image, some of them remembered; several threads read at once, and none fetches what another
    one is fetching. Who reads on gets more and more at once, so that a stream costs few requests."""

    def __init__(self, content: Content) -> None:
        self.fetched = 0
        """Bytes that were read of the content."""
        self._content = content
        self._lock = threading.Lock()
        self._blocks: OrderedDict[int, Future[bytes]] = OrderedDict()
        self._follows = 0
        self._next = -1

    def read(self, length: int, offset: int) -> bytes:
        """Exactly `length` bytes, less only at the end."""
        first, last = offset // BLOCK, -(-(offset + length) // BLOCK)
        joined = b"".join(self._block(number) for number in range(first, last))
        return joined[offset - first * BLOCK : offset + length - first * BLOCK]

    def _block(self, number: int) -> bytes:
        with self._lock:
            future = self._blocks.get(number)
            mine = self._claim(number) if future is None else []
            if future is None:
                future = self._blocks[number]
            else:
                self._blocks.move_to_end(number)
        if mine:
            self._fetch(number, mine)
        return future.result()

    def _claim(self, number: int) -> "list[Future[bytes]]":
        """Note the blocks from `number` on that this thread will fetch."""
        self._follows = self._follows + 1 if number == self._next else 0
        # many who begin at a place read little there: only those who went on for a while get more
        run = min(max(1, self._follows >> 1), LONGEST_RUN)
        mine: list[Future[bytes]] = []
        while len(mine) < run and number + len(mine) not in self._blocks:
            if mine and (number + len(mine)) * BLOCK >= self._content.size:
                break
            future: Future[bytes] = Future()
            self._blocks[number + len(mine)] = future
            mine.append(future)
        self._next = number + len(mine)
        for oldest in [one for one, future in self._blocks.items() if future.done()]:
            if len(self._blocks) <= MOST_BLOCKS:
                break
            del self._blocks[oldest]
        return mine

    def _fetch(self, number: int, mine: "list[Future[bytes]]") -> None:
        try:
            data = self._content.pread(len(mine) * BLOCK, number * BLOCK)
        except BaseException as error:
            with self._lock:
                for index in range(len(mine)):
                    del self._blocks[number + index]
            for future in mine:
                future.set_exception(error)
            return
        self.fetched += len(data)
        for index, future in enumerate(mine):
            future.set_result(data[index * BLOCK : (index + 1) * BLOCK])


class ImageDisk:
    """Reads the disk of an image that passed the header gate. `size` is bytes."""

    def __init__(self, content: Content, layout: Layout) -> None:
        self.size = layout.virtual_size
        self.blocks = Blocks(content)
        self.layout = layout
        self._offsets, self._order = layout.by_offset()
        self._lock = threading.Lock()
        self._unpacked: OrderedDict[int, bytes] = OrderedDict()

    def pread(self, length: int, offset: int) -> bytes:
        """Exactly `length` bytes; zeros beyond the end.

        Raises what the image service answers, and `ImageUnacceptable` for a part that cannot be unpacked.
        """
        parts, end = [], offset + length
        at = bisect_right(self._offsets, offset) - 1
        while offset < end:
            if at >= 0:
                piece = self._of_part(self._order[at], offset, end)
                parts.append(piece)
                offset += len(piece)
            following = self._offsets[at + 1] if at + 1 < len(self._offsets) else end
            hole = min(following, end) - offset
            if hole > 0:
                parts.append(bytes(hole))
                offset += hole
            at += 1
        return b"".join(parts)

    def _of_part(self, index: int, offset: int, end: int) -> bytes:
        part = self.layout.part(index)
        skip, stop = offset - part.offset, min(end - part.offset, part.size)
        if skip >= stop:
            return b""
        if part.packed:
            return self._unpack(index)[skip:stop]
        data = self.blocks.read(min(stop, part.length) - skip, part.position + skip) if skip < part.length else b""
        # a file may end within its last part, which reads as zeros from there on
        return data + bytes(stop - skip - len(data))

    def _unpack(self, index: int) -> bytes:
        with self._lock:
            if index in self._unpacked:
                self._unpacked.move_to_end(index)
                return self._unpacked[index]
        part = self.layout.part(index)
        packed = self.blocks.read(part.length, part.position)
        (content,) = self.layout.unpack([(packed, part.size)])
        if len(content) != part.size:
            raise ImageUnacceptable("The image is broken: a packed part of it is too long.")
        with self._lock:
            self._unpacked[index] = content
            while len(self._unpacked) > 1 and len(self._unpacked) * part.size > MOST_UNPACKED:
                self._unpacked.popitem(last=False)
        return content
