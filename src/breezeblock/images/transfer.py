"""The bytes of an image on their way into a volume: rung 4's work.

Disks that are bytes already (raw, iso) go to the volume in one pass as they arrive, hashed on the way. Other formats
need random access: a file on this machine is used in place, any other is put into a nameless temporary file first,
inspected as a whole, and converted in a sandbox.
"""

import errno
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from breezeblock import killpoints
from breezeblock.commands import Limits
from breezeblock.drivers.contract import BlockTarget
from breezeblock.errors import BackendOutOfSpace, ImageUnacceptable
from breezeblock.images.catalog import ImageCatalog
from breezeblock.images.convert import convert
from breezeblock.images.inspect import HEAD_SIZE, ImageFacts, inspect, inspect_head, qemu_format
from breezeblock.model.image import Image

Report = Callable[[int, int | None], None]
"""`report(bytes_done, bytes_total)`, at most twice a second and at the end; may raise `Cancelled`."""

PIECE = 1 << 20
_GRAIN = 4096
_ZEROS = bytes(PIECE)
_GiB = 1 << 30
_REPORT_SECONDS = 0.5


class PreparedImage:
    """An image that may be written to a volume. `facts.virtual_size` says how large that has to be, in bytes."""

    def __init__(self, image: Image, facts: ImageFacts, fill: Callable[[BlockTarget, "_Meter"], None]) -> None:
        self.image = image
        self.facts = facts
        self._fill = fill

    def fill(self, target: BlockTarget, report: Report) -> None:
        """Write the image's disk to `target`; ranges of zeros stay holes. May be called again on an empty target.

        Raises:
            ImageUnacceptable: the content is not what the image service said, or cannot be converted.
            Cancelled, BackendOutOfSpace, …: what `report` and `target` raise.
        """
        if self.facts.virtual_size > target.size:
            raise ImageUnacceptable(
                f"The image's disk has {self.facts.virtual_size} bytes and the volume {target.size}."
            )
        meter = _Meter(report, self.facts.virtual_size)
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
    vmdk_allowed_types: tuple[str, ...] = ("streamOptimized", "monolithicSparse"),
    limits: Limits | None = None,
) -> Iterator[PreparedImage]:
    """Fetch the image if that is needed, and look at it before anything is written anywhere.

    `volume_size` is GiB, `spool_dir` a directory on the target's filesystem; what is put there is gone at the end,
    however this process ends. `report` tells of the fetching.

    Raises:
        ImageUnacceptable: the image's format, header, size or checksum is wrong.
        BackendOutOfSpace: `spool_dir` has no room for it.
        NotFound, ServiceUnavailable: what the image service answers.
    """
    limit = volume_size * _GiB
    qemu_name = qemu_format(image.disk_format)
    if image.container_format not in {None, "bare", "ami", "ari", "aki"}:
        raise ImageUnacceptable(
            f"The image's container format is {image.container_format}; only bare images can be made volumes of."
        )
    if qemu_name == "raw":
        size = image.size or 0
        if not 0 < size <= limit:
            raise ImageUnacceptable(
                f"The image has {size} bytes, which does not go into a volume of {volume_size} GiB."
                if size
                else "The image has no content."
            )
        facts = ImageFacts(format="raw", virtual_size=size, file_size=size)
        yield PreparedImage(image, facts, lambda target, meter: _stream(catalog, image, target, meter))
        return
    path = catalog.local_path(image.id)
    with open(path, "rb", buffering=0) if path else _spool(catalog, image, spool_dir, report) as file:
        fd = file.fileno()
        facts = inspect(
            fd, image.disk_format or "", max_virtual_size=limit, vmdk_allowed_types=tuple(vmdk_allowed_types)
        )
        yield PreparedImage(
            image, facts, lambda target, meter: convert(fd, facts, target, report=meter.reached, limits=limits)
        )


def transfer(
    catalog: ImageCatalog,
    image: Image,
    target: BlockTarget,
    *,
    spool_dir: Path,
    volume_size: int,
    report: Report,
    vmdk_allowed_types: tuple[str, ...] = ("streamOptimized", "monolithicSparse"),
    limits: Limits | None = None,
) -> ImageFacts:
    """`prepare` and `fill` in one, for a target that is there already. Arguments and errors are theirs."""
    with prepare(
        catalog,
        image,
        spool_dir=spool_dir,
        volume_size=volume_size,
        report=report,
        vmdk_allowed_types=vmdk_allowed_types,
        limits=limits,
    ) as prepared:
        prepared.fill(target, report)
        return prepared.facts


class _Meter:
    """Hands on how far the work is, at most twice a second."""

    def __init__(self, report: Report, total: int | None) -> None:
        self._report = report
        self._total = total
        self._done = 0
        self._told_at = 0.0

    def reached(self, done: int) -> None:
        self._done = done
        now = time.monotonic()
        if now - self._told_at >= _REPORT_SECONDS:
            self._told_at = now
            self._report(done, self._total)

    def finish(self) -> None:
        self._report(self._done, self._total)


class _Checksum:
    """The image's hash, computed in a thread of its own: hashing sets the interpreter free, so it runs beside I/O."""

    def __init__(self, image: Image) -> None:
        self._image = image
        self._digest: Any = None
        self._expected: str | None = None
        if image.os_hash_value and image.os_hash_algo and image.os_hash_algo in hashlib.algorithms_available:
            self._digest, self._expected = hashlib.new(image.os_hash_algo), image.os_hash_value
        elif image.checksum:
            self._digest, self._expected = hashlib.md5(usedforsecurity=False), image.checksum
        self._pool = ThreadPoolExecutor(1, "image-hash")
        self._pending: Future[None] | None = None

    def __enter__(self) -> "_Checksum":
        return self

    def __exit__(self, *exc: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def update(self, piece: bytes) -> None:
        """Hash a piece while the caller goes on; one piece at most is waiting."""
        if self._digest is None:
            return
        if self._pending:
            self._pending.result()
        self._pending = self._pool.submit(self._digest.update, piece)

    def verify(self, received: int) -> None:
        """Refuse what is not as long as announced, or another content."""
        if self._pending:
            self._pending.result()
        if self._image.size is not None and received != self._image.size:
            raise ImageUnacceptable(f"The image service sent {received} of the image's {self._image.size} bytes.")
        if self._digest is not None and self._digest.hexdigest() != self._expected:
            raise ImageUnacceptable(
                f"The image's content does not have its checksum ({self._digest.name}); upload the image again."
            )


def _verified(catalog: ImageCatalog, image: Image) -> Generator[bytes, None, None]:
    """The image in pieces of a MiB; raises at the end when they are not what they should be."""
    received = 0
    with catalog.open(image.id) as pieces, _Checksum(image) as checksum:
        for piece in _evenly(pieces):
            received += len(piece)
            if image.size is not None and received > image.size:
                raise ImageUnacceptable(f"The image service sent more than the image's {image.size} bytes.")
            checksum.update(piece)
            yield piece
        checksum.verify(received)


def _evenly(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of exactly `PIECE`, but for the last; those of the right size are not copied."""
    held = bytearray()
    for piece in pieces:
        if not held and len(piece) == PIECE:
            yield piece
            continue
        held += piece
        while len(held) >= PIECE:
            yield bytes(held[:PIECE])
            del held[:PIECE]
    if held:
        yield bytes(held)


def _stream(catalog: ImageCatalog, image: Image, target: BlockTarget, meter: _Meter) -> None:
    written = 0
    with closing(_verified(catalog, image)) as pieces:
        for piece in _inspected(pieces, image.disk_format or ""):
            _write_sparsely(target, piece, written)
            written += len(piece)
            killpoints.reached("between_pieces")
            meter.reached(written)


def _inspected(pieces: Iterator[bytes], claimed_format: str) -> Iterator[bytes]:
    """The same pieces, the first ones held back until the image's beginning has been judged."""
    head = list(islice(pieces, HEAD_SIZE // PIECE))
    inspect_head(b"".join(head), claimed_format)
    yield from head
    yield from pieces


def _write_sparsely(target: BlockTarget, piece: bytes, offset: int) -> None:
    """Write the runs of a piece that are not zero, found in steps of 4 KiB, in as few writes as there are runs."""
    if piece == _ZEROS:
        return
    view = memoryview(piece)
    start: int | None = None
    for at in range(0, len(piece), _GRAIN):
        end = min(at + _GRAIN, len(piece))
        if piece.startswith(_ZEROS[: end - at], at):
            if start is not None:
                target.pwrite(view[start:at], offset + start)
                start = None
        elif start is None:
            start = at
    if start is not None:
        target.pwrite(view[start:], offset + start)


@contextmanager
def _spool(catalog: ImageCatalog, image: Image, spool_dir: Path, report: Report) -> Iterator[Any]:
    """The image as a file that has no name, so that nothing can be left of it."""
    spool_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    room = os.statvfs(spool_dir)
    free = room.f_bavail * room.f_frsize
    if image.size is not None and image.size > free:
        raise BackendOutOfSpace(f"The image has {image.size} bytes and {spool_dir} room for {free}; free some there.")
    with tempfile.TemporaryFile(dir=spool_dir, buffering=0) as file:
        meter, received = _Meter(report, image.size), 0
        with closing(_verified(catalog, image)) as pieces:
            for piece in pieces:
                _write_all(file.fileno(), piece, spool_dir)
                received += len(piece)
                meter.reached(received)
        meter.finish()
        yield file


def _write_all(fd: int, piece: bytes, spool_dir: Path) -> None:
    view = memoryview(piece)
    try:
        while view:
            view = view[os.write(fd, view) :]
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise BackendOutOfSpace(f"{spool_dir} became full while an image was put there.") from error
        raise
