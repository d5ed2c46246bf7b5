"""An image that a volume is made of before it is fetched: judged first, then read at any place and from end to end."""

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from breezeblock.drivers.contract import BlockTarget
from breezeblock.images import one_pass
from breezeblock.images.catalog import ImageCatalog
from breezeblock.images.checksum import Check
from breezeblock.images.content import HEAD_SIZE, FileContent, ImageContent, RemoteContent
from breezeblock.images.inspect import ImageFacts, inspect, layout, qemu_format
from breezeblock.images.meter import Meter, Report
from breezeblock.images.random_access import ImageDisk
from breezeblock.images.transfer import check_container
from breezeblock.model.image import Image

FORMATS = frozenset({"raw", "qcow2"})
"""qemu's names of the formats that are hydrated lazily: their tables are small and lie where ranges reach them."""


class LazyImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image that passed the header gate. `disk` reads it at any place, by any number of threads."""

    image: Image
    facts: ImageFacts
    disk: ImageDisk
    _content: ImageContent
    _checks: Sequence[Check]

    def fill(self, target: BlockTarget, report: Report) -> None:
        """Write all of it, in one pass. Raises as `one_pass.run`: `ImageUnacceptable` where the hash is another one."""
        meter = Meter(report, self.facts.file_size)
        one_pass.run(self._content, self.disk.layout, target, checks=self._checks, reached=meter.reached)
        meter.finish()


def open_image(
    catalog: ImageCatalog,
    image: Image,
    *,
    volume_size: int,
    checks: Sequence[Check],
    vmdk_allowed_types: tuple[str, ...],
) -> LazyImage:
    """Look at header and tables; `volume_size` is GiB. There is nothing to close: what is open goes with the object.

    Raises:
        ImageUnacceptable: it is not what it claims, or does not fit.
        RangesUnsupported, Scattered: it cannot be read at any place.
        NotFound, ServiceUnavailable: what the image service answers.
    """
    check_container(image)
    path = catalog.local_path(image.id)
    whole: ImageContent = RemoteContent(catalog, image) if path is None else _HeldFile(path)
    facts = inspect(
        whole,
        image.disk_format or "",
        max_virtual_size=volume_size << 30,
        vmdk_allowed_types=vmdk_allowed_types,
    )
    parts = layout(whole, facts)
    ranges = whole if path is not None else _Ranges(catalog, image, whole)
    return LazyImage(image=image, facts=facts, disk=ImageDisk(ranges, parts), _content=whole, _checks=checks)


def is_lazy_format(image: Image) -> bool:
    """Whether images of this format can be hydrated lazily. Raises `ImageUnacceptable` for a format nobody knows."""
    return qemu_format(image.disk_format) in FORMATS


class _HeldFile(FileContent):
    """A file that is closed when nobody holds this any more: a read may still be under way when the flow ends."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        super().__init__(self._descriptor)

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):
            os.close(self._descriptor)


class _Ranges:
    """The image for those who remember blocks by themselves. Its beginning has been fetched already."""

    def __init__(self, catalog: ImageCatalog, image: Image, whole: ImageContent) -> None:
        self.size = whole.size
        self._catalog = catalog
        self._id = image.id
        self._whole = whole

    def pread(self, length: int, offset: int) -> bytes:
        """By one range."""
        if offset + length <= HEAD_SIZE:
            return self._whole.pread(length, offset)
        return self._catalog.read(self._id, min(length, self.size - offset), offset)
