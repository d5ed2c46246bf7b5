"""A client that writes numbered blocks without pause and keeps a ledger, by which any copy of its disk can be judged.

Each block says its number and position, and all its other bytes follow from these two: a block that is torn, foreign
or in the wrong place is seen. One write is under way at a time, and it counts as acknowledged when a flush after it
was answered. So what a disk held at one moment is what the first N writes make, for one N.
"""

import bisect
import hashlib
import random
import struct
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self

from breezeblock.drivers.contract import BlockSource
from tests.drivers.nbd_client import NbdClient

BLOCK = 4096
ISLANDS = 24
ISLAND_BLOCKS = 48
"""The positions that are written lie on islands all over the disk, the last one at its very end."""
MOST_BLOCKS = 12
PATIENCE_SECONDS = 60.0

HEAD = struct.Struct(">QQ")


def block_of(number: int, offset: int) -> bytes:
    """What write `number` puts at `offset`."""
    head = HEAD.pack(number, offset)
    return head + hashlib.shake_128(head).digest(BLOCK - HEAD.size)


def survey(source: BlockSource) -> dict[int, int]:
    """Which write each block of a disk is of, by offset; all of it is read, and what is not here is zeros.

    Two disks of one size with equal surveys are equal to the byte, since a block's bytes follow from its entry.
    """
    found = {}
    for extent in source.extents():
        for offset in range(extent.offset, extent.offset + extent.length, BLOCK) if extent.data else ():
            block = source.pread(BLOCK, offset)
            if any(block):
                number, written_for = HEAD.unpack_from(block)
                assert written_for == offset, f"the block at {offset} was written for {written_for}"
                assert block == block_of(number, offset), f"the block at {offset} of write {number} is torn"
                found[offset] = number
    return found


class SequenceWriter:
    """Writes to an NBD export from a thread of its own until `stop`.

    When the server hangs up, as it does to tell a new size, the client connects again and repeats the one write that
    was not acknowledged. Any other error ends the writer, and whoever asks it next.
    """

    def __init__(self, uri: str, seed: int) -> None:
        self._uri = uri
        self._random = random.Random(seed)
        self._changed = threading.Condition()
        self._stopping = False
        self._writes: dict[int, range] = {}
        self._history: dict[int, list[int]] = defaultdict(list)
        self.sent = 0
        self.acknowledged = 0
        self.repeated: set[int] = set()
        """The writes that the client was cut off in."""
        self.size = 0
        """What the server said at the last greeting, bytes."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sequence writer")
        self._ended: Future[None] = self._thread.submit(self._run)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        self._thread.shutdown()

    def stop(self) -> None:
        """End after the write that is under way, which is acknowledged then. Raises what broke the writer."""
        self._stopping = True
        self._ended.result()
        assert self.acknowledged == self.sent

    def wait_for(self, more: int) -> None:
        """Wait until so many more writes are acknowledged than now. Raises what broke the writer."""
        goal = self.acknowledged + more
        self._wait_until(lambda: self.acknowledged >= goal)

    def wait_for_size(self, size: int) -> None:
        """Wait until the server has told the client of this size. Raises what broke the writer."""
        self._wait_until(lambda: self.size == size)

    def wait_for_cut(self, cuts: int) -> None:
        """Wait until the client was cut off in more than so many writes. Raises what broke the writer."""
        self._wait_until(lambda: len(self.repeated) > cuts)

    def _wait_until(self, there: Callable[[], bool]) -> None:
        with self._changed:
            self._changed.wait_for(lambda: there() or self._ended.done(), PATIENCE_SECONDS)
        if self._ended.done():
            self._ended.result()
        assert there(), "the writer does not get on"

    def _run(self) -> None:
        try:
            client = self._connect()
            while not self._stopping:
                client = self._write_next(client)
            client.close()
        finally:
            with self._changed:
                self._changed.notify_all()

    def _connect(self) -> NbdClient:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                client = NbdClient(self._uri)
            except (ConnectionError, FileNotFoundError):
                # not served for the moment
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
            else:
                with self._changed:
                    self.size = client.size
                    self._changed.notify_all()
                return client

    def _write_next(self, client: NbdClient) -> NbdClient:
        number = self.sent + 1
        offsets = self._writes[number] = self._choose()
        for offset in offsets:
            self._history[offset].append(number)
        data = b"".join(block_of(number, offset) for offset in offsets)
        self.sent = number
        while self.acknowledged < number:
            try:
                client.write(data, offsets.start)
                client.flush()
            except ConnectionError:
                with self._changed:
                    self.repeated.add(number)
                    self._changed.notify_all()
                client.close()
                client = self._connect()
            else:
                with self._changed:
                    self.acknowledged = number
                    self._changed.notify_all()
        return client

    def _choose(self) -> range:
        count = self._random.randint(1, MOST_BLOCKS)
        end = self.size // ISLANDS * self._random.randint(1, ISLANDS) // BLOCK * BLOCK
        if self._random.random() < 1 / ISLANDS:
            end = self.size
        start = end - self._random.randint(count, ISLAND_BLOCKS) * BLOCK
        return range(start, start + count * BLOCK, BLOCK)

    def judge(self, found: dict[int, int], low: int, high: int) -> None:
        """Assert that a disk holds what the first N writes make, with `low` <= N <= `high`, and nothing else.

        Of write N + 1 a part may be there, if the client was cut off in it.
        """
        newest = max(found.values(), default=0)
        assert newest <= high, f"write {newest} is there, and only {high} had been sent"
        parts = [offset for offset in self._writes.get(newest, ()) if found.get(offset) == newest]
        whole = len(parts) == len(self._writes.get(newest, ()))
        assert whole or newest in self.repeated, f"write {newest} is there in part, and the client was never cut in it"
        upto = newest if whole else newest - 1
        assert upto >= low, f"write {low} was acknowledged before, and only {upto} are there"
        expected = self._state(newest - 1) | dict.fromkeys(parts, newest)
        wrong = {at: (found.get(at), expected.get(at)) for at in found | expected if found.get(at) != expected.get(at)}
        assert not wrong, f"blocks that are not of the first {upto} writes, found and expected: {wrong}"

    def _state(self, upto: int) -> dict[int, int]:
        """What each block is after so many writes, by offset."""
        state = {}
        for offset, numbers in list(self._history.items()):
            if count := bisect.bisect_right(numbers, upto):
                state[offset] = numbers[count - 1]
        return state
