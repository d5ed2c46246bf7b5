"""The bytes of an image on their way into a volume: rung 4's work.

The header and the tables are judged first, read by ranges while the image begins to arrive; then the disk goes into the
volume in one pass (`one_pass`). Only an image service that sends no ranges, and an image whose parts are so many or so entangled that one
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
from breezeblock.images.arrival import Arrival
from breezeblock.images.catalog import ImageCatalog, RangesUnsupported
from breezeblock.images.checksum import Check, checks_of
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
        fetch: Callable[[BlockTarget, Meter, Callable[[], None]], None] | None = None,
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

        def look_again() -> None:
            with open_file(Path(target.uri)) as fetched:
                found = inspect(fetched, self.image.disk_format or "", max_virtual_size=self.facts.virtual_size)
            if found != self.facts:
                raise ImageUnacceptable("The image changed while it was fetched.")

        self._fetch(target, meter, look_again)
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
    ahead: bool = True,
    vmdk_allowed_types: tuple[str, ...] = ("streamOptimized", "monolithicSparse"),
    limits: Limits | None = None,
) -> Iterator[PreparedImage]:
    """Look at an image before anything is written anywhere.

    `volume_size` is GiB, `spool_dir` a directory on the target's filesystem; what is put there is gone at the end,
    however this process ends. `report` tells of the fetching, where that is apart from the writing. The image is
    judged by `checks`, by default by its checksum. Unless it `may_spool`, an image that needs a copy on disk is refused. It
    begins to arrive while it is looked at, if `ahead`: that is for nothing where a part of it was written already.

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
        if path is not None:
            file = stack.enter_context(open_file(path))
            yield _of_file(image, file, look(file), checks, limits)
            return
        is_raw = qemu_format(image.disk_format) == "raw"
        if is_raw:
            _check_size(image, limit)
        remote = RemoteContent(catalog, image)
        begun = stack.enter_context(Arrival(remote, checks)) if ahead else None
        try:
            facts = _look_at_beginning(remote, image) if is_raw else look(remote)
            prepared = _in_one_pass(image, remote, facts, layout(remote, facts), checks, begun)
        except (RangesUnsupported, Scattered):
            if not may_spool:
                raise ImageUnacceptable(
                    "The image cannot be read in one pass, and for an encrypted volume no copy of it is put on a disk in "
                    "plain. Upload it as raw, or convert it with qemu-img convert and upload it again."
                ) from None
            begun = begun or stack.enter_context(Arrival(remote, checks))
            pieces = _verified(begun, Meter(report, remote.size))
            file = FileContent(stack.enter_context(spooled(pieces, remote.size, spool_dir)))
            prepared = _of_file(image, file, look(file), (), limits)
        yield prepared


def check_container(image: Image) -> None:
    """Raises `ImageUnacceptable` for an image that is packed into something."""
    if image.container_format not in _CONTAINERS:
        raise ImageUnacceptable(
            f"The image's container format is {image.container_format}; only bare images can be made volumes of."
        )


def _check_size(image: Image, limit: int) -> None:
    """Refuse a raw image that is empty, or larger than the volume."""
    if not image.size:
        raise ImageUnacceptable("The image has no content.")
    if image.size > limit:
        raise ImageUnacceptable(
            f"The image has {image.size} bytes, which does not go into a volume of {limit // _GiB} GiB."
        )


def _look_at_beginning(content: RemoteContent, image: Image) -> ImageFacts:
    """A raw image of a service elsewhere is judged by its beginning alone, so no ranges are needed."""
    inspect_head(content.pread(HEAD_SIZE, 0), image.disk_format or "")
    return ImageFacts(format="raw", virtual_size=content.size, file_size=content.size)


def _in_one_pass(
    image: Image,
    content: ImageContent,
    facts: ImageFacts,
    parts: Layout,
    checks: Sequence[Check],
    begun: Arrival | None = None,
) -> PreparedImage:
    whole = Layout(facts.file_size)
    whole.add(0, facts.file_size, 0, facts.file_size)

    def fill(target: BlockTarget, meter: Meter) -> None:
        one_pass.run(content, parts, target, checks=checks, reached=meter.reached, begun=begun)

    def fetch(target: BlockTarget, meter: Meter, written: Callable[[], None]) -> None:
        one_pass.run(content, whole, target, checks=checks, reached=meter.reached, begun=begun, written=written)

    return PreparedImage(image, facts, fill, fetch)


def _of_file(
    image: Image, file: FileContent, facts: ImageFacts, checks: Sequence[Check], limits: Limits | None
) -> PreparedImage:
    """An image that lies here; one that no pass can follow is converted by qemu-img."""
    try:
        return _in_one_pass(image, file, facts, layout(file, facts), checks)
    except Scattered:

        def fill(target: BlockTarget, meter: Meter) -> None:
            if checks:
                with Arrival(file, checks) as arrival:
                    deque(_verified(arrival, meter), maxlen=0)
            _convert(file.fd, facts, target, meter, limits)

        return PreparedImage(image, facts, fill)


def _convert(fd: int, facts: ImageFacts, target: BlockTarget, meter: Meter, limits: Limits | None) -> None:
    # the converter tells how far the disk is, and the meter counts the image's bytes
    def report(done: int) -> None:
        meter.reached(done * facts.file_size // facts.virtual_size)

    convert(fd, facts, target, report=report, limits=limits)
    meter.reached(facts.file_size)


def _verified(arrival: Arrival, meter: Meter) -> Generator[bytes, None, None]:
    """The image's bytes; raises at the end when they are not what they should be."""
    yield from arrival.pieces(meter.reached)
    arrival.checksum.verify()
    meter.finish()
