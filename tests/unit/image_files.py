"""Real images for the tests, made on the spot by qemu-img, and what they are read from and written to."""

import os
import random
import struct
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from breezeblock.context import RequestContext
from breezeblock.images.catalog import RangesUnsupported
from breezeblock.model.image import Image

GRUB_ISO = Path("/usr/lib/grub-rescue/grub-rescue-cdrom.iso")
DISK_SIZE = 9 * (1 << 20) + 512

KINDS: dict[str, tuple[str, list[str]]] = {
    "qcow2": ("qcow2", ["-O", "qcow2"]),
    "qcow2-v2": ("qcow2", ["-O", "qcow2", "-o", "compat=0.10"]),
    "qcow2-small-clusters": ("qcow2", ["-O", "qcow2", "-o", "cluster_size=512"]),
    "qcow2-large-clusters": ("qcow2", ["-O", "qcow2", "-o", "cluster_size=2M"]),
    "qcow2-zlib": ("qcow2", ["-O", "qcow2", "-c", "-o", "compression_type=zlib"]),
    "qcow2-zstd": ("qcow2", ["-O", "qcow2", "-c", "-o", "compression_type=zstd"]),
    "vhd-dynamic": ("vhd", ["-O", "vpc", "-o", "subformat=dynamic"]),
    "vhd-fixed": ("vhd", ["-O", "vpc", "-o", "subformat=fixed"]),
    "vhd-exact": ("vhd", ["-O", "vpc", "-o", "force_size=on"]),
    "vhdx": ("vhdx", ["-O", "vhdx"]),
    "vhdx-fixed": ("vhdx", ["-O", "vhdx", "-o", "subformat=fixed"]),
    "vmdk-sparse": ("vmdk", ["-O", "vmdk", "-o", "subformat=monolithicSparse"]),
    "vmdk-stream": ("vmdk", ["-O", "vmdk", "-o", "subformat=streamOptimized"]),
    "vdi": ("vdi", ["-O", "vdi"]),
    "vdi-static": ("vdi", ["-O", "vdi", "-o", "static=on"]),
    "raw": ("raw", ["-O", "raw"]),
}
"""Kind -> (Glance's disk format, qemu-img's arguments)."""


def disk(path: Path, *, partitioned: bool = False) -> Path:
    """A raw disk with random data, text, and holes, whose size is no multiple of anything."""
    content = random.Random(7)
    with path.open("wb") as file:
        file.truncate(DISK_SIZE)
        file.write(content.randbytes(1 << 20))
        file.seek(3 << 20)
        file.write(b"breeze block " * 40_000)
        file.seek(DISK_SIZE - 70_000)
        file.write(content.randbytes(70_000))
        if partitioned:
            entry = struct.pack("<B3sB3sII", 0x80, b"\0\2\0", 0x83, b"\xff\xff\xff", 2048, 8192)
            file.seek(0)
            file.write(bytes(446) + entry + bytes(48) + b"\x55\xaa")
    return path


def make(source: Path, path: Path, kind: str) -> Path:
    """The source disk as another kind of image."""
    subprocess.run(["qemu-img", "convert", "-f", "raw", *KINDS[kind][1], source, path], check=True)
    return path


def create(path: Path, *arguments: str) -> Path:
    """An image by `qemu-img create`."""
    subprocess.run(["qemu-img", "create", "-q", *arguments[:-1], path, arguments[-1]], check=True)
    return path


def poke(offset: int, layout: str, *values: object) -> Callable[[bytearray], None]:
    """A change of an image's bytes."""

    def change(data: bytearray) -> None:
        struct.pack_into(layout, data, offset, *values)

    return change


def image_of(path: Path, disk_format: str, **fields: object) -> Image:
    """The record of an image file."""
    fields = {"size": path.stat().st_size, "container_format": "bare", **fields}
    return Image(id="c0ffee00-0000-4000-8000-000000000001", disk_format=disk_format, **fields)  # type: ignore[arg-type]


class FileCatalog:
    """An image service of one file, which may be taken for remote; `pieces` have odd lengths."""

    def __init__(self, path: Path, *, local: bool = False, ranges: bool = True, piece: int = 1 << 20) -> None:
        self._path, self._local, self._ranges, self._piece = path, local, ranges, piece

    def get(self, context: RequestContext, image_id: str) -> Image:
        raise NotImplementedError

    def find(self, context: RequestContext, name: str) -> list[Image]:
        raise NotImplementedError

    @contextmanager
    def open(self, image_id: str, offset: int = 0) -> Iterator[Iterator[bytes]]:
        with self._path.open("rb") as file:
            file.seek(offset)
            yield iter(lambda: file.read(self._piece), b"")

    def read(self, image_id: str, length: int, offset: int) -> bytes:
        if not self._ranges:
            raise RangesUnsupported
        with self._path.open("rb") as file:
            return os.pread(file.fileno(), length, offset)

    def location(self, image_id: str) -> str:
        return str(self._path)

    def local_path(self, image_id: str) -> Path | None:
        return self._path if self._local else None

    def create(self, context: RequestContext, *, token: str | None = None, **fields: object) -> Image:
        raise NotImplementedError

    def upload(self, context: RequestContext, image_id: str, pieces: Iterable[bytes]) -> Image:
        raise NotImplementedError

    def describe(self, image_id: str, properties: dict[str, str]) -> None:
        raise NotImplementedError

    def discard(self, image_id: str) -> None:
        raise NotImplementedError


class FileTarget:
    """A block target that is a file full of holes, and counts what is written."""

    kept: bytes | None = None

    def __init__(self, path: Path, size: int) -> None:
        self.size, self.uri, self.written = size, str(path), 0
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        os.ftruncate(self._fd, size)

    def pwrite(self, data: bytes | memoryview, offset: int) -> None:
        assert offset >= 0
        assert offset + len(data) <= self.size
        assert os.pwrite(self._fd, data, offset) == len(data)
        self.written += len(data)

    def keep(self, note: bytes) -> None:
        self.kept = note

    def close(self) -> None:
        os.close(self._fd)
