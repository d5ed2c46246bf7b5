"""What the directory driver is tested on: real filesystems in files, and volumes to ask for."""

import contextlib
import functools
import hashlib
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from breezeblock.config import BackendSettings
from breezeblock.drivers.conformance import settings_for
from breezeblock.drivers.contract import BlockTarget
from breezeblock.drivers.directory.driver import DirectoryDriver, open_driver
from breezeblock.drivers.directory.qcow2 import CLUSTER, OFFSET_MASK, read_header
from breezeblock.model import clock
from breezeblock.model.snapshot import Snapshot
from breezeblock.model.volume import Volume

MIB = 1 << 20
GIB = 1 << 30
MAKE = {
    "xfs": (["mkfs.xfs", "-q", "-m", "reflink=1"], 320 * MIB),
    "ext4": (["mkfs.ext4", "-q", "-F", "-m", "0"], 24 * MIB),
}


@contextlib.contextmanager
def mounted(kind: str, beside: Path, size: int | None = None) -> Iterator[Path]:
    """A fresh filesystem in a sparse file, mounted; small unless `size` bytes are asked for.

    Skips the test, with the reason, where that is not possible.
    """
    command, small = MAKE[kind]
    size = size or small
    image, mount = beside / f"{kind}.img", beside / kind
    mount.mkdir()
    with open(image, "wb") as file:
        file.truncate(size)
    try:
        subprocess.run([*command, str(image)], check=True, capture_output=True, text=True)
        subprocess.run(["mount", "-o", "loop", str(image), str(mount)], check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"No {kind} can be mounted here: {getattr(error, 'stderr', None) or error}")
    try:
        yield mount
    finally:
        # lazily: drivers that were "killed" keep their lock open until they are collected
        subprocess.run(["umount", "--lazy", str(mount)], check=True)
        image.unlink()


def opened(directory: Path, **options: Any) -> DirectoryDriver:
    """A driver on a directory, ready."""
    driver = open_driver(_settings(directory, tuple((key, str(value)) for key, value in options.items())))
    driver.check_for_setup_error()
    return driver


@functools.cache
def _settings(directory: Path, options: tuple[tuple[str, str], ...]) -> BackendSettings:
    return settings_for("directory", directory, **dict(options))


def a_volume(size: int = 1, **fields: Any) -> Volume:
    """The row of a volume that is being made."""
    return Volume(
        id=str(uuid.uuid4()),
        project_id="p",
        user_id="u",
        size=size,
        status="creating",
        created_at=clock.now(),
        **fields,
    )


def a_snapshot(volume: Volume) -> Snapshot:
    """The row of a snapshot that is being made."""
    return Snapshot(
        id=str(uuid.uuid4()),
        project_id="p",
        user_id="u",
        volume_id=volume.id,
        status="creating",
        volume_size=volume.size,
        created_at=clock.now(),
    )


def write(driver: DirectoryDriver, volume: Volume, byte: int, cluster: int) -> None:
    """Fill a cluster of 64 KiB of a volume that is not exported, as a client does: in whatever its file is.

    An overlay is written here by hand, refcounts left out: nothing that is tested with it asks qemu.
    """
    record = driver._store.get(volume.storage_name)
    with open(driver._store.disk(record), "r+b") as file:
        if record.format == "raw":
            file.seek(cluster * CLUSTER)
            file.write(bytes([byte]) * CLUSTER)
            return
        at = read_header(file.fileno()).l1_offset + cluster // 8192 * 8
        table = _entry(file, at) or _append(file, at, bytes(CLUSTER))
        at = table + cluster % 8192 * 8
        position = _entry(file, at) or _append(file, at, b"")
        file.seek(position)
        file.write(bytes([byte]) * CLUSTER)


def _entry(file: BinaryIO, at: int) -> int:
    file.seek(at)
    return int.from_bytes(file.read(8), "big") & OFFSET_MASK


def _append(file: BinaryIO, at: int, data: bytes) -> int:
    position = -(-file.seek(0, 2) // CLUSTER) * CLUSTER
    file.seek(position)
    file.write(data)
    file.seek(at)
    file.write((position | 1 << 63).to_bytes(8, "big"))
    return position


def content(driver: DirectoryDriver, thing: Volume | Snapshot) -> str:
    """The SHA-256 of all that is not zeros, with where it lies; two contents that are equal have the same."""
    digest = hashlib.sha256()
    with driver.open_volume(thing) as source:
        digest.update(str(source.size).encode())
        for extent in source.extents():
            for at in range(extent.offset, extent.offset + extent.length, MIB) if extent.data else ():
                data = source.pread(min(MIB, extent.offset + extent.length - at), at)
                for start in range(0, len(data), 512):
                    if any(sector := data[start : start + 512]):
                        digest.update(str(at + start).encode())
                        digest.update(sector)
    return digest.hexdigest()


def fill_of(data: bytes, offset: int = 0) -> Any:
    """A fill that writes `data` at `offset`."""

    def fill(target: BlockTarget) -> None:
        target.pwrite(data, offset)

    return fill


def bases(driver: DirectoryDriver) -> list[str]:
    """The hidden bases there are."""
    return list(driver._store.published("bases"))
