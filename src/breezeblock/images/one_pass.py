"""One pass over an image: its bytes go from the image service into the volume once, as they come.

Each byte is read once and hashed, each part of the disk is unpacked where it is packed and written where it belongs;
zeros are never written. A pass that was killed goes on where it was: every few seconds what is written is put on
stable storage together with a note of how far it is (`BlockTarget.keep`).
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import msgspec

from breezeblock import killpoints
from breezeblock.drivers.contract import BlockTarget
from breezeblock.errors import ImageUnacceptable
from breezeblock.images.arrival import Arrival
from breezeblock.images.checksum import Check, HashState
from breezeblock.images.content import ImageContent
from breezeblock.images.formats.layout import Layout, Part

KEEP_SECONDS = 2.0
PIECE = 1 << 20
_GRAIN = 4096
_ZEROS, _ZERO_GRAIN = bytes(PIECE), bytes(_GRAIN)
_UNPACKERS = 2
_BATCHES = 4


class Note(msgspec.Struct, frozen=True):
    """How far a pass is: all parts that begin before `position` are written."""

    position: int = 0
    hashes: tuple[HashState, ...] = ()


def run(
    content: ImageContent,
    layout: Layout,
    target: BlockTarget,
    *,
    checks: Sequence[Check],
    reached: Callable[[int], None],
    begun: Arrival | None = None,
    written: Callable[[], None] = lambda: None,
) -> None:
    """Write the disk to `target`, and judge the image by the `checks` of its hash.

    `reached(bytes of the image that have been read)` is called often; what it raises stops the pass. `begun` is the
    image's arrival by these checks, if it has begun already. `written` is called when all is written, while the last of
    it is still being hashed.

    Raises:
        ImageUnacceptable: the image is shorter or longer than its size, has another hash or no good signature, or is broken.
        Whatever the image service, `target` or `reached` raise.
    """
    note = _taken_up(target.kept, checks)
    if begun is None or not begun.claim(note.position):
        begun = Arrival(content, checks, note.position, note.hashes)
    with begun as arrival, _Writer(layout, target) as writer:
        stream = _Stream(arrival.pieces(reached), note.position)
        told = time.monotonic()
        for part in layout.parts(note.position):
            for position in _write(part, note.position, stream, writer):
                killpoints.reached("between_pieces")
                if time.monotonic() - told >= KEEP_SECONDS:
                    writer.flush()
                    target.keep(msgspec.json.encode(Note(position, arrival.checksum.states())))
                    told = time.monotonic()
        writer.flush()
        stream.finish()
        written()
        arrival.checksum.verify()


def _taken_up(kept: bytes | None, checks: Sequence[Check]) -> Note:
    """Where to begin: behind what an earlier pass wrote, if all that is checked was hashed there."""
    note = msgspec.json.decode(kept, type=Note) if kept else Note()
    return note if {one.algorithm for one in note.hashes} == {one.algorithm for one in checks} else Note()


def _write(part: Part, begin: int, stream: "_Stream", writer: "_Writer") -> Iterator[int]:
    """Write a part; yields the positions in the file up to which that is done, one for about each MiB."""
    if part.packed:
        writer.unpack(stream.take(part.position, part.length), part)
        yield part.position + 1
        return
    position, end = max(part.position, begin), part.position + part.length
    while position < end:
        data, first, last = stream.some(position, end - position)
        writer.write(data, part.offset + position - part.position, first, last)
        position += last - first
        yield position


class _Stream:
    """The image from a position on, of which the last few bytes are held."""

    def __init__(self, pieces: Iterator[bytes], position: int) -> None:
        self._pieces = pieces
        self._start, self._held = position, b""

    @property
    def _end(self) -> int:
        return self._start + len(self._held)

    def _next(self) -> bytes:
        piece = next(self._pieces, None)
        if piece is None:
            raise ImageUnacceptable("The image is broken: a part of it lies beyond its end.")
        return piece

    def some(self, position: int, most: int) -> tuple[bytes, int, int]:
        """At least one and at most `most` bytes from `position` on: what is there without waiting for more. They are not
        copied: it is a piece, and where in it they begin and end."""
        while position >= self._end:
            self._start, self._held = self._end, self._next()
        first = position - self._start
        return self._held, first, min(first + most, len(self._held))

    def take(self, position: int, length: int) -> bytes:
        """Exactly these bytes."""
        while position + length > self._end:
            piece = self._next()
            end = self._end + len(piece)
            self._held = self._held[max(0, position - self._start) :] + piece
            self._start = end - len(self._held)
        skip = position - self._start
        return self._held[skip : skip + length]

    def finish(self) -> None:
        """Read what is left, for the hash."""
        deque(self._pieces, maxlen=0)


class _Writer:
    """Writes parts to the target; packed ones by two threads, which unpack a MiB at once. A context manager."""

    def __init__(self, layout: Layout, target: BlockTarget) -> None:
        self._layout = layout
        self._target = target
        self._turn = threading.Lock()
        self._threads = ThreadPoolExecutor(_UNPACKERS, "unpack")
        self._batch: list[tuple[bytes, int]] = []
        self._offsets: list[int] = []
        self._size = 0
        self._pending: deque[Future[None]] = deque()

    def __enter__(self) -> "_Writer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown(cancel_futures=True)

    def write(self, data: bytes, offset: int, first: int, last: int) -> None:
        """As `write_sparsely`, which no target has to expect of two threads at once."""
        with self._turn:
            write_sparsely(self._target, data, offset, first, last)

    def unpack(self, data: bytes, part: Part) -> None:
        """A packed part; it is written a little later. Raises what earlier ones did."""
        self._batch.append((data, part.size))
        self._offsets.append(part.offset)
        self._size += part.size
        if self._size >= PIECE:
            self._submit()
            if len(self._pending) > _BATCHES:
                self._pending.popleft().result()

    def flush(self) -> None:
        """Wait until all is written."""
        if self._batch:
            self._submit()
        while self._pending:
            self._pending.popleft().result()

    def _submit(self) -> None:
        self._pending.append(self._threads.submit(self._write_unpacked, self._offsets, self._batch))
        self._batch, self._offsets, self._size = [], [], 0

    def _write_unpacked(self, offsets: list[int], batch: list[tuple[bytes, int]]) -> None:
        for offset, data in zip(offsets, self._layout.unpack(batch), strict=True):
            self.write(data, offset, 0, len(data))


def write_sparsely(target: BlockTarget, data: bytes, offset: int, first: int, last: int) -> None:
    """Write `data[first:last]` at `offset`, without what is zero in steps of 4 KiB, in as few writes as that takes."""
    if data == _ZEROS:
        return
    view, written = memoryview(data), first
    # what is zero begins with a zero, and few other steps do
    beginnings = data[first:last:_GRAIN]
    step = beginnings.find(0)
    while step >= 0:
        at = first + step * _GRAIN
        end = min(at + _GRAIN, last)
        if data.startswith(_ZERO_GRAIN[: end - at], at):
            if written < at:
                target.pwrite(view[written:at], offset + written - first)
            written = end
        step = beginnings.find(0, step + 1)
    if written < last:
        target.pwrite(view[written:last], offset + written - first)
