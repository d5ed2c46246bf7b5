"""Volumes that are used before their content has come.

Such a volume is an overlay over an export of somebody else, the source. Beside it lies the raw file that the content
comes into; at the end that becomes a base, named after its content, and the overlay stands on it like any other: so do
those of other volumes with this content that has not come yet. Its header names that base from the beginning; until the
base is there, whoever exports the overlay says what lies below. An overlay that nobody wrote to is dropped in the end, and
the raw file is the volume, where no other one waits for it.
"""

import os
from pathlib import Path

import msgspec

from breezeblock.drivers.contract import NbdSource
from breezeblock.drivers.directory import durable, qcow2
from breezeblock.drivers.directory.bases import Bases
from breezeblock.drivers.directory.content import Link
from breezeblock.drivers.directory.exporting import Exporting
from breezeblock.drivers.directory.lineage import DISK, Lineage, base_of, empty_disk, grow
from breezeblock.drivers.directory.store import LANDING, Hydrating, Record, Store
from breezeblock.errors import BackendNotFound, DriverError
from breezeblock.exports.disk import DiskFile, RemoteDisk


class Hydration:
    """Makes such volumes, and makes them ordinary."""

    def __init__(self, store: Store, bases: Bases, lineage: Lineage, exporting: Exporting) -> None:
        self._store = store
        self._bases = bases
        self._lineage = lineage
        self._exporting = exporting

    def create(self, name: str, size: int, content: str, source: NbdSource) -> None:
        """Publish an empty overlay over a source."""
        hydrating = Hydrating(socket=source.socket, export=source.export, size=source.size)
        record = Record(name=name, size=size, content=content, disk=DISK, format="qcow2", hydrating=hydrating)
        below = f"../../bases/{base_of(content)}/{DISK}"
        self._lineage.make(record, lambda path: qcow2.write_overlay(path, size, below, "raw"))

    def join(self, record: Record) -> bool:
        """Let a volume stand on what another one with the same content has brought; False where that is not there."""
        assert record.hydrating is not None
        base = self._store.read(base_of(record.content))
        if base is None or base.size != record.hydrating.size:
            return False
        try:
            self._bases.use(base.name, record.name)
        except BackendNotFound:
            return False  # its last user was deleted just now
        self._stand_on(record, base.name)
        return True

    def landing(self, record: Record) -> tuple[Path, bytes | None]:
        """The raw file that the content comes into, and the note of an earlier attempt of how far that wrote it."""
        assert record.hydrating is not None
        file, size = self._store.home(record.name) / LANDING, record.hydrating.size
        if file.exists() and file.stat().st_size == size:
            return file, record.kept
        durable.remove_file(file)
        empty_disk(size, thick=False)(file)
        return file, None

    def disk(self, record: Record) -> DiskFile:
        """What is exported. Raises `DriverError` for a volume that is fenced."""
        assert record.hydrating is not None
        if record.hydrating.fenced:
            raise DriverError(f"{record.name} is not exported any more: its source did not have what it should.")
        source = RemoteDisk(socket=record.hydrating.socket, export=record.hydrating.export)
        return DiskFile(path=self._store.disk(record), format="qcow2", backing=source)

    def settle(self, record: Record) -> None:
        """Let a volume stand on what has come; that is whole and on the disk."""
        overlay = self._store.disk(record)
        alone = not self._exporting.is_exported(record.name) and qcow2.is_untouched(overlay)
        if alone and not self._is_awaited(record):
            file = self._store.home(record.name) / LANDING
            grow(file, "raw", record.size)
            durable.sync_directory(file.parent)
            now = msgspec.structs.replace(record, disk=LANDING, format="raw", kept=None, hydrating=None)
            self._lineage.tidy(self._store.write(now))
            return
        base = self._publish_base(record)
        self._bases.use(base, record.name)
        self._stand_on(record, base)

    def _is_awaited(self, record: Record) -> bool:
        """Whether another volume with this content is without it."""
        others = (self._store.read(name) for name in self._store.published("volumes") if name != record.name)
        return any(one is not None and one.hydrating is not None and one.content == record.content for one in others)

    def _stand_on(self, record: Record, base: str) -> None:
        self._exporting.rebase(record.name, [Link(self._store.home(base) / DISK, "raw")])
        now = msgspec.structs.replace(record, base=base, depth=1, kept=None, hydrating=None)
        self._lineage.tidy(self._store.write(now))

    def _publish_base(self, record: Record) -> str:
        assert record.hydrating is not None
        base, file = base_of(record.content), self._store.home(record.name) / LANDING
        if self._store.read(base) is not None:
            return base  # of an attempt that was cut short just then, or another volume's

        def prepare(path: Path) -> None:
            os.link(file, path)
            durable.make_directory(path.parent / "users")

        self._lineage.make(Record(name=base, size=record.hydrating.size, content=record.content, disk=DISK), prepare)
        return base

    def fence(self, record: Record) -> None:
        """Never export it again."""
        assert record.hydrating is not None
        fenced = msgspec.structs.replace(record.hydrating, fenced=True)
        self._store.write(msgspec.structs.replace(record, hydrating=fenced))
        self._exporting.withdraw(record.name)
