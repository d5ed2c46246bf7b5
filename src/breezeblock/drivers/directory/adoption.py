"""qcow2 images that become bases as they are, and the pass that makes them our own.

The image's file is fetched into the home of the volume that is made of it, then linked as the base that the volume
stands on, in the way of every other base. Later its content is copied into a raw file beside it, which the record of the
base names from then on. A verb that is under way, or an export, may still read the old file: only when each of those was
waited for, or moved, it goes.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec

from breezeblock.drivers import copying
from breezeblock.drivers.directory import durable
from breezeblock.drivers.directory.bases import Bases
from breezeblock.drivers.directory.content import ChainSource, Link, copy_sparsely
from breezeblock.drivers.directory.exporting import Exporting
from breezeblock.drivers.directory.lineage import DISK, Lineage
from breezeblock.drivers.directory.qcow2 import write_overlay
from breezeblock.drivers.directory.store import ADOPTED, ADOPTED_FOR, Record, Store
from breezeblock.errors import BackendNotFound

KEEP_SECONDS = 2.0
_OVERLAY = f"{DISK}.over"

Hold = Callable[[str], AbstractContextManager[None]]
"""Keeps the verbs away from an object."""


class Adoption:
    """Adopts images, and settles what was adopted."""

    def __init__(self, store: Store, bases: Bases, lineage: Lineage, exporting: Exporting) -> None:
        self._store = store
        self._bases = bases
        self._lineage = lineage
        self._exporting = exporting

    def publish(self, name: str, content: str, size: int) -> None:
        """Let a volume stand on the file that was fetched for it, a qcow2 of `size` virtual bytes on stable storage."""
        base = self._publish_base(name, self._store.home(name) / DISK, size)
        try:
            self._bases.use(base, name)
            self._stand_on(self._store.get(name), base, content)
        except Exception:
            self._bases.collect(base)
            raise

    def _stand_on(self, record: Record, base: str, content: str) -> None:
        home = self._store.home(record.name)
        overlay = home / _OVERLAY
        durable.remove_file(overlay)
        write_overlay(overlay, record.size, f"../../bases/{base}/{DISK}", "raw")
        durable.sync_directory(home)
        now = msgspec.structs.replace(
            record, disk=_OVERLAY, format="qcow2", base=base, depth=1, content=content, kept=None
        )
        self._lineage.tidy(self._store.write(now))

    def _publish_base(self, name: str, file: Path, size: int) -> str:
        """The base that this file is: made now, or by an attempt that was cut short just then."""
        base, number = f"image-{name}", 1
        while (there := self._store.read(base)) is not None:
            if there.disk == ADOPTED and self._store.disk(there).samefile(file):
                return base
            # of an image that the volume had before, and that others stand on
            number += 1
            base = f"image-{name}-{number}"

        def prepare(path: Path) -> None:
            os.link(file, path)
            durable.make_directory(path.parent / "users")

        record = Record(
            name=base, size=size, content=f"{ADOPTED_FOR}{name}", format="qcow2", disk=ADOPTED, adopted=True
        )
        self._lineage.make(record, prepare)
        return base

    def settle(self, name: str, hold: Hold) -> None:
        """Have what was adopted for a volume read from raw files of its own, and drop the images. Done already is done; a
        pass that was killed goes on."""
        for record in list(self.unsettled()):
            if record.content == f"{ADOPTED_FOR}{name}":
                try:
                    self._settle(record, hold)
                except BackendNotFound:
                    if self._store.read(record.name) is not None:
                        raise  # its file is lost; a base is gone with the last who stood on it

    def _settle(self, record: Record, hold: Hold) -> None:
        with durable.storage_errors("make an image its own"):
            if record.disk == ADOPTED:
                record = self._copy(record)
            self._leave(record, hold)

    def _copy(self, record: Record) -> Record:
        """The base with its content in a raw file, which is its disk from now on."""
        home = self._store.home(record.name)
        raw, begin = home / DISK, int(record.kept or 0)
        if not begin or not raw.exists():
            durable.remove_file(raw)
            os.close(durable.create_file(raw, record.size))
            begin = 0
        fd = os.open(raw, os.O_RDWR)
        try:
            with ChainSource([Link(home / ADOPTED, "qcow2")], record.size) as source:
                copy_sparsely(source, fd, begin, self._keeping(record, fd))
        finally:
            os.close(fd)
        durable.sync_directory(home)
        return self._store.write(msgspec.structs.replace(record, disk=DISK, format="raw", kept=None))

    def _keeping(self, record: Record, fd: int) -> copying.Listener:
        """Tells how far the copy is, and writes it down now and then, after what it wrote."""
        kept = time.monotonic()

        def tell(done: int, total: int | None) -> None:
            nonlocal kept
            copying.tell(done, total)
            if time.monotonic() - kept >= KEEP_SECONDS:
                os.fsync(fd)
                self._store.write(msgspec.structs.replace(record, kept=str(done).encode()))
                kept = time.monotonic()

        return tell

    def _leave(self, record: Record, hold: Hold) -> None:
        """Drop the adopted file, once nothing reads it that was opened by the record of before."""
        home = self._store.home(record.name)
        for name in self._standing_on(record.name):
            with hold(name):
                self._exporting.rebase(name, [Link(home / DISK, "raw")], home / ADOPTED)
        durable.remove_file(home / ADOPTED)
        self._store.write(msgspec.structs.replace(record, adopted=False))

    def _standing_on(self, base: str) -> list[str]:
        """The volumes and snapshots that read from a base, near or far."""
        records = [
            record
            for folder in ("volumes", "snapshots", "bases")
            for name in self._store.published(folder)
            if (record := self._store.read(name)) is not None
        ]
        below, size = {base}, 0
        while len(below) > size:
            size = len(below)
            below |= {record.name for record in records if record.base in below}
        return sorted(name for name in below if name.startswith(("volume-", "snapshot-")))

    def below(self, name: str) -> str | None:
        """What `settle` takes for the image that a volume stands on, or None where it stands on none."""
        record = self._store.read(name)
        base = self._store.read(record.base) if record is not None and record.base is not None else None
        return base.content.removeprefix(ADOPTED_FOR) if base is not None and base.adopted else None

    def names(self) -> Iterator[str]:
        """The volumes that images were adopted for which are not settled."""
        return (record.content.removeprefix(ADOPTED_FOR) for record in self.unsettled())

    def unsettled(self) -> Iterator[Record]:
        """The bases whose adopted file is still there."""
        for name in self._store.published("bases"):
            record = self._store.read(name)
            if record is not None and record.adopted:
                yield record
