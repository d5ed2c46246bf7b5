"""An image arrives while it is judged: nothing is fetched twice, nothing goes on that nobody waits for."""

import hashlib
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from breezeblock.errors import ImageUnacceptable, ServiceUnavailable
from breezeblock.images import arrival, one_pass
from breezeblock.images.arrival import Arrival
from breezeblock.images.checksum import has_value
from breezeblock.images.content import HEAD_SIZE, RemoteContent
from breezeblock.images.formats.layout import Layout
from breezeblock.images.transfer import prepare
from breezeblock.model.image import Image
from tests.unit import image_files
from tests.unit.image_files import FileCatalog, FileTarget

MiB = 1 << 20
DISK = 40 * MiB


class Watched(FileCatalog):
    """Notes which ranges of bytes are sent; `breaks_at` is the byte at which the whole image breaks off."""

    breaks_at: int | None = None

    def __init__(self, path: Path, *, ranges: bool = True, piece: int = MiB) -> None:
        super().__init__(path, ranges=ranges, piece=piece)
        self.streamed: list[list[int]] = []
        self.ranges: list[tuple[int, int]] = []

    @contextmanager
    def open(self, image_id: str, offset: int = 0) -> Iterator[Iterator[bytes]]:
        sent = [offset, offset]
        self.streamed.append(sent)

        def watched(pieces: Iterator[bytes]) -> Iterator[bytes]:
            for piece in pieces:
                if self.breaks_at is not None and sent[1] >= self.breaks_at:
                    raise ServiceUnavailable("The image service broke off.")
                sent[1] += len(piece)
                yield piece

        with super().open(image_id, offset) as pieces:
            yield watched(pieces)

    def read(self, image_id: str, length: int, offset: int) -> bytes:
        data = super().read(image_id, length, offset)
        self.ranges.append((offset, length))
        return data


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 MiB that cannot be packed."""
    path = tmp_path_factory.mktemp("arrival") / "disk"
    path.write_bytes(random.Random(7).randbytes(DISK))
    return path


@pytest.fixture(scope="module")
def qcow2(disk: Path) -> Path:
    """An image of it."""
    return image_files.make(disk, disk.parent / "qcow2", "qcow2")


@pytest.fixture
def target(tmp_path: Path) -> Iterator[FileTarget]:
    """An empty volume."""
    made = FileTarget(tmp_path / "volume", 64 * MiB)
    yield made
    made.close()


def wait_for(catalog: Watched, size: int) -> None:
    """Until so many bytes of the image were sent."""
    deadline = time.monotonic() + 30
    while not catalog.streamed or catalog.streamed[0][1] < size:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def image_of(path: Path, disk_format: str) -> Image:
    """With its checksum."""
    digest = hashlib.sha512(path.read_bytes()).hexdigest()
    return image_files.image_of(path, disk_format, os_hash_algo="sha512", os_hash_value=digest)


def untold(done: int, total: int | None) -> None:
    """Nobody is told."""


@pytest.mark.parametrize("piece", [MiB, 4096])
def test_the_beginning_comes_with_the_rest(qcow2: Path, target: FileTarget, tmp_path: Path, piece: int) -> None:
    catalog = Watched(qcow2, piece=piece)
    with prepare(catalog, image_of(qcow2, "qcow2"), spool_dir=tmp_path, volume_size=1, report=untold) as prepared:
        # what arrives before anybody asks for it has a bound, which the size of the pieces changes
        wait_for(catalog, HEAD_SIZE)
        time.sleep(0.1)
        assert catalog.streamed[0][1] <= HEAD_SIZE + (arrival._PIECES + 2) * piece
        prepared.fill(target, untold)
    size = qcow2.stat().st_size
    assert catalog.streamed == [[0, size]]
    assert all(at >= HEAD_SIZE for at, _ in catalog.ranges)
    assert sum(length for _, length in catalog.ranges) < 2 * MiB
    assert Path(target.uri).read_bytes()[:DISK] == (qcow2.parent / "disk").read_bytes()


def test_the_end_is_one_range(qcow2: Path, tmp_path: Path) -> None:
    catalog = Watched(qcow2)
    with prepare(catalog, image_of(qcow2, "qcow2"), spool_dir=tmp_path, volume_size=1, report=untold):
        assert len(catalog.ranges) == 1


def test_nothing_goes_on_that_nobody_waits_for(qcow2: Path, tmp_path: Path) -> None:
    threads = threading.active_count()
    catalog = Watched(qcow2)
    with prepare(catalog, image_of(qcow2, "qcow2"), spool_dir=tmp_path, volume_size=1, report=untold):
        wait_for(catalog, HEAD_SIZE)
    with pytest.raises(ImageUnacceptable, match="claims to be"):
        with prepare(Watched(qcow2), image_of(qcow2, "vdi"), spool_dir=tmp_path, volume_size=1, report=untold):
            pass
    assert threading.active_count() == threads


def test_a_pass_that_is_taken_up_has_an_arrival_of_its_own(disk: Path, target: FileTarget) -> None:
    catalog, image = Watched(disk), image_of(disk, "raw")
    checks = (has_value("sha512", image.os_hash_value or ""),)
    whole = Layout(DISK)
    whole.add(0, DISK, 0, DISK)
    half = DISK // 2
    content = disk.read_bytes()
    target.pwrite(content[:half], 0)
    with Arrival(RemoteContent(catalog, image), checks) as first:
        for _ in range(half // MiB):
            next(first.pieces(lambda _: None))
        # the hash may be ahead of what is written
        target.keep(msgspec.json.encode(one_pass.Note(half, first.checksum.states())))
    remote = RemoteContent(catalog, image)
    with Arrival(remote, checks) as begun:
        remote.pread(512, 0)
        one_pass.run(remote, whole, target, checks=checks, reached=lambda _: None, begun=begun)
    assert catalog.streamed[-1] == [half, DISK]
    assert target.written == DISK
    assert Path(target.uri).read_bytes()[:DISK] == content


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("disk_format", ["raw", "qcow2"])
def test_whoever_has_a_part_already_fetches_no_more_than_the_beginning(
    disk: Path, qcow2: Path, target: FileTarget, tmp_path: Path, disk_format: str, ranges: bool
) -> None:
    path = disk if disk_format == "raw" else qcow2
    catalog, image = Watched(path, ranges=ranges), image_of(path, disk_format)
    with prepare(catalog, image, spool_dir=tmp_path, volume_size=1, report=untold, ahead=False) as prepared:
        if ranges:
            assert catalog.streamed == []
        elif disk_format == "raw":
            assert catalog.streamed == [[0, HEAD_SIZE]]
        prepared.fill(target, untold)
    assert Path(target.uri).read_bytes()[:DISK] == disk.read_bytes()


def test_an_image_that_lies_in_its_beginning_needs_no_ranges(target: FileTarget, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(random.Random(8).randbytes(MiB))
    path = image_files.make(source, tmp_path / "small", "qcow2-zlib")
    assert path.stat().st_size < HEAD_SIZE
    catalog = Watched(path, ranges=False)
    with prepare(catalog, image_of(path, "qcow2"), spool_dir=tmp_path / "spool", volume_size=1, report=untold) as one:
        one.fill(target, untold)
    assert not (tmp_path / "spool").exists()
    assert len(catalog.streamed) == 1
    assert Path(target.uri).read_bytes()[:MiB] == source.read_bytes()


@pytest.mark.parametrize("breaks_at", [0, MiB, 20 * MiB])
def test_what_breaks_off_is_told(qcow2: Path, target: FileTarget, tmp_path: Path, breaks_at: int) -> None:
    threads = threading.active_count()
    catalog = Watched(qcow2)
    catalog.breaks_at = breaks_at
    with pytest.raises(ServiceUnavailable, match="broke off"):
        with prepare(catalog, image_of(qcow2, "qcow2"), spool_dir=tmp_path, volume_size=1, report=untold) as prepared:
            prepared.fill(target, untold)
    assert threading.active_count() == threads


def test_a_fetched_file_is_looked_at_before_its_hash_is_judged(qcow2: Path, tmp_path: Path) -> None:
    """Header and hash are both wrong of what was written: while the last of it is hashed, the header is looked at."""
    image = image_files.image_of(qcow2, "qcow2", os_hash_algo="sha512", os_hash_value="0" * 128)
    fetched = FileTarget(tmp_path / "fetched", qcow2.stat().st_size)

    class Spoiled(FileTarget):
        def pwrite(self, data: bytes | memoryview, offset: int) -> None:
            fetched.pwrite(bytes(len(data)) if offset == 0 else data, offset)

    spoiled = Spoiled(tmp_path / "other", qcow2.stat().st_size)
    spoiled.uri = fetched.uri
    with prepare(Watched(qcow2), image, spool_dir=tmp_path, volume_size=1, report=untold) as prepared:
        with pytest.raises(ImageUnacceptable, match="claims to be"):
            prepared.fetch(spoiled, untold)
    fetched.close()
    spoiled.close()
