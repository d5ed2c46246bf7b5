"""One pass over an image: what is killed goes on where it was, hostile layouts end in an answer, nothing is read twice."""

import hashlib
import os
import random
import struct
import subprocess
import threading
import time
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from breezeblock.errors import Cancelled, ImageUnacceptable
from breezeblock.images import one_pass
from breezeblock.images.checksum import NICER, Check, Checksum, has_value
from breezeblock.images.content import RemoteContent, open_file
from breezeblock.images.digest import new_digest
from breezeblock.images.formats.layout import Layout, Scattered
from breezeblock.images.inspect import inspect, layout
from breezeblock.images.transfer import prepare
from breezeblock.model.image import Image
from tests.unit import image_files
from tests.unit.image_files import KINDS, FileCatalog, FileTarget

MiB = 1 << 20
DISK = 48 * MiB


class CountingCatalog(FileCatalog):
    """Counts the bytes that are asked for, and breaks off where it is told to."""

    fetched = 0
    stop_after: int | None = None

    @contextmanager
    def open(self, image_id: str, offset: int = 0) -> Iterator[Iterator[bytes]]:
        def counted(pieces: Iterator[bytes]) -> Iterator[bytes]:
            for piece in pieces:
                if self.stop_after is not None and self.fetched + len(piece) > self.stop_after:
                    raise Killed
                self.fetched += len(piece)
                yield piece

        with super().open(image_id, offset) as pieces:
            yield counted(pieces)

    def read(self, image_id: str, length: int, offset: int) -> bytes:
        self.fetched += length
        return super().read(image_id, length, offset)


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Images of a disk of 48 MiB that cannot be packed much."""
    directory = tmp_path_factory.mktemp("large")
    source, content = directory / "source", random.Random(5)
    with source.open("wb") as file:
        file.truncate(DISK)
        for at in range(0, DISK, 4 * MiB):
            file.seek(at)
            file.write(content.randbytes(3 * MiB) + b"text " * 10_000)
    return {kind: image_files.make(source, directory / kind, kind) for kind in KINDS} | {"source": source}


def checks(path: Path, *algorithms: str) -> tuple[Check, ...]:
    """That it is this image, by its hashes."""
    return tuple(has_value(one, hashlib.new(one, path.read_bytes()).hexdigest()) for one in algorithms or ("sha512",))


# half of the fixed vhdx is empty before its first block, and a note is written only behind a part of the disk
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in {"qcow2-small-clusters", "vhdx-fixed"}])
def test_a_killed_pass_goes_on_where_it_was(
    large: dict[str, Path], tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(one_pass, "KEEP_SECONDS", 0)
    path, size = large[kind], large[kind].stat().st_size
    image = image_files.image_of(path, KINDS[kind][0])
    catalog, target = CountingCatalog(path), FileTarget(tmp_path / "volume", 64 * MiB)

    def run() -> None:
        content = RemoteContent(catalog, image)
        facts = inspect(content, KINDS[kind][0])
        # as of a signed image: the one is its checksum, the other what is signed
        judged = checks(path, "sha512", "sha384")
        one_pass.run(content, layout(content, facts), target, checks=judged, reached=lambda _: None)

    rounds = 0
    for stop in (size // 4, size // 2, size * 3 // 4, None):
        catalog.stop_after = None if stop is None else catalog.fetched + size // 4 + 8 * MiB
        try:
            run()
            break
        except Killed:
            rounds += 1
    assert rounds >= 2
    # the beginning and the tables are fetched anew in each round, and a little before the place of the note
    assert catalog.fetched < size + (rounds + 1) * 9 * MiB
    assert Path(target.uri).read_bytes()[:DISK] == large["source"].read_bytes()
    target.close()


def test_a_note_of_another_hash_is_not_taken_up(large: dict[str, Path], tmp_path: Path) -> None:
    path = large["raw"]
    target = FileTarget(tmp_path / "volume", 64 * MiB)
    target.kept = b'{"position": 40000000, "hashes": [{"algorithm": "md5", "position": 1, "state": ""}]}'
    with open_file(path) as content:
        parts = layout(content, inspect(content, "raw"))
        one_pass.run(content, parts, target, checks=checks(path), reached=lambda _: None)
    assert Path(target.uri).read_bytes()[:DISK] == path.read_bytes()
    target.close()


def test_another_hash_is_refused_at_the_end(large: dict[str, Path], tmp_path: Path) -> None:
    target = FileTarget(tmp_path / "volume", 64 * MiB)
    with open_file(large["qcow2-zlib"]) as content:
        parts = layout(content, inspect(content, "qcow2"))
        with pytest.raises(ImageUnacceptable, match="checksum"):
            one_pass.run(content, parts, target, checks=(has_value("sha512", "0" * 128),), reached=lambda _: None)
    target.close()


def test_a_target_is_written_by_one_at_a_time(large: dict[str, Path], tmp_path: Path) -> None:
    """Though two threads unpack, and write what they unpacked."""
    writers: set[str] = set()

    class Alone(FileTarget):
        turn = threading.Lock()

        def pwrite(self, data: bytes | memoryview, offset: int) -> None:
            assert self.turn.acquire(blocking=False)
            writers.add(threading.current_thread().name)
            time.sleep(0.001)
            super().pwrite(data, offset)
            self.turn.release()

    target = Alone(tmp_path / "volume", 64 * MiB)
    with open_file(large["vmdk-stream"]) as content:
        parts = layout(content, inspect(content, "vmdk"))
        one_pass.run(content, parts, target, checks=checks(large["vmdk-stream"]), reached=lambda _: None)
    assert len(writers) == 2
    assert Path(target.uri).read_bytes()[:DISK] == large["source"].read_bytes()
    target.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may raise a thread's priority")
def test_the_hash_goes_first() -> None:
    checksum = Checksum((has_value("sha512", hashlib.sha512(b"x").hexdigest()),))
    checksum.update(b"x", 0)
    checksum.verify()
    (thread,) = [one for one in threading.enumerate() if one.name.startswith("image-hash")]
    assert thread.native_id is not None
    expected = max(-20, os.getpriority(os.PRIO_PROCESS, 0) - NICER)
    assert os.getpriority(os.PRIO_PROCESS, thread.native_id) == expected
    checksum.close()


def test_a_hash_goes_on_where_no_priority_may_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "setpriority", refused)
    checksum = Checksum((has_value("sha512", hashlib.sha512(b"x").hexdigest()),))
    checksum.update(b"x", 0)
    checksum.verify()
    checksum.close()


def test_a_stream_that_stands_still_can_be_cancelled(large: dict[str, Path], tmp_path: Path) -> None:
    class Stuck(RemoteContent):
        def pieces(self, offset: int = 0) -> Generator[bytes, None, None]:
            yield bytes(MiB)
            subprocess.run(["sleep", "2"], check=True)

    calls = []

    def reached(done: int) -> None:
        calls.append(done)
        if len(calls) == 3:
            raise Cancelled

    image = Image(id="x", disk_format="raw", size=DISK)
    whole = Layout(DISK)
    whole.add(0, DISK, 0, DISK)
    target = FileTarget(tmp_path / "volume", 64 * MiB)
    with pytest.raises(Cancelled):
        one_pass.run(Stuck(FileCatalog(large["raw"]), image), whole, target, checks=(), reached=reached)
    target.close()


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256", "sha512"])
@given(parts=st.lists(st.binary(max_size=300), max_size=5))
def test_a_hash_is_taken_up_anywhere(algorithm: str, parts: list[bytes]) -> None:
    digest = new_digest(algorithm)
    for part in parts:
        digest = new_digest(algorithm, digest.state())
        digest.update(part)
    assert digest.hexdigest() == hashlib.new(algorithm, b"".join(parts)).hexdigest()


def test_a_hash_that_cannot_be_taken_up_says_so() -> None:
    digest = new_digest("sha3_256")
    digest.update(b"x")
    assert (digest.hexdigest(), digest.state()) == (hashlib.sha3_256(b"x").hexdigest(), None)
    with pytest.raises(ValueError, match="taken up"):
        new_digest("sha3_256", b"state")
    with pytest.raises(ValueError, match="no state"):
        new_digest("md5", b"short")


class TestLayout:
    def test_neighbours_are_one_part(self) -> None:
        found = Layout(100)
        found.add(10, 20, 0, 20)
        found.add(30, 20, 20, 20)
        found.add(60, 20, 40, 20)
        assert [(part.position, part.length, part.offset) for part in found.parts()] == [(10, 40, 0), (60, 20, 40)]

    def test_what_lies_beyond_the_disk_is_cut(self) -> None:
        found = Layout(50)
        found.add(0, 100, 0, 100)
        found.add(200, 10, 60, 10)
        assert [(part.length, part.size) for part in found.parts()] == [(50, 50)]

    def test_parts_come_in_the_order_of_the_file(self) -> None:
        found = Layout(100)
        found.add(50, 10, 0, 10)
        found.add(10, 10, 20, 10)
        found.sort()
        assert [part.offset for part in found.parts()] == [20, 0]

    def test_bytes_that_are_used_twice_are_no_pass(self) -> None:
        found = Layout(100)
        found.add(50, 10, 0, 10)
        found.add(50, 10, 20, 10)
        with pytest.raises(Scattered):
            found.sort()

    def test_too_many_parts_are_no_pass(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("breezeblock.images.formats.layout.MOST_PARTS", 3)
        found = Layout(100)
        for at in range(3):
            found.add(at * 20, 10, at * 10, 10)
        with pytest.raises(Scattered, match="more than 3"):
            found.add(80, 10, 50, 10)

    @pytest.mark.parametrize("coding", ["deflate", "zstd", "grain"])
    def test_a_bomb_gives_no_more_than_its_size(self, coding: str) -> None:
        import zstandard

        zeros = bytes(64 * MiB)
        packed = {
            "deflate": lambda: zlib.compress(zeros, wbits=-15),
            "zstd": lambda: zstandard.compress(zeros),
            "grain": lambda: bytes(8) + len(zlib.compress(zeros)).to_bytes(4, "little") + zlib.compress(zeros),
        }[coding]()
        (content,) = Layout(1 << 30, coding).unpack([(packed, 65536)])  # type: ignore[arg-type]
        assert content == bytes(65536)

    @pytest.mark.parametrize("coding", ["deflate", "zstd", "grain"])
    @settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.binary(max_size=200))
    def test_rubbish_is_refused(self, coding: str, data: bytes) -> None:
        with pytest.raises(ImageUnacceptable, match="broken"):
            Layout(1 << 30, coding).unpack([(data, 65536)])  # type: ignore[arg-type]


def test_an_entangled_image_goes_through_the_sandbox(tmp_path: Path) -> None:
    """Two clusters of the disk are one of the file: no honest writer does that without snapshots, and qemu reads it."""
    source = tmp_path / "source"
    source.write_bytes(random.Random(1).randbytes(4 * 65536))
    path = image_files.make(source, tmp_path / "image", "qcow2")
    data = bytearray(path.read_bytes())
    l2 = struct.unpack_from(">Q", data, struct.unpack_from(">Q", data, 40)[0])[0] & 0x00FFFFFFFFFFFE00
    data[l2 + 16 : l2 + 24] = data[l2 : l2 + 8]
    path.write_bytes(data)
    for local in (True, False):
        target = FileTarget(tmp_path / "volume", 64 * MiB)
        reports: list[tuple[int, int | None]] = []

        def report(done: int, total: int | None, reports: list[tuple[int, int | None]] = reports) -> None:
            reports.append((done, total))

        catalog, image = FileCatalog(path, local=local), image_files.image_of(path, "qcow2")
        with prepare(catalog, image, spool_dir=tmp_path / "spool", volume_size=1, report=report) as prepared:
            prepared.fill(target, report)
        content = source.read_bytes()
        expected = content[: 2 * 65536] + content[:65536] + content[3 * 65536 :]
        assert Path(target.uri).read_bytes()[: len(expected)] == expected
        assert reports[-1][0] == reports[-1][1]
        target.close()
