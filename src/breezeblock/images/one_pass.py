"""One pass over an image: its bytes go from the image service into the volume once, as they come.

Each byte is read once and hashed, each part of the disk is unpacked where it is packed and written where it belongs;
zeros are never written. A pass that was killed goes on where it was: every few seconds what is written is put on
stable storage together with a note of how far it is (`BlockTarget.keep`).
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import msgspec

from breezeblock import killpoints
from breezeblock.drivers.contract import BlockTarget
from breezeblock.errors import ImageUnacceptable
from breezeblock.images.ahead import ReadAhead
from breezeblock.images.checksum import Check, Checksum, HashState
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
) -> None:
    """Write the disk to `target`, and judge the image by the `checks` of its hash.

    `reached(bytes of the image that have been read)` is called often; what it raises stops the pass.

    Raises:
        ImageUnacceptable: the image is shorter or longer than its size, has another hash or no good signature, or is broken.
        Whatever the image service, `target` or `reached` raise.
    """
    note = _taken_up(target.kept, checks)
    with (
        Checksum(checks, note.hashes) as checksum,
        _Stream(content, note.position, checksum, reached) as stream,
        _Writer(layout, target) as writer,
    ):
        told = time.monotonic()
        for part in layout.parts(note.position):
            for position in _write(part, note.position, stream, writer):
                killpoints.reached("between_pieces")
                if time.monotonic() - told >= KEEP_SECONDS:
                    writer.flush()
                    target.keep(msgspec.json.encode(Note(position, checksum.states())))
                    told = time.monotonic()
        writer.flush()
        stream.finish()
        checksum.verify()


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
        write_sparsely(writer.target, data, part.offset + position - part.position, first, last)
        position += last - first
        yield position


class _Stream:
    """The image from a position on, of which the last few bytes are held. A context manager."""

    def __init__(
        self, content: ImageContent, position: int, checksum: Checksum, reached: Callable[[int], None]
    ) -> None:
        self._size = content.size
        self._start, self._held = position, b""
        self._checksum = checksum
        self._reached = reached
        self._ahead = ReadAhead(content.pieces(position), lambda: reached(self._end))
        self._pieces = iter(self._ahead)

    def __enter__(self) -> "_Stream":
        self._ahead.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self._ahead.__exit__(*exc)

    @property
    def _end(self) -> int:
        return self._start + len(self._held)

    def _next(self) -> bytes | None:
        piece = next(self._pieces, None)
        if piece is not None:
            if self._end + len(piece) > self._size:
                raise ImageUnacceptable(f"The image service sent more than the image's {self._size} bytes.")
            self._checksum.update(piece, self._end)
            self._reached(self._end + len(piece))
        return piece

    def some(self, position: int, most: int) -> tuple[bytes, int, int]:
        """At least one and at most `most` bytes from `position` on: what is there without waiting for more. They are not
        copied: it is a piece, and where in it they begin and end."""
        while position >= self._end:
            piece = self._next()
            if piece is None:
                raise self._cut_off()
            self._start, self._held = self._end, piece
        first = position - self._start
        return self._held, first, min(first + most, len(self._held))

    def take(self, position: int, length: int) -> bytes:
        """Exactly these bytes."""
        while position + length > self._end:
            piece = self._next()
            if piece is None:
                raise self._cut_off()
            end = self._end
            self._held = self._held[max(0, position - self._start) :] + piece
            self._start = end + len(piece) - len(self._held)
        skip = position - self._start
        return self._held[skip : skip + length]

    def finish(self) -> None:
        """Read what is left, for the hash."""
        while (piece := self._next()) is not None:
            self._start, self._held = self._end, piece
        if self._end != self._size:
            raise self._cut_off()

    def _cut_off(self) -> ImageUnacceptable:
        return ImageUnacceptable(f"The image service sent {self._end} of the image's {self._size} bytes.")


class _Writer:
    """Writes packed parts to the target; they are unpacked by two threads, a MiB at once. A context manager."""

    def __init__(self, layout: Layout, target: BlockTarget) -> None:
        self._layout = layout
        self.target = target
        self._threads = ThreadPoolExecutor(_UNPACKERS, "unpack")
        self._batch: list[tuple[bytes, int]] = []
        self._offsets: list[int] = []
        self._size = 0
        self._pending: deque[tuple[list[int], Future[list[bytes]]]] = deque()

    def __enter__(self) -> "_Writer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown(cancel_futures=True)

    def unpack(self, data: bytes, part: Part) -> None:
        """A packed part; it is written a little later."""
        self._batch.append((data, part.size))
        self._offsets.append(part.offset)
        self._size += part.size
        if self._size >= PIECE:
            self._submit()
            if len(self._pending) > _BATCHES:
                self._write_batch()

    def flush(self) -> None:
        """Write what is still waiting."""
        if self._batch:
            self._submit()
        while self._pending:
            self._write_batch()

    def _submit(self) -> None:
        self._pending.append((self._offsets, self._threads.submit(self._layout.unpack, self._batch)))
        self._batch, self._offsets, self._size = [], [], 0

    def _write_batch(self) -> None:
        offsets, batch = self._pending.popleft()
        for offset, data in zip(offsets, batch.result(), strict=True):
            write_sparsely(self.target, data, offset, 0, len(data))


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
