"""Files that belong to nobody, in `unmanaged/` of the directory: they become volumes and snapshots, and these such files.

A file is raw, or qcow2 that stands alone and that this driver can read; that is looked up in the file itself, which
nothing has opened before. A hard link gives it its new name, so that at every moment it has the old name, the new one,
or both; the old one is removed last.
"""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec

from breezeblock.drivers.contract import Manageable, Reference
from breezeblock.drivers.directory import durable
from breezeblock.drivers.directory.bases import Bases
from breezeblock.drivers.directory.content import copy_chain
from breezeblock.drivers.directory.lineage import DISK, Lineage, grow
from breezeblock.drivers.directory.qcow2 import MAGIC, Qcow2File
from breezeblock.drivers.directory.store import UNMANAGED, Record, Store
from breezeblock.errors import BackendInUse, BackendNotFound, DriverError, InvalidInput, NotSupportedByBackend

SOURCE_NAME = "source-name"
OTHER_IMAGES = (b"KDMV", b"COWD", b"# Disk DescriptorFile", b"conectix", b"vhdxfile", b"<<< ", b"LUKS\xba\xbe")
"""What files of other formats begin with; as raw volumes they would be of no use to anybody."""

COMPRESSION = 8
GIB = 1 << 30


class Found(msgspec.Struct, frozen=True):
    """A file that may be taken. `size` is bytes."""

    path: Path
    format: str
    size: int


def find(store: Store, reference: Reference) -> Found:
    """The file that a reference names. Raises `InvalidInput`, `BackendNotFound`, `NotSupportedByBackend(reason)`."""
    name = reference.get(SOURCE_NAME, "")
    if name.startswith("_snapshot-"):
        name = name[1:]  # as Cinder's LVM driver calls a snapshot
    if not name or "/" in name or "\0" in name or name.startswith(".") or len(name) > 255:
        raise InvalidInput(f"A reference here is a file's name in {UNMANAGED}/: {{'{SOURCE_NAME}': 'NAME'}}.")
    path = store.root / UNMANAGED / name
    try:
        told = path.lstat()
    except FileNotFoundError:
        raise BackendNotFound(f"There is no file {name} in {UNMANAGED}/.") from None
    if not stat.S_ISREG(told.st_mode):
        raise NotSupportedByBackend(f"{name} is no regular file.")
    return _looked_at(path, told.st_size)


def _looked_at(path: Path, length: int) -> Found:
    with open(path, "rb") as file:
        beginning = file.read(64)
    if beginning.startswith(OTHER_IMAGES):
        raise NotSupportedByBackend(f"{path.name} is an image of another format than raw and qcow2.")
    if not beginning.startswith(MAGIC):
        if length == 0:
            raise NotSupportedByBackend(f"{path.name} is empty.")
        return Found(path, "raw", length)
    try:
        with Qcow2File(path) as opened:
            header = opened.header
    except DriverError as error:
        raise NotSupportedByBackend(error.message) from error
    if header.backing is not None or header.snapshots or header.incompatible & ~COMPRESSION:
        raise NotSupportedByBackend(f"{path.name} has a backing file, snapshots, or features that are not understood.")
    return Found(path, "qcow2", header.size)


def gib_of(found: Found) -> int:
    """Whole GiB that hold it."""
    return max(1, -(-found.size // GIB))


def take(store: Store, lineage: Lineage, name: str, size: int, reference: Reference) -> None:
    """Publish the file as the object `name` of `size` bytes. Taken already is done."""
    content = f"managed:{reference.get(SOURCE_NAME)}"
    record = store.read(name)
    if record is not None and record.content == content:
        with contextlib.suppress(BackendNotFound):
            _drop(find(store, reference).path, store.disk(record))
        return
    found = find(store, reference)
    if found.path.stat().st_nlink > 1 and not lineage.is_being_made(name, found.path):
        raise BackendInUse(f"{found.path.name} has another name too, so somebody else may use it.")
    if found.size > size:
        raise InvalidInput(f"{found.path.name} holds {found.size} bytes, more than {size}.")

    def prepare(path: Path) -> None:
        os.link(found.path, path)
        os.chmod(path, 0o600)
        grow(path, found.format, size)

    new = Record(name=name, size=size, content=content, disk=DISK, format="qcow2" if found.format == "qcow2" else "raw")
    lineage.make(new, prepare)
    _drop(found.path, store.disk(new))


def _drop(path: Path, taken: Path) -> None:
    """Remove the old name of a file, once it has the new one."""
    if path.samefile(taken):
        durable.remove_file(path)
        durable.sync_directory(path.parent)


def release(store: Store, bases: Bases, lineage: Lineage, name: str) -> None:
    """Leave what an object holds as the raw or qcow2 file `unmanaged/NAME`, and forget the object. Gone is done."""
    record = store.read(name)
    if record is None:
        lineage.discard(name)
        return
    record = lineage.whole(name)
    kept = store.root / UNMANAGED / name
    if record.disk is not None and record.base is None:
        if not (kept.exists() and kept.samefile(store.disk(record))):
            _refuse_other(kept, name)
            durable.sync_file(store.disk(record))
            os.link(store.disk(record), kept)
    else:
        # it stands on what others stand on: its own copy is whole when it has its name
        links, part = bases.links(record), kept.with_name(f".{name}.part")
        if not kept.exists():
            durable.remove_file(part)
            copy_chain(links, record.size, part, record.size)
            os.rename(part, kept)
    durable.sync_directory(kept.parent)
    lineage.remove(name)


def _refuse_other(kept: Path, name: str) -> None:
    if kept.exists():
        raise BackendInUse(f"There is another file {name} in {UNMANAGED}/ already.")


def listed(store: Store) -> Iterator[Manageable]:
    """All files there, also those that cannot be taken, with the reason."""
    with os.scandir(store.root / UNMANAGED) as entries:
        names = sorted(entry.name for entry in entries if not entry.name.startswith("."))
    for name in names:
        reference = {SOURCE_NAME: name}
        try:
            found = find(store, reference)
        except BackendNotFound:
            continue  # taken since
        except NotSupportedByBackend as error:
            yield Manageable(reference=reference, size=0, safe=False, reason=error.message)
        else:
            linked = found.path.stat().st_nlink > 1
            reason = "the file has another name too" if linked else None
            yield Manageable(reference=reference, size=gib_of(found), safe=not linked, reason=reason)
