"""The qcow2 module makes what qemu takes for right, and reads what qemu wrote."""

import json
import os
import random
import subprocess
from pathlib import Path

import pytest

from breezeblock.drivers.directory import qcow2
from breezeblock.drivers.directory.content import ChainSource, Link, copy_chain
from breezeblock.errors import DriverError

GIB = 1 << 30
MIB = 1 << 20


def qemu_img(*arguments: object) -> bytes:
    return subprocess.run(["qemu-img", *map(str, arguments)], check=True, capture_output=True).stdout


def qemu_io(path: Path, *orders: str) -> None:
    commands = [part for order in orders for part in ("-c", order)]
    subprocess.run(["qemu-io", "-f", "qcow2", *commands, str(path)], check=True, capture_output=True)


def raw_base(path: Path, size: int) -> Path:
    with open(path, "wb") as file:
        file.truncate(size)
        file.seek(3 * MIB + 100)
        file.write(b"base" * 1000)
    return path


@pytest.mark.parametrize("size", [512, MIB, GIB, 10 * GIB + 512, 5 << 40, 40 << 40])
def test_an_overlay_is_right_for_qemu(tmp_path: Path, size: int) -> None:
    raw_base(tmp_path / "base.raw", 8 * MIB)
    path = tmp_path / "overlay.qcow2"
    qcow2.write_overlay(path, size, "base.raw", "raw")
    qemu_img("check", "-f", "qcow2", path)
    info = json.loads(qemu_img("info", "-f", "qcow2", "--output=json", path))
    assert info["virtual-size"] == size
    assert info["backing-filename"] == "base.raw"
    assert info["backing-filename-format"] == "raw"
    assert info["actual-size"] < MIB
    assert qcow2.is_untouched(path)
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("size", [GIB, 5 << 40])
def test_an_overlay_with_a_beginning_is_right_for_qemu(tmp_path: Path, size: int) -> None:
    base = raw_base(tmp_path / "base.raw", 8 * MIB)
    path = tmp_path / "overlay.qcow2"
    beginning = random.Random(7).randbytes(2 * MIB)
    qcow2.write_overlay(path, size, "base.raw", "raw", beginning)
    qemu_img("check", "-f", "qcow2", path)
    assert not qcow2.is_untouched(path)
    with open(base, "r+b") as file:
        file.write(beginning)
    if size == GIB:
        qemu_img("compare", "-f", "raw", "-F", "qcow2", base, path)
    qemu_io(path, "write -P 7 1M 70k", "write -P 8 6M 1M")
    qemu_img("check", "-f", "qcow2", path)
    with ChainSource([Link(path, "qcow2"), Link(base, "raw")], size) as source:
        assert source.pread(MIB, 0) == beginning[:MIB]
        assert source.pread(4000, 3 * MIB + 100) == b"base" * 1000


def test_an_overlay_reads_and_takes_writes_as_qemu_says(tmp_path: Path) -> None:
    base = raw_base(tmp_path / "base.raw", 8 * MIB)
    path = tmp_path / "overlay.qcow2"
    qcow2.write_overlay(path, GIB, "base.raw", "raw")
    qemu_img("compare", "-f", "raw", "-F", "qcow2", base, path)
    qemu_io(path, "write -P 7 100M 70k", "write -z 3M 64k", "write -P 8 1023M 1M")
    qemu_img("check", "-f", "qcow2", path)
    assert not qcow2.is_untouched(path)
    with ChainSource([Link(path, "qcow2"), Link(base, "raw")], GIB) as source:
        assert source.pread(70 << 10, 100 * MIB) == b"\7" * (70 << 10)
        assert source.pread(4096, 3 * MIB) == bytes(4096)
        assert source.pread(MIB + 5, 1023 * MIB) == b"\10" * MIB


@pytest.mark.parametrize("to", [2 * GIB, 3 << 40])
def test_growing_is_right_for_qemu(tmp_path: Path, to: int) -> None:
    raw_base(tmp_path / "base.raw", 8 * MIB)
    path = tmp_path / "overlay.qcow2"
    qcow2.write_overlay(path, GIB, "base.raw", "raw")
    qemu_io(path, "write -P 7 512M 70k")
    assert qcow2.grow_overlay(path, to)
    assert qcow2.grow_overlay(path, to - 1)
    assert json.loads(qemu_img("info", "-f", "qcow2", "--output=json", path))["virtual-size"] == to
    qemu_io(path, f"write -P 9 {to - 65536} 64k", "read -P 7 512M 70k", f"read -P 9 {to - 65536} 64k")
    qemu_img("check", "-f", "qcow2", path)


def test_growing_past_the_room_of_the_table_is_left_to_qemu(tmp_path: Path) -> None:
    raw_base(tmp_path / "base.raw", 8 * MIB)
    path = tmp_path / "overlay.qcow2"
    qcow2.write_overlay(path, GIB, "base.raw", "raw")
    assert not qcow2.grow_overlay(path, (4 << 40) + (512 * MIB))
    qemu_img("resize", "-q", "-f", "qcow2", path, 5 << 40)
    qemu_img("check", "-f", "qcow2", path)


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["-c"],
        ["-c", "-o", "compression_type=zstd"],
        ["-o", "compat=0.10"],
        ["-o", "cluster_size=4k"],
        ["-c", "-o", "cluster_size=2M"],
    ],
    ids=["plain", "zlib", "zstd", "version 2", "small clusters", "large compressed clusters"],
)
def test_reading_what_qemu_wrote(tmp_path: Path, options: list[str]) -> None:
    some = random.Random(5)
    raw = tmp_path / "disk.raw"
    with open(raw, "wb") as file:
        file.truncate(24 * MIB + 512)
        for _ in range(60):
            file.seek(some.randrange(24 * MIB))
            file.write(some.randbytes(some.randrange(1, 90000)) if some.random() < 0.5 else b"text" * 9000)
        file.truncate(24 * MIB + 512)
    path = tmp_path / "disk.qcow2"
    qemu_img("convert", "-f", "raw", "-O", "qcow2", *options, raw, path)
    expected = raw.read_bytes()
    links = [Link(path, "qcow2")]
    with ChainSource(links, len(expected)) as source:
        assert source.pread(len(expected), 0) == expected
        for _ in range(50):
            at, length = some.randrange(len(expected)), some.randrange(1, 300000)
            assert source.pread(length, at) == expected[at : at + length]
        for extent in source.extents():
            if not extent.data:
                assert not any(expected[extent.offset : extent.offset + extent.length])
    copy_chain(links, len(expected), tmp_path / "copy.raw", 32 * MIB)
    assert (tmp_path / "copy.raw").read_bytes() == expected + bytes(32 * MIB - len(expected))


def test_a_sparse_copy_stays_sparse(tmp_path: Path) -> None:
    base = raw_base(tmp_path / "base.raw", GIB)
    copy_chain([Link(base, "raw")], GIB, tmp_path / "copy.raw", 2 * GIB)
    assert os.stat(tmp_path / "copy.raw").st_blocks * 512 < MIB
    qemu_img("compare", "-f", "raw", "-F", "raw", base, tmp_path / "copy.raw")


@pytest.mark.parametrize(
    ("options", "why"),
    [(["-o", "extended_l2=on"], "features"), (["-o", "data_file=data.raw,data_file_raw=on"], "features")],
)
def test_unknown_features_are_refused(tmp_path: Path, options: list[str], why: str) -> None:
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *options, "a", "1M"], check=True, cwd=tmp_path)
    with pytest.raises(DriverError, match=why):
        qcow2.Qcow2File(tmp_path / "a")


def test_broken_files_are_refused(tmp_path: Path) -> None:
    raw_base(tmp_path / "base.raw", 8 * MIB)
    path = tmp_path / "a"
    qcow2.write_overlay(path, GIB, "base.raw", "raw")
    qemu_io(path, "write -P 7 0 64k")
    whole = path.read_bytes()
    for broken in (b"", b"QFI", b"x" * 200, whole[:100000], whole[:3] + b"\0" + whole[4:]):
        path.write_bytes(broken)
        with pytest.raises(DriverError):
            qcow2.Qcow2File(path)
    with pytest.raises(DriverError, match="1023"):
        qcow2.write_overlay(tmp_path / "b", GIB, "n" * 1024, "raw")
