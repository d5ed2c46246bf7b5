"""Rung 1 of the image ladder: a volume made of an image's file in constant time, or a reason why not.

A raw image becomes a volume that shares its blocks. A qcow2 image becomes a hidden base, one for all volumes of that
image, and the volume an empty overlay of it; the image service never changes the file in place, so a hard link will do.
Such a base is an adopted one (`adoption`): it is turned into a raw file of the storage's own when there is time for that.
Whoever calls has inspected the header; what this driver cannot read back by itself is declined all the same.
"""

import hashlib
import os
from pathlib import Path

from breezeblock.drivers.directory import durable, reflink
from breezeblock.drivers.directory.lineage import DISK, Lineage, grow
from breezeblock.drivers.directory.qcow2 import Qcow2File
from breezeblock.drivers.directory.store import ADOPTED, ADOPTED_FOR, Record, Store
from breezeblock.errors import BackendNotFound, BackendOutOfSpace, DriverError, NotSupportedByBackend
from breezeblock.model.image import Image
from breezeblock.model.volume import Volume


def base_name(image: Image) -> str:
    """The name of the base of an image; other content has another name."""
    state = f"{image.id}|{image.checksum}|{image.os_hash_value}|{image.updated_at}|{image.size}"
    return f"image-{hashlib.sha256(state.encode()).hexdigest()[:32]}"


def adopt(store: Store, lineage: Lineage, volume: Volume, image: Image, path: str | None, content: str) -> None:
    """Publish the volume. Raises `NotSupportedByBackend` with the reason where that cannot be in constant time."""
    if path is None:
        raise NotSupportedByBackend("The image service knows no file of this image on this machine.")
    file = Path(path)
    lineage.discard(volume.storage_name)
    try:
        if image.disk_format in ("raw", "iso"):
            _share_raw(lineage, volume, file, content)
        elif image.disk_format == "qcow2":
            _stand_on_base(store, lineage, volume, image, file, content)
        else:
            raise NotSupportedByBackend(
                f"Only raw, iso and qcow2 images are used where they lie; this one is {image.disk_format}."
            )
    except OSError as error:
        if error.errno in durable.OUT_OF_SPACE:
            raise BackendOutOfSpace("The storage is full; it could not adopt an image.") from error
        raise NotSupportedByBackend(
            f"The image's file {file} cannot be used where it lies: {error.strerror}."
        ) from error


def _share_raw(lineage: Lineage, volume: Volume, file: Path, content: str) -> None:
    if not lineage.shares_blocks:
        raise NotSupportedByBackend("The filesystem of this backend has no reflink to share a raw image's blocks by.")
    _refuse_larger(file.stat().st_size, volume.size_bytes)

    def prepare(path: Path) -> None:
        reflink.clone_file(file, path)
        grow(path, "raw", volume.size_bytes)

    lineage.make(Record(name=volume.storage_name, size=volume.size_bytes, content=content, disk=DISK), prepare)


def _stand_on_base(store: Store, lineage: Lineage, volume: Volume, image: Image, file: Path, content: str) -> None:
    for last in (False, True):
        base = _base_of(store, lineage, volume, image, file)
        try:
            lineage.stand_on(base, volume.storage_name, content, volume.size_bytes)
        except BackendNotFound:
            # the last other volume of the image was deleted just now, and the base with it
            if last:
                raise
        else:
            return


def _base_of(store: Store, lineage: Lineage, volume: Volume, image: Image, file: Path) -> str:
    base, room = base_name(image), volume.size_bytes
    record = store.read(base)
    if record is not None:
        _refuse_larger(record.size, room)
        return base
    size = _readable_size(file)
    _refuse_larger(size, room)

    def prepare(path: Path) -> None:
        if lineage.shares_blocks:
            reflink.clone_file(file, path)
        else:
            os.link(file, path)
            durable.sync_file(path)
        durable.make_directory(path.parent / "users")

    content = f"{ADOPTED_FOR}{volume.storage_name}"
    lineage.make(Record(name=base, size=size, content=content, format="qcow2", disk=ADOPTED, adopted=True), prepare)
    return base


def _readable_size(file: Path) -> int:
    """The virtual size in bytes, if the file is one that can be stood on."""
    try:
        with Qcow2File(file) as opened:
            header = opened.header
    except DriverError as error:
        raise NotSupportedByBackend(f"The image's file cannot be stood on: {error.message}") from error
    if header.backing is not None or header.snapshots or header.incompatible & ~8:
        raise NotSupportedByBackend(
            "The image's file has a backing file, snapshots or features that forbid standing on it."
        )
    return header.size


def _refuse_larger(size: int, room: int) -> None:
    if size > room:
        raise NotSupportedByBackend(f"The image has {size} bytes, more than the volume's {room}.")
