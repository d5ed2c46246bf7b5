"""Every kind of image ends up in a volume with the content of the disk it was made of, or nothing does."""

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from breezeblock.commands import Limits
from breezeblock.errors import BackendOutOfSpace, Cancelled, CommandFailed, ImageUnacceptable
from breezeblock.images import convert
from breezeblock.images.content import HEAD_SIZE, FileContent
from breezeblock.images.inspect import inspect
from breezeblock.images.transfer import prepare
from breezeblock.model.image import Image
from tests.unit import image_files
from tests.unit.image_files import DISK_SIZE, GRUB_ISO, KINDS, FileCatalog, FileTarget

SIZE = 64 << 20


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One image of each kind, of the same disk, which is `source`."""
    directory = tmp_path_factory.mktemp("images")
    source = image_files.disk(directory / "source")
    return {kind: image_files.make(source, directory / kind, kind) for kind in KINDS} | {"source": source}


@pytest.fixture
def target(tmp_path: Path) -> Iterator[FileTarget]:
    """An empty volume of 64 MiB."""
    target = FileTarget(tmp_path / "volume", SIZE)
    yield target
    target.close()


class Reports(list[tuple[int, int | None]]):
    """What was reported."""

    def __call__(self, done: int, total: int | None) -> None:
        self.append((done, total))


def send(catalog: FileCatalog, image: Image, target: FileTarget, reports: Reports | None = None) -> None:
    """The image into the target, spooled beside it."""
    spool = Path(target.uri).parent / "spool"
    report = Reports() if reports is None else reports
    with prepare(catalog, image, spool_dir=spool, volume_size=1, report=report) as prepared:
        prepared.fill(target, report)
    assert not spool.exists() or not list(spool.iterdir())


def content(target: FileTarget, size: int) -> bytes:
    """The first bytes of a volume; what follows is a hole."""
    data = Path(target.uri).read_bytes()
    assert data.count(0, size) == target.size - size
    return data[:size]


WAYS: dict[str, dict[str, bool]] = {"ranges": {}, "whole": {"ranges": False}, "local": {"local": True}}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_volume_has_the_disk(images: dict[str, Path], target: FileTarget, kind: str, way: str) -> None:
    before = images[kind].read_bytes()
    reports = Reports()
    catalog = FileCatalog(images[kind], **WAYS[way], piece=999_999)
    send(catalog, image_files.image_of(images[kind], KINDS[kind][0]), target, reports)
    assert content(target, DISK_SIZE) == images["source"].read_bytes()
    assert images[kind].read_bytes() == before
    assert os.stat(target.uri).st_blocks * 512 < 3 << 20  # zeros stay holes
    assert reports[-1][0] == reports[-1][1]
    assert all(done <= (total or 0) for done, total in reports)


def test_the_grub_iso_arrives(target: FileTarget) -> None:
    send(FileCatalog(GRUB_ISO, piece=65_537), image_files.image_of(GRUB_ISO, "iso"), target)
    assert content(target, GRUB_ISO.stat().st_size) == GRUB_ISO.read_bytes()


@pytest.mark.parametrize("kind", ["raw", "qcow2"])
@pytest.mark.parametrize("algorithm", ["md5", "sha512", "sha256"])
def test_the_checksum_is_verified(images: dict[str, Path], target: FileTarget, kind: str, algorithm: str) -> None:
    right = hashlib.new(algorithm, images[kind].read_bytes()).hexdigest()
    for value, good in ((right, True), (right[::-1], False)):
        # the strong hash goes before the weak one
        fields = {"checksum": value} if algorithm == "md5" else {"os_hash_algo": algorithm, "os_hash_value": value}
        fields = {"checksum": "0" * 32} | fields
        image = image_files.image_of(images[kind], kind, **fields)
        if good:
            send(FileCatalog(images[kind]), image, target)
        else:
            with pytest.raises(ImageUnacceptable, match="checksum"):
                send(FileCatalog(images[kind]), image, target)


@pytest.mark.parametrize("difference", [-512, 512])
@pytest.mark.parametrize("kind", ["raw", "qcow2"])
def test_another_length_than_announced_is_refused(
    images: dict[str, Path], target: FileTarget, kind: str, difference: int
) -> None:
    image = image_files.image_of(images[kind], kind, size=images[kind].stat().st_size + difference)
    with pytest.raises(ImageUnacceptable, match="bytes"):
        send(FileCatalog(images[kind], ranges=False), image, target)


@pytest.mark.parametrize(("kind", "claim"), [("qcow2", "raw"), ("vdi", "iso"), ("raw", "qcow2"), ("vhdx", "vhd")])
def test_a_lying_image_writes_nothing(images: dict[str, Path], target: FileTarget, kind: str, claim: str) -> None:
    with pytest.raises(ImageUnacceptable, match="claims to be"):
        send(FileCatalog(images[kind]), image_files.image_of(images[kind], claim), target)
    assert target.written == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_disk_larger_than_the_volume_writes_nothing(images: dict[str, Path], tmp_path: Path, kind: str) -> None:
    small = FileTarget(tmp_path / "small", 4096)
    with pytest.raises(ImageUnacceptable, match=r"9[0-9]{6} bytes"):
        send(FileCatalog(images[kind]), image_files.image_of(images[kind], KINDS[kind][0]), small)
    assert small.written == 0
    small.close()


def test_containers_are_refused(images: dict[str, Path], target: FileTarget) -> None:
    with pytest.raises(ImageUnacceptable, match="container format is ova"):
        send(
            FileCatalog(images["vmdk-stream"]),
            image_files.image_of(images["raw"], "raw", container_format="ova"),
            target,
        )


@pytest.mark.parametrize("kind", ["raw", "qcow2", "vmdk-stream"])
def test_a_full_storage_is_told_as_such(images: dict[str, Path], tmp_path: Path, kind: str) -> None:
    class Full(FileTarget):
        def pwrite(self, data: bytes | memoryview, offset: int) -> None:
            raise BackendOutOfSpace("full")

    full = Full(tmp_path / "full", SIZE)
    with pytest.raises(BackendOutOfSpace, match="full"):
        send(FileCatalog(images[kind]), image_files.image_of(images[kind], KINDS[kind][0]), full)
    full.close()


def test_no_room_to_spool_is_told_before_the_download(
    images: dict[str, Path], target: FileTarget, tmp_path: Path
) -> None:
    path = tmp_path / "long"
    path.write_bytes(images["qcow2"].read_bytes())
    os.truncate(path, 2 * HEAD_SIZE)
    image = image_files.image_of(path, "qcow2", size=1 << 60)
    with pytest.raises(BackendOutOfSpace, match="room for"):
        send(FileCatalog(path, ranges=False), image, target)


@pytest.mark.parametrize("kind", ["raw", "qcow2"])
def test_a_report_may_cancel(images: dict[str, Path], target: FileTarget, kind: str) -> None:
    def report(done: int, total: int | None) -> None:
        raise Cancelled

    threads = threading.active_count()
    image = image_files.image_of(images[kind], kind)
    catalog, spool = FileCatalog(images[kind]), Path(target.uri).parent
    with prepare(catalog, image, spool_dir=spool, volume_size=1, report=report) as prepared:
        with pytest.raises(Cancelled):
            prepared.fill(target, report)
    assert threading.active_count() == threads


def test_a_conversion_in_progress_may_be_cancelled(images: dict[str, Path], tmp_path: Path) -> None:
    """The target waits, so the conversion stands still until the report stops it."""
    stopped = threading.Event()

    class Waiting(FileTarget):
        def pwrite(self, data: bytes | memoryview, offset: int) -> None:
            stopped.wait(60)

    def report(done: int) -> None:
        stopped.set()
        raise Cancelled

    with images["qcow2"].open("rb") as file, closing(Waiting(tmp_path / "waiting", SIZE)) as waiting:
        facts = inspect(FileContent(file.fileno()), "qcow2")
        with pytest.raises(Cancelled):
            convert.convert(file.fileno(), facts, waiting, report=report)


def test_a_prepared_image_may_be_written_twice(images: dict[str, Path], tmp_path: Path) -> None:
    image = image_files.image_of(images["vhd-dynamic"], "vhd")
    with prepare(
        FileCatalog(images["vhd-dynamic"]), image, spool_dir=tmp_path / "spool", volume_size=1, report=Reports()
    ) as prepared:
        assert prepared.facts.virtual_size == 9469952
        for name in ("one", "two"):
            volume = FileTarget(tmp_path / name, SIZE)
            prepared.fill(volume, Reports())
            assert content(volume, DISK_SIZE) == images["source"].read_bytes()
            volume.close()


def test_what_kills_the_converter_refuses_the_image(images: dict[str, Path], target: FileTarget) -> None:
    with images["qcow2"].open("rb") as file:
        facts = inspect(FileContent(file.fileno()), "qcow2")
        limits = Limits(address_space=1 << 30, cpu_seconds=0, file_size=0)
        with pytest.raises((ImageUnacceptable, CommandFailed), match="SIG"):
            convert.convert(file.fileno(), facts, target, report=lambda _: None, limits=limits)


def test_a_broken_cluster_refuses_the_image(target: FileTarget, tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"breeze block " * 100_000)
    broken = image_files.make(tmp_path / "text", tmp_path / "broken", "qcow2-zlib")
    data = bytearray(broken.read_bytes())
    data[0x50000:0x50800] = b"\xff" * 0x800
    broken.write_bytes(data)
    with pytest.raises(ImageUnacceptable, match="broken"):
        send(FileCatalog(broken), image_files.image_of(broken, "qcow2"), target)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(
    kind=st.sampled_from([kind for kind in KINDS if kind != "raw"]),
    places=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=8)), min_size=1, max_size=8),
)
def test_what_passes_the_gate_by_chance_ends_in_an_answer(
    images: dict[str, Path], tmp_path: Path, kind: str, places: list[tuple[float, bytes]]
) -> None:
    data = bytearray(images[kind].read_bytes())
    for place, change in places:
        # tables and headers lie in the first part of most formats
        at = int(place**4 * (len(data) - 8))
        data[at : at + len(change)] = change
    mutated = tmp_path / "mutated"
    mutated.write_bytes(data)
    volume = FileTarget(tmp_path / "volume-of-it", SIZE)
    try:
        with suppress(ImageUnacceptable):
            send(FileCatalog(mutated, local=True), image_files.image_of(mutated, KINDS[kind][0]), volume)
    finally:
        volume.close()
