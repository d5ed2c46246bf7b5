"""A volume as the bytes of an image file, on their way to an image service in one pass: no copy of them is made."""

import hashlib
from collections.abc import Callable, Iterator
from typing import Protocol

from breezeblock.drivers.contract import BlockSource, Extent
from breezeblock.errors import DriverError, ImageUnacceptable
from breezeblock.images.content import HEAD_SIZE
from breezeblock.images.inspect import inspect_head
from breezeblock.images.writers import vhd, vmdk
from breezeblock.images.writers.qcow2 import Qcow2Writer
from breezeblock.images.writers.raw import RawWriter
from breezeblock.images.writers.vdi import VdiWriter
from breezeblock.images.writers.vhd import VhdWriter
from breezeblock.images.writers.vmdk import VmdkWriter


class Writer(Protocol):
    """An image file laid out."""

    length: int | None
    """Bytes; None where only the writing tells."""

    def pieces(self) -> Iterator[bytes]:
        """The file from its first byte to its last; asked again, again."""


WRITERS: dict[str, Callable[[BlockSource, str], Writer]] = {
    "raw": RawWriter,
    "qcow2": Qcow2Writer,
    "vmdk": VmdkWriter,
    "vhd": VhdWriter,
    "vdi": VdiWriter,
}
"""Glance's disk formats that a volume can be written in."""

MOST_BYTES = {"vhd": vhd.MOST_BYTES, "vmdk": vmdk.MOST_BYTES}
"""The largest disk of a format, where that is less than any volume has."""

Report = Callable[[int, int], None]
"""Told after each piece: bytes done, and of how many; of the file, or of the disk where the file's length is not known.
What it raises stops the work."""

Pace = Callable[[int], None]
"""Waits until so many bytes more may be read."""


class VolumeFile:
    """A volume as an image file. It may be iterated again: an image service that lost it wants it once more."""

    def __init__(self, source: BlockSource, disk_format: str, image_id: str, report: Report, pace: Pace) -> None:
        """`disk_format` is one of `WRITERS`.

        Raises:
            ImageUnacceptable: taken as bytes, the volume looks like an image of another format.
        """
        self._source = _FollowedSource(source, pace)
        self._writer = WRITERS[disk_format](self._source, image_id)
        self._report = report
        self.length = self._writer.length
        """Bytes of the file; None where only the writing tells."""
        if disk_format == "raw":
            _check_plain(source)

    def __iter__(self) -> Iterator[bytes]:
        """The pieces of the file. Raises `DriverError` where the volume cannot be read, and whatever `report` raises."""
        sent, size = 0, self._source.size
        self._source.reached = 0
        try:
            for piece in self._writer.pieces():
                yield piece
                sent += len(piece)
                done, total = (self._source.reached, size) if self.length is None else (sent, self.length)
                self._report(done, total)
            self._report(total, total)
        except OSError as error:
            raise DriverError(f"The volume could not be read ({error.strerror}).") from error

    def digest(self, algorithm: str) -> str:
        """The hash of the whole file, by hashlib's name."""
        digest = hashlib.new(algorithm)
        for piece in self:
            digest.update(piece)
        return digest.hexdigest()


class _FollowedSource:
    """A source that is read no faster than it may be, and knows how far it was."""

    def __init__(self, source: BlockSource, pace: Pace) -> None:
        self.size = source.size
        self.reached = 0
        self._source = source
        self._pace = pace

    def extents(self) -> Iterator[Extent]:
        return self._source.extents()

    def pread(self, length: int, offset: int) -> bytes:
        self._pace(length)
        self.reached = offset + length
        return self._source.pread(length, offset)


def _check_plain(source: BlockSource) -> None:
    """An image service looks at what it gets; what it would refuse at the end is refused at the beginning."""
    try:
        inspect_head(source.pread(min(HEAD_SIZE, source.size), 0), "raw")
    except ImageUnacceptable as error:
        raise ImageUnacceptable(
            "The volume's content is itself an image of another format, and no image service takes it as raw. "
            "Upload it as qcow2."
        ) from error
