"""The bytes of an image on their way into a volume: rung 4's work.

The header and the tables are read first, by ranges, and judged; then the disk goes into the volume in one pass
(`one_pass`). Only an image service that sends no ranges, and an image whose parts are so many or so entangled that one
pass cannot follow them, need a copy on disk: a nameless file on the target's filesystem. The entangled ones are given
to qemu-img in a sandbox.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from breezeblock.commands import Limits
from breezeblock.drivers.contract import BlockTarget
from breezeblock.errors import ImageUnacceptable
from breezeblock.images import one_pass
from breezeblock.images.catalog import ImageCatalog, RangesUnsupported
from breezeblock.images.checksum import Check, Checksum, checks_of
from breezeblock.images.content import HEAD_SIZE, FileContent, ImageContent, RemoteContent, open_file, spooled
from breezeblock.images.convert import convert
from breezeblock.images.formats.layout import Layout, Scattered
from breezeblock.images.inspect import ImageFacts, inspect, inspect_head, layout, qemu_format
from breezeblock.images.meter import Meter, Report
from breezeblock.model.image import Image

_GiB = 1 << 30
_CONTAINERS = {None, "bare", "ami", "ari", "aki"}


class PreparedImage:
    """An image that may be written to a volume. `facts.virtual_size` says how large that has to be, in bytes."""

    def __init__(
        self,
        image: Image,
        facts: ImageFacts,
        fill: Callable[[BlockTarget, Meter], None],
        fetch: Callable[[BlockTarget, Meter], None] | None = None,
    ) -> None:
        self.image = image
        self.facts = facts
        self._fill = fill
        self._fetch = fetch

    @property
    def can_be_fetched(self) -> bool:
        """Whether `fetch` can be had: whether one pass reads the image where it lies."""
        return self._fetch is not None

    def fetch(self, target: BlockTarget, report: Report) -> None:
        """Write the image's file as it is to a file of its size (`target.uri`), checked like the disk in `fill`.

        Raises as `fill`; `ImageUnacceptable` also where what came is not what was looked at.
        """
        assert self._fetch is not None
        meter = Meter(report, self.facts.file_size)
        self._fetch(target, meter)
        with open_file(Path(target.uri)) as fetched:
            found = inspect(fetched, self.image.disk_format or "", max_virtual_size=self.facts.virtual_size)
        if found != self.facts:
            raise ImageUnacceptable("The image changed while it was fetched.")
        meter.finish()

    def fill(self, target: BlockTarget, report: Report) -> None:
        """Write the image's disk to `target`; ranges of zeros stay holes. May be called again, also to go on where a
        killed one was.

        Raises:
            ImageUnacceptable: the content is not what the image service said, or cannot be converted.
            Cancelled, BackendOutOfSpace, …: what `report` and `target` raise.
        """
        if self.facts.virtual_size > target.size:
            raise ImageUnacceptable(
                f"The image's disk has {self.facts.virtual_size} bytes and the volume {target.size}."
            )
        meter = Meter(report, self.facts.file_size)
        self._fill(target, meter)
        meter.finish()


@contextmanager
def prepare(
    catalog: ImageCatalog,
    image: Image,
    *,
    spool_dir: Path,
    volume_size: int,
    report: Report,
    checks: Sequence[Check] | None = None,
    may_spool: bool = True,
    vmdk_allowed_types: tuple[str, ...] = ("streamOptimized", "monolithicSparse"),
    limits: Limits | None = None,
) -> Iterator[PreparedImage]:
    """Look at an image before anything is written anywhere.

    `volume_size` is GiB, `spool_dir` a directory on the target's filesystem; what is put there is gone at the end,
    however this process ends. `report` tells of the fetching, where that is apart from the writing. The image is
    judged by `checks`, by default by its checksum. Unless it `may_spool`, an image that needs a copy on disk is refused.

    Raises:
        ImageUnacceptable: the image's format, header, size, checksum or signature is wrong.
        BackendOutOfSpace: `spool_dir` has no room for it.
        NotFound, ServiceUnavailable: what the image service answers.
    """
    check_container(image)
    checks = checks_of(image) if checks is None else checks
    limit = volume_size * _GiB

    def look(content: ImageContent) -> ImageFacts:
        claimed = image.disk_format or ""
        return inspect(content, claimed, max_virtual_size=limit, vmdk_allowed_types=vmdk_allowed_types)

    with ExitStack() as stack:
        path = catalog.local_path(image.id)
        if path is None and qemu_format(image.disk_format) == "raw":
            yield _stream(catalog, image, limit, checks)
            return
        if path is not None:
            file = stack.enter_context(open_file(path))
            yield _of_file(image, file, look(file), checks, limits)
            return
        remote = RemoteContent(catalog, image)
        try:
            facts = look(remote)
            prepared = _in_one_pass(image, remote, facts, layout(remote, facts), checks)
        except (RangesUnsupported, Scattered):
            if not may_spool:
                raise ImageUnacceptable(
                    "The image cannot be read in one pass, and for an encrypted volume no copy of it is put on a disk in "
                    "plain. Upload it as raw, or convert it with qemu-img convert and upload it again."
                ) from None
            pieces = _verified(remote, checks, Meter(report, remote.size))
            file = FileContent(stack.enter_context(spooled(pieces, remote.size, spool_dir)))
            prepared = _of_file(image, file, look(file), (), limits)
        yield prepared


def check_container(image: Image) -> None:
    """Raises `ImageUnacceptable` for an image that is packed into something."""
    if image.container_format not in _CONTAINERS:
        raise ImageUnacceptable(
            f"The image's container format is {image.container_format}; only bare images can be made volumes of."
        )


def _stream(catalog: ImageCatalog, image: Image, limit: int, checks: Sequence[Check]) -> PreparedImage:
    """A raw image of a service elsewhere: it is judged by its beginning as it comes, so no ranges are needed."""
    size = image.size or 0
    if not 0 < size <= limit:
        raise ImageUnacceptable(
            f"The image has {size} bytes, which does not go into a volume of {limit // _GiB} GiB."
            if size
            else "The image has no content."
        )
    facts = ImageFacts(format="raw", virtual_size=size, file_size=size)
    content = _JudgedStream(catalog, image)
    return _in_one_pass(image, content, facts, layout(content, facts), checks)


def _in_one_pass(
    image: Image, content: ImageContent, facts: ImageFacts, parts: Layout, checks: Sequence[Check]
) -> PreparedImage:
    whole = Layout(facts.file_size)
    whole.add(0, facts.file_size, 0, facts.file_size)
    return PreparedImage(
        image,
        facts,
        lambda target, meter: one_pass.run(content, parts, target, checks=checks, reached=meter.reached),
        lambda target, meter: one_pass.run(content, whole, target, checks=checks, reached=meter.reached),
    )


def _of_file(
    image: Image, file: FileContent, facts: ImageFacts, checks: Sequence[Check], limits: Limits | None
) -> PreparedImage:
    """An image that lies here; one that no pass can follow is converted by qemu-img."""
    try:
        return _in_one_pass(image, file, facts, layout(file, facts), checks)
    except Scattered:

        def fill(target: BlockTarget, meter: Meter) -> None:
            if checks:
                deque(_verified(file, checks, meter), maxlen=0)
            _convert(file.fd, facts, target, meter, limits)

        return PreparedImage(image, facts, fill)


class _JudgedStream(RemoteContent):
    """A raw image whose first pieces are held back until they have been judged."""

    def __init__(self, catalog: ImageCatalog, image: Image) -> None:
        super().__init__(catalog, image)
        self._claimed = image.disk_format or ""

    def pieces(self, offset: int = 0) -> Iterator[bytes]:
        pieces = super().pieces(offset)
        if offset == 0:
            head: list[bytes] = []
            while sum(map(len, head)) < HEAD_SIZE and (piece := next(pieces, None)) is not None:
                head.append(piece)
            inspect_head(b"".join(head), self._claimed)
            yield from head
        yield from pieces


def _convert(fd: int, facts: ImageFacts, target: BlockTarget, meter: Meter, limits: Limits | None) -> None:
    # the converter tells how far the disk is, and the meter counts the image's bytes
    def report(done: int) -> None:
        meter.reached(done * facts.file_size // facts.virtual_size)

    convert(fd, facts, target, report=report, limits=limits)
    meter.reached(facts.file_size)


def _verified(content: ImageContent, checks: Sequence[Check], meter: Meter) -> Generator[bytes, None, None]:
    """The image's bytes; raises at the end when they are not what they should be."""
    received = 0
    with Checksum(checks) as checksum:
        for piece in content.pieces():
            checksum.update(piece, received)
            received += len(piece)
            if received > content.size:
                raise ImageUnacceptable(f"The image service sent more than the image's {content.size} bytes.")
            yield piece
            meter.reached(received)
        if received != content.size:
            raise ImageUnacceptable(f"The image service sent {received} of the image's {content.size} bytes.")
        checksum.verify()
    meter.finish()
