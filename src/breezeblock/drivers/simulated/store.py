"""Objects on disk: a record that says what an object is, and a sparse file with its content.

    volume-1.json   the record; the object exists when, and only when, this file does
    volume-1.0      its content, in the slot that the record names
    volume-1.1      the other slot: what is being built to take its place

To build is to fill the slot not in use; to publish is to rename a new record over the old one. So a name shows either
the old object or the new one, and what a killed process leaves is overwritten by the next attempt, or deleted.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from breezeblock import killpoints
from breezeblock.drivers.simulated.sparse import SparseFile, errors_in_kinds, open_sparse
from breezeblock.errors import BackendNotFound, InvalidInput

SAFE_NAME = re.compile(r"[a-z]+-[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
"""What may become a file's name. No dot and no slash, so no name leads elsewhere or looks like another's file."""

RECORD, NEW_RECORD, SLOTS = ".json", ".json.new", (".0", ".1")


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """The completion record: everything the storage knows of an object. `size` is bytes."""

    size: int
    pool: str
    made_of: str = ""
    """What it was filled with, such as `snapshot:<id>`; empty for nothing."""
    slot: int = 0
    exported_to: tuple[str, ...] = ()
    """The connectors that may have it open."""


class Store:
    """A directory of objects. Different objects may be worked on from several threads and processes at once."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def find(self, name: str) -> Record | None:
        """The record of a complete object, None where there is none. Raises `InvalidInput` for an unsafe name."""
        try:
            return msgspec.json.decode(self._path(name, RECORD).read_bytes(), type=Record)
        except FileNotFoundError:
            return None

    def get(self, name: str) -> Record:
        """The record of a complete object. Raises `BackendNotFound`."""
        record = self.find(name)
        if record is None:
            raise BackendNotFound(f"The storage has no {name}.")
        return record

    def content(self, name: str, record: Record) -> Path:
        """The file that holds the object's content."""
        return self._path(name, SLOTS[record.slot])

    @contextmanager
    def open(self, name: str) -> Iterator[SparseFile]:
        """The content of an object, to be read. Raises `BackendNotFound`."""
        record = self.get(name)
        with open_sparse(self.content(name, record), record.size) as source:
            yield source

    @contextmanager
    def building(self, name: str, record: Record, room: int | None = None) -> Iterator[SparseFile]:
        """Zeros to be filled: published under `name` when the block ends, gone without trace when it raises."""
        old = self.find(name)
        record = msgspec.structs.replace(record, slot=1 - old.slot if old else 0)
        path = self.content(name, record)
        with errors_in_kinds():
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            with errors_in_kinds():
                os.ftruncate(fd, record.size)
            target = SparseFile(fd, record.size, str(path), room)
            yield target
            target.check_room()  # a program that writes to the uri does not ask for room
            with errors_in_kinds():
                if target.allocated:  # nothing but a length goes with the journal, ahead of the record
                    os.fsync(fd)
            self.put(name, record)
        except BaseException:
            if self.find(name) != record:
                path.unlink()
            raise
        finally:
            os.close(fd)
        if old:
            self.content(name, old).unlink(missing_ok=True)

    def put(self, name: str, record: Record) -> None:
        """Publish a record in the place of an older one: written, synced, renamed, and the rename synced."""
        new = self._path(name, NEW_RECORD)
        with errors_in_kinds():
            try:
                with open(new, "wb") as file:
                    file.write(msgspec.json.encode(record))
                    file.flush()
                    os.fsync(file.fileno())
                killpoints.reached("before_publish")
                os.rename(new, self._path(name, RECORD))
                killpoints.reached("after_publish")
            except BaseException:
                new.unlink(missing_ok=True)
                raise
            self._sync()

    def extend(self, name: str, size: int) -> None:
        """Grow an object to `size` bytes; content first, so that the record never promises more than there is."""
        record = self.get(name)
        if size > record.size:
            with errors_in_kinds():
                os.truncate(self.content(name, record), size)
            self.put(name, msgspec.structs.replace(record, size=size))

    def take_over(self, other: "Store", old: str, record: Record, name: str, new: Record) -> None:
        """Have an object of another store here too, by another name: the file is linked, then the record is published."""
        target = self._path(name, SLOTS[new.slot])
        with errors_in_kinds():
            target.unlink(missing_ok=True)
            os.link(other.content(old, record), target)
        self.put(name, new)

    def delete(self, name: str) -> None:
        """Remove an object and all remains of it; gone is done. The record goes first: half deleted is deleted."""
        with errors_in_kinds():
            with suppress(FileNotFoundError):
                self._path(name, RECORD).unlink()
                self._sync()
                killpoints.reached("between_removals")
            for suffix in (NEW_RECORD, *SLOTS):
                self._path(name, suffix).unlink(missing_ok=True)

    def sweep(self, name: str) -> None:
        """Remove what a process left beside a complete object that was killed just after it had published it."""
        record = self.get(name)
        with errors_in_kinds():
            self._path(name, SLOTS[1 - record.slot]).unlink(missing_ok=True)

    def names(self) -> list[str]:
        """All complete objects, in order."""
        return [name for name in self.objects() if not name.endswith(".tmp")]

    def objects(self) -> list[str]:
        """All objects in order, with `.tmp` after the name where there are half-made remains."""
        files = set(os.listdir(self.root))
        found = set()
        for name, suffix in (file.split(".", 1) for file in files):
            record = self.find(name)
            in_use = (RECORD, SLOTS[record.slot]) if record else ()
            found.add(name if f".{suffix}" in in_use else f"{name}.tmp")
        return sorted(found)

    def allocated(self, pool: str) -> int:
        """Bytes that the objects of a pool take up."""
        return sum(self._blocks(name, record) * 512 for name, record in self._records(pool))

    def provisioned(self, pool: str) -> int:
        """Bytes that the objects of a pool promise."""
        return sum(record.size for _, record in self._records(pool))

    def _records(self, pool: str) -> Iterator[tuple[str, Record]]:
        for file in os.listdir(self.root):
            if file.endswith(RECORD):
                name = file.removesuffix(RECORD)
                record = self.find(name)
                if record and record.pool == pool:
                    yield name, record

    def _blocks(self, name: str, record: Record) -> int:
        try:
            return self.content(name, record).stat().st_blocks
        except FileNotFoundError:  # deleted meanwhile
            return 0

    def _path(self, name: str, suffix: str) -> Path:
        if not SAFE_NAME.fullmatch(name):
            raise InvalidInput(f"{name[:80]!r} cannot be a name on the storage.")
        return self.root / (name + suffix)

    def _sync(self) -> None:
        fd = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
