"""What the directory driver is tested on: real filesystems in files, and volumes to ask for."""

import contextlib
import hashlib
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from breezeblock.drivers.conformance import settings_for
from breezeblock.drivers.contract import BlockTarget
from breezeblock.drivers.directory.driver import DirectoryDriver, open_driver
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
def mounted(kind: str, beside: Path) -> Iterator[Path]:
    """A fresh filesystem in a file, mounted. Skips the test, with the reason, where that is not possible."""
    command, size = MAKE[kind]
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
    driver = open_driver(settings_for("directory", directory, **{key: str(value) for key, value in options.items()}))
    driver.check_for_setup_error()
    return driver


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


def write(driver: DirectoryDriver, volume: Volume, data: bytes, offset: int) -> None:
    """Write into a volume that is not exported, as a client would: into whatever its file is."""
    record = driver._store.get(volume.storage_name)
    path = driver._store.disk(record)
    if record.format == "raw":
        with open(path, "r+b") as file:
            file.seek(offset)
            file.write(data)
        return
    source = path.parent / "written"
    source.write_bytes(data)
    subprocess.run(
        ["qemu-io", "-f", "qcow2", "-c", f"write -q -s {source} {offset} {len(data)}", str(path)],
        check=True,
        capture_output=True,
    )
    source.unlink()


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
