"""Image files written in one pass: qemu finds them whole and equal to the disk, and our own gate lets them in."""

import random
import subprocess
import uuid
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from breezeblock.drivers.contract import Extent
from breezeblock.images.content import open_file
from breezeblock.images.inspect import QEMU_NAMES, inspect
from breezeblock.images.upload import WRITERS
from breezeblock.images.writers.vhd import MOST_BYTES

MIB = 1 << 20
IMAGE_ID = str(uuid.UUID(int=7))
CHECKED = {"qcow2", "vmdk", "vdi"}
"""Formats that `qemu-img check` knows how to look through."""


class SparseDisk:
    """A disk whose data lie in a few places; the rest are holes. Nothing of a hole may be read."""

    def __init__(self, size: int, extents: list[tuple[int, int]], seed: int = 0):
        self.size = size
        self._data = []
        for number, (offset, length) in enumerate(extents):
            self._data.append((offset, random.Random(seed + number).randbytes(length)))

    def extents(self):
        at = 0
        for offset, data in self._data:
            if offset > at:
                yield Extent(at, offset - at, False)
            yield Extent(offset, len(data), True)
            at = offset + len(data)
        if at < self.size:
            yield Extent(at, self.size - at, False)

    def pread(self, length, offset):
        assert length > 0
        assert offset + length <= self.size
        content = bytearray(length)
        for start, data in self._data:
            first, end = max(start, offset), min(start + len(data), offset + length)
            if first < end:
                content[first - offset : end - offset] = data[first - start : end - start]
        return bytes(content)

    def save(self, path: Path) -> Path:
        with path.open("wb") as file:
            file.truncate(self.size)
            for offset, data in self._data:
                file.seek(offset)
                file.write(data)
        return path


def written(disk: SparseDisk, disk_format: str, path: Path) -> Path:
    writer = WRITERS[disk_format](disk, IMAGE_ID)
    with path.open("wb") as file:
        for piece in writer.pieces():
            file.write(piece)
    assert writer.length in {None, path.stat().st_size}
    return path


def judge(disk: SparseDisk, disk_format: str, directory: Path) -> Path:
    """The disk written as a file, after everybody has found it good."""
    raw = disk.save(directory / "disk.raw")
    path = written(disk, disk_format, directory / f"disk.{disk_format}")
    qemu = QEMU_NAMES[disk_format]
    with open_file(path) as content:
        facts = inspect(content, disk_format)
    assert (facts.format, facts.virtual_size) == (qemu, disk.size)
    if disk_format in CHECKED:
        subprocess.run(["qemu-img", "check", "-q", "-f", qemu, path], check=True)
    subprocess.run(["qemu-img", "compare", "-q", "-f", qemu, "-F", "raw", path, raw], check=True)
    return path


@pytest.mark.parametrize("disk_format", WRITERS)
@pytest.mark.parametrize(
    ("size", "extents"),
    [
        (200 * MIB, []),
        (8 * MIB, [(0, 8 * MIB)]),
        (512, [(0, 512)]),
        (512, []),
        (5 * MIB + 1536, [(5 * MIB, 1536)]),
        (600 * MIB, [(0, 512), ((1 << 29) - 512, 1024), ((1 << 29) + 4096, 70_144), (600 * MIB - 512, 512)]),
        (33 * MIB, [(offset, 512) for offset in range(0, 33 * MIB, 65536)]),
    ],
    ids=["empty", "full", "sector", "empty-sector", "odd-end", "far-apart", "scattered"],
)
def test_a_disk_as_a_file(disk_format, size, extents, tmp_path):
    judge(SparseDisk(size, extents), disk_format, tmp_path)


@pytest.mark.parametrize("disk_format", ["qcow2", "vhd", "vdi"])
def test_the_largest_disk_that_every_format_holds(disk_format, tmp_path):
    judge(SparseDisk(MOST_BYTES, [(0, 512), (MOST_BYTES - MIB, MIB)]), disk_format, tmp_path)


@st.composite
def disks(draw):
    sectors = draw(st.integers(1, 24 * 2048))
    cuts = sorted(draw(st.sets(st.integers(0, sectors), max_size=12)))
    extents = [(first * 512, (end - first) * 512) for first, end in zip(cuts[::2], cuts[1::2], strict=False)]
    return SparseDisk(sectors * 512, extents, draw(st.integers(0, 1000)))


@pytest.mark.parametrize("disk_format", WRITERS)
@given(disk=disks())
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_disk_as_a_file(disk_format, disk, tmp_path):
    judge(disk, disk_format, tmp_path)


@pytest.mark.parametrize("disk_format", WRITERS)
def test_written_again_the_file_is_the_same(disk_format, tmp_path):
    disk = SparseDisk(9 * MIB, [(MIB, 3 * MIB), (8 * MIB, 512)])
    first, second = (written(disk, disk_format, tmp_path / name).read_bytes() for name in ("one", "two"))
    assert first == second


@pytest.mark.parametrize("disk_format", WRITERS)
def test_holes_are_not_stored(disk_format, tmp_path):
    disk = SparseDisk(1 << 30, [(100 * MIB, MIB)])
    size = sum(len(piece) for piece in WRITERS[disk_format](disk, IMAGE_ID).pieces())
    assert size == 1 << 30 if disk_format == "raw" else size < 4 * MIB


def test_zeros_that_the_source_has_as_data_are_left_out_of_a_vmdk(tmp_path):
    disk = SparseDisk(64 * MIB, [])
    disk._data = [(0, bytes(64 * MIB))]
    path = judge(disk, "vmdk", tmp_path)
    assert path.stat().st_size < MIB
