"""The bytes of an image: read as a `BlockSource`, written as a `BlockTarget`."""

from collections.abc import Callable, Iterator

from breezeblock.drivers.contract import REWRITTEN_BYTES, Extent, Rewrite
from breezeblock.drivers.rbd.cluster import Cluster, OpenImage
from breezeblock.errors import DriverError

WINDOW = 64 << 30
"""Bytes of an image whose extents are asked for at once."""

PIECE = 4 << 20


class ImageSource(OpenImage):
    """A `BlockSource`: an image, or a snapshot of it."""

    def extents(self) -> Iterator[Extent]:
        """The whole of it in order, as runs of data and of zeros; those of data as byte-exact as the storage knows."""
        end = 0
        for start in range(0, self.size, WINDOW):
            for offset, length in self.of("extents", start, min(WINDOW, self.size - start)):
                if offset > end:
                    yield Extent(end, offset - end, False)
                yield Extent(offset, length, True)
                end = offset + length
        if end < self.size:
            yield Extent(end, self.size - end, False)

    def changes(self, since: str, *, exact: bool = False) -> Iterator[Extent]:
        """Where it differs from an older snapshot of the same image, by whole objects or by bytes (`exact`)."""
        for start in range(0, self.size, WINDOW):
            length = min(WINDOW, self.size - start)
            for offset, run, exists in self.of("changes", since, start, length, exact):
                yield Extent(offset, min(run, self.size - offset), exists)

    def pread(self, length: int, offset: int) -> bytes:
        """Exactly `length` bytes, less only at the end."""
        end = min(offset + length, self.size)
        return b"".join(self.of("read", min(PIECE, end - at), at) for at in range(offset, end, PIECE))


class ImageTarget(OpenImage):
    """A `BlockTarget`: an image that nobody else knows yet. `note` writes down how far it is."""

    def __init__(
        self, cluster: Cluster, image: str, uri: str, kept: bytes | None, note: Callable[[bytes], None]
    ) -> None:
        super().__init__(cluster, image, writable=True)
        self._note = note
        self.uri = uri
        self.kept = kept

    def pwrite(self, data: bytes | memoryview, offset: int) -> None:
        """Write all of `data`, behind the caller's back; what fails is raised by one of the next calls."""
        if offset < 0 or offset + len(data) > self.size:
            raise DriverError(f"Bytes {offset} to {offset + len(data)} are outside of a volume of {self.size} bytes.")
        for start in range(0, len(data), PIECE):
            self.of("write", offset + start, data=data[start : start + PIECE])

    def keep(self, note: bytes) -> None:
        """Put what is written on stable storage, then the note."""
        self.sync()
        self._note(note)

    def sync(self) -> None:
        """Put all that is written on stable storage."""
        self.of("flush")


def rewrite_beginning(cluster: Cluster, image: str, rewrite: Rewrite) -> None:
    """Change what an image begins with, before it is published."""
    with OpenImage(cluster, image, writable=True) as opened:
        beginning = opened.of("read", min(REWRITTEN_BYTES, opened.size), 0)
        opened.of("write", 0, data=rewrite(beginning))
        opened.of("flush")
