"""Where everything lies: directories published by one rename, each with a disk file and a record of it.

    volumes/volume-<id>/    record.json, disk…
    snapshots/snapshot-<id>/ record.json, and a disk where the filesystem has reflink
    bases/<name>/           record.json, disk, users/<name of each object that stands on it>
    unmanaged/<file>        what belongs to nobody, and may become a volume or snapshot
    tmp/<name>/             what is being made; tmp/<name>.gone/ what is being removed

Disk files name their backing file as `../../bases/<name>/disk…`, which is right in all four places.
"""

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from breezeblock.drivers.directory import durable
from breezeblock.errors import BackendNotFound, DriverError, InvalidInput
from breezeblock.exports.iscsi import Access

PLAIN_NAME = re.compile(r"(volume|snapshot)-[A-Za-z0-9][\w-]{0,63}|(base|image)-[A-Za-z0-9][\w-]{0,127}", re.ASCII)
RECORD = "record.json"
LANDING = "landing"
"""The file that the content of a hydrating volume comes into."""
ADOPTED = "adopted"
ADOPTED_FOR = "adopted:"
"""The file of a base that was somebody else's image, until a raw one of our own has taken its place; what the record of such a base
has as its content, before the name of the volume it was adopted for."""
UNMANAGED = "unmanaged"
"""The folder of files that belong to nobody: what was unmanaged, and what an administrator puts there."""
FOLDERS = ("volumes", "snapshots", "bases", "tmp", UNMANAGED)


class Switch(msgspec.Struct, frozen=True):
    """A move of an exported volume to an overlay, announced before the export daemon is asked for it."""

    disk: str
    base: str


class Hydrating(msgspec.Struct, frozen=True, omit_defaults=True):
    """The NBD export that a volume reads from while its content has not come. `size` is bytes."""

    socket: str
    export: str
    size: int
    fenced: bool = False
    """Whether the source proved to be wrong, so that it must not be read any more."""


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an object is. `size` is bytes; `disk` is a file beside the record. Without one
    it reads as its base does, and without that as zeros."""

    name: str
    size: int
    content: str
    """What it was made of, such as `empty`, `snapshot:<id>`, `volume:<id>`, `image:<id>:<checksum>`; beginning with
    `filling:` while a fill is under way or broken: what is filled in is hidden until it is whole."""
    format: Literal["raw", "qcow2"] = "raw"
    disk: str | None = None
    base: str | None = None
    """Name of the base that the disk (or, without one, the object itself) stands on."""
    depth: int = 0
    """How many bases lie below."""
    thick: bool = False
    kept: bytes | None = None
    """While it is being filled: the note of the fill up to which the hidden file is on stable storage."""
    switching: Switch | None = None
    hydrating: Hydrating | None = None
    connected: tuple[str, ...] = ()
    """Of a volume: who it is exported for, as `who_connects` tells them apart."""
    iscsi: Access | None = None
    """Of a volume that is exported over iSCSI: how they open it. Otherwise they do over NBD."""
    adopted: bool = False
    """Of a base: whether the file `ADOPTED` is there, and perhaps read by export daemons."""


class Store:
    """The directory and its objects. Knows nothing of how they are related."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._owner: int | None = None

    def prepare(self) -> None:
        """Make the directories that are missing, and put them on the disk."""
        durable.make_directory(self.root)
        for folder in FOLDERS:
            durable.make_directory(self.root / folder)
        durable.sync_directory(self.root)

    def own(self) -> bool:
        """Try to become the one process that may mend what a dead one left. Held until `close` or death."""
        if self._owner is None:
            fd = os.open(self.root / ".owner", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(fd)
                return False
            self._owner = fd
        return True

    def close(self) -> None:
        """Give the ownership back."""
        if self._owner is not None:
            os.close(self._owner)
            self._owner = None

    def home(self, name: str) -> Path:
        """The directory that an object has once it is published. Raises `InvalidInput` for a name that is not plain."""
        if not PLAIN_NAME.fullmatch(name):
            raise InvalidInput(f"{name!r} is no name of an object: letters, digits, - and _ are allowed.")
        prefix = name.partition("-")[0]
        folder = {"volume": "volumes", "snapshot": "snapshots"}.get(prefix, "bases")
        return self.root / folder / name

    def work(self, name: str) -> Path:
        """The directory that an object is made in."""
        return self.root / "tmp" / self.home(name).name

    def gone(self, name: str) -> Path:
        """The directory that an object is removed in."""
        return self.root / "tmp" / f"{self.home(name).name}.gone"

    def read(self, name: str) -> Record | None:
        """The record of a published object, or None."""
        return self._read(self.home(name))

    def get(self, name: str) -> Record:
        """The record of a published object. Raises `BackendNotFound`."""
        record = self.read(name)
        if record is None:
            raise BackendNotFound(f"The storage has no {name}.")
        return record

    def remains(self, name: str) -> list[Record]:
        """The records of half-made and half-removed states of an object."""
        records = [self._read(self.work(name)), self._read(self.gone(name))]
        return [record for record in records if record is not None]

    def _read(self, directory: Path) -> Record | None:
        try:
            data = (directory / RECORD).read_bytes()
        except FileNotFoundError:
            return None
        try:
            return msgspec.json.decode(data, type=Record)
        except msgspec.DecodeError as error:
            raise DriverError(f"The record {directory / RECORD} is broken: {error}") from error

    def write(self, record: Record) -> Record:
        """Replace the record of a published object, atomically."""
        durable.replace_file(self.home(record.name) / RECORD, msgspec.json.encode(record))
        return record

    def begin(self, record: Record) -> Path:
        """A fresh work directory with the record in it."""
        work = self.work(record.name)
        durable.remove_tree(work)
        durable.make_directory(work)
        durable.replace_file(work / RECORD, msgspec.json.encode(record), sync_name=False)
        return work

    def publish(self, name: str) -> None:
        """Give what is made its place: the one act that makes it visible. Its files are on the disk already."""
        durable.sync_directory(self.work(name))
        home = self.home(name)
        durable.move(self.work(name), home, visible=home.parent)

    def retire(self, name: str) -> None:
        """Take an object from its place, by one act; its files go with `sweep`. Gone is done."""
        home = self.home(name)
        with contextlib.suppress(FileNotFoundError):
            durable.move(home, self.gone(name), visible=home.parent)

    def sweep(self, name: str) -> None:
        """Remove the half-made and half-removed files of an object."""
        durable.remove_tree(self.gone(name))
        durable.remove_tree(self.work(name))

    def disk(self, record: Record) -> Path:
        """The disk file of a published object that has one."""
        if record.disk is None:
            raise DriverError(f"{record.name} has no file of its own.")
        return self.home(record.name) / record.disk

    def published(self, folder: str) -> Iterator[str]:
        """The names of all objects in `volumes`, `snapshots` or `bases`."""
        with os.scandir(self.root / folder) as entries:
            names = sorted(entry.name for entry in entries)
        yield from (name for name in names if PLAIN_NAME.fullmatch(name))

    def unfinished(self) -> Iterator[str]:
        """The names of all objects that are half made or half removed."""
        with os.scandir(self.root / "tmp") as entries:
            names = {entry.name.removesuffix(".gone") for entry in entries}
        yield from sorted(name for name in names if PLAIN_NAME.fullmatch(name))
