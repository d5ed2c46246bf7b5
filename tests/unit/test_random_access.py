"""The disk inside an image, read at any place, against what qemu-img says that it holds."""

import random
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from breezeblock.errors import ServiceUnavailable
from breezeblock.images.content import FileContent, open_file
from breezeblock.images.inspect import inspect, layout
from breezeblock.images.random_access import BLOCK, Blocks, ImageDisk

SIZE = (24 << 20) + 3 * 512
FORMATS = {
    "raw": ["-O", "raw"],
    "qcow2": ["-O", "qcow2"],
    "qcow2 of small clusters": ["-O", "qcow2", "-o", "cluster_size=4k"],
    "qcow2 zlib": ["-O", "qcow2", "-c"],
    "qcow2 zstd": ["-O", "qcow2", "-c", "-o", "compression_type=zstd"],
    "vmdk": ["-O", "vmdk", "-o", "subformat=streamOptimized"],
}


@pytest.fixture(scope="module")
def disk_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data of all kinds: random, text, short runs, holes."""
    dice, file = random.Random(11), tmp_path_factory.mktemp("disk") / "disk.raw"
    with open(file, "wb") as disk:
        disk.truncate(SIZE)
        for _ in range(60):
            disk.seek(dice.randrange(SIZE - 300_000))
            length = dice.choice((5, 4096, 65536, 300_000))
            disk.write(dice.choice((dice.randbytes(length), b"text" * (length // 4))))
        disk.seek(SIZE - 700)
        disk.write(b"end" * 233)
    return file


@pytest.mark.parametrize("kind", FORMATS)
def test_any_place_of_any_format(kind: str, disk_file: Path, tmp_path: Path) -> None:
    expected, image = disk_file.read_bytes(), tmp_path / "image"
    subprocess.run(["qemu-img", "convert", "-f", "raw", *FORMATS[kind], disk_file, image], check=True)
    name, dice = kind.split(maxsplit=1)[0], random.Random(5)
    with open_file(image) as content:
        disk = ImageDisk(content, layout(content, inspect(content, name)))
        assert disk.size == SIZE
        assert disk.pread(SIZE, 0) == expected
        for _ in range(400):
            offset = dice.randrange(SIZE)
            length = min(dice.choice((1, 512, 70_000, 400_000)), SIZE - offset)
            assert disk.pread(length, offset) == expected[offset : offset + length], (offset, length)
        assert disk.pread(4096, SIZE - 100) == expected[-100:] + bytes(3996)


class Counting(FileContent):
    """Counts what is read; fails while it is `away`."""

    def __init__(self, fd: int) -> None:
        super().__init__(fd)
        self.reads: list[tuple[int, int]] = []
        self.away = False
        self.gate = threading.Event()
        self.gate.set()

    def pread(self, length: int, offset: int) -> bytes:
        self.gate.wait()
        self.reads.append((offset, length))
        if self.away:
            raise ServiceUnavailable
        return super().pread(length, offset)


def test_who_reads_on_gets_more_at_once_and_who_jumps_does_not(disk_file: Path) -> None:
    with open(disk_file, "rb") as file:
        content = Counting(file.fileno())
        blocks = Blocks(content)
        for offset in range(0, 8 << 20, 4096):
            blocks.read(4096, offset)
        assert sum(length for _, length in content.reads) <= (9 << 20)
        assert len(content.reads) < 40
        content.reads.clear()
        for offset in (20 << 20, 15 << 20, 12 << 20):
            blocks.read(512, offset)
        assert content.reads == [(20 << 20, BLOCK), (15 << 20, BLOCK), (12 << 20, BLOCK)]


def test_many_readers_fetch_a_block_once(disk_file: Path) -> None:
    with open(disk_file, "rb") as file:
        content = Counting(file.fileno())
        blocks = Blocks(content)
        content.gate.clear()
        with ThreadPoolExecutor(12) as threads:
            answers = [threads.submit(blocks.read, 512, number * 512) for number in range(12)]
            content.gate.set()
            assert [one.result() for one in answers] == [
                disk_file.read_bytes()[number * 512 : number * 512 + 512] for number in range(12)
            ]
        assert content.reads == [(0, BLOCK)]


def test_what_could_not_be_fetched_is_fetched_the_next_time(disk_file: Path) -> None:
    with open(disk_file, "rb") as file:
        content = Counting(file.fileno())
        blocks = Blocks(content)
        content.away = True
        for _ in range(3):
            with pytest.raises(ServiceUnavailable):
                blocks.read(512, 0)
        content.away = False
        assert blocks.read(512, 0) == disk_file.read_bytes()[:512]


def test_few_blocks_are_remembered(disk_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("breezeblock.images.random_access.MOST_BLOCKS", 10)
    with open(disk_file, "rb") as file:
        blocks = Blocks(FileContent(file.fileno()))
        for _ in range(2):
            assert blocks.read(SIZE, 0) == disk_file.read_bytes()
        assert len(blocks._blocks) <= 10 + 8
