"""How content goes from one object to another in constant time, and how files keep alive what others stand on.

Where the filesystem has reflink, a snapshot or clone is a file of its own that shares blocks. Elsewhere, and for a
volume that is exported, the source's file becomes a base: a hard link of it is published in `bases/`, the source
goes on in an empty overlay of that base, and so does a clone; a snapshot is a record that names the base.
"""

import contextlib
import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from breezeblock import commands, killpoints
from breezeblock.drivers.contract import Rewrite
from breezeblock.drivers.directory import durable, qcow2, reflink
from breezeblock.drivers.directory.bases import Bases
from breezeblock.drivers.directory.content import ChainSource, Link, copy_chain, rewritten
from breezeblock.drivers.directory.exporting import Exporting
from breezeblock.drivers.directory.store import LANDING, RECORD, Record, Store, Switch
from breezeblock.errors import BackendInUse, BackendNotFound, DriverError

DISK = "disk"
FILLING = "filling:"
MOST_LIVE_DEPTH = 64
"""Bases below an exported volume, which cannot be flattened before it is exported anew."""

Prepare = Callable[[Path], None]
"""Makes and syncs the disk file at this path."""


class Lineage:
    """Makes objects, out of nothing and out of each other, and removes them."""

    def __init__(self, store: Store, bases: Bases, exporting: Exporting, max_depth: int) -> None:
        self._store = store
        self._bases = bases
        self._exporting = exporting
        self._max_depth = max_depth
        self.shares_blocks = False
        """Whether the filesystem has reflink; set when the store is prepared."""

    # making and removing

    def make(self, record: Record, prepare: Prepare | None = None) -> None:
        """Publish a new object. After an error nothing of it is left."""
        self.discard(record.name)
        work = self._store.begin(record)
        try:
            if record.base is not None:
                self._bases.use(record.base, record.name)
            if record.disk is not None and prepare is not None:
                prepare(work / record.disk)
            self._store.publish(record.name)
        except Exception:
            self.discard(record.name)
            raise

    def is_being_made(self, name: str, file: Path) -> bool:
        """Whether `file` is the disk of the unfinished work on an object."""
        disk = self._store.work(name) / DISK
        return disk.exists() and disk.samefile(file)

    def discard(self, name: str) -> None:
        """Remove the half-made and half-removed remains of an object."""
        for record in self._store.remains(name):
            self._bases.release(record.base, name)
            if record.switching is not None:
                self._bases.release(record.switching.base, name)
            killpoints.reached("between_removals")
        self._store.sweep(name)

    def remove(self, name: str) -> None:
        """Remove an object and its remains. Gone is done."""
        self.discard(name)
        record = self._store.read(name)
        self._store.retire(name)
        self.discard(name)
        self._bases.collect(base_for(name))
        if record is not None and record.hydrating is not None:
            self._bases.collect(base_of(record.content))

    # the state of a volume

    def current(self, name: str) -> Record:
        """A volume's or snapshot's record, mended if a switch to an overlay was cut short.

        Raises `BackendNotFound`.
        """
        record = self._store.get(name)
        if record.switching is None:
            return record
        overlay = self._store.home(name) / record.switching.disk
        active = self._exporting.active_path(name)
        if overlay.exists() and (active is None or active.samefile(overlay)):
            # nobody writes, or to the overlay already: it holds the same as its base or more
            return self._switched(record, record.switching, served=active is not None)
        mended = self._store.write(msgspec.structs.replace(record, switching=None))
        durable.remove_file(overlay)
        self._bases.release(record.switching.base, name)
        return mended

    def whole(self, name: str) -> Record:
        """As `current`, of what can be copied and exported. Raises `BackendInUse` for what is not filled."""
        record = self.current(name)
        if record.content.startswith(FILLING):
            raise BackendInUse(f"{name} is being filled, or was not filled to the end.")
        self.refuse_hydrating(record)
        return record

    def refuse_hydrating(self, record: Record) -> None:
        """Raises `BackendInUse` for a volume whose content has not come yet."""
        if record.hydrating is not None:
            raise BackendInUse(f"The content of {record.name} has not come yet; it is still read from its source.")

    def measure(self, record: Record) -> int:
        """Bytes of an object as its own file has them; without a file of its own, as its record says.

        Raises `BackendNotFound` where the file is lost.
        """
        if record.disk is None:
            return record.size
        path = self._store.disk(record)
        try:
            if record.format == "raw":
                return path.stat().st_size
            with qcow2.Qcow2File(path) as file:
                return file.size
        except FileNotFoundError:
            raise BackendNotFound(f"The file {path} of {record.name} is lost.") from None

    def links(self, name: str) -> list[Link]:
        """The files that it is read from, topmost first. Raises as `whole`."""
        return self._bases.links(self.whole(name))

    # deriving

    def derive(
        self,
        source: str,
        target: str,
        content: str,
        size: int,
        *,
        with_disk: bool = True,
        rewrite: Rewrite | None = None,
    ) -> None:
        """Publish `target` (`size` bytes) with the content of `source`; a snapshot needs no disk of its own."""
        self.discard(target)
        record = self.whole(source)
        exported = self._exporting.is_exported(source)
        if self.shares_blocks and not exported and self._shareable(record, rewrite):
            self._derive_by_reflink(record, Record(name=target, size=size, content=content, disk=DISK), rewrite)
            return
        try:
            self._derive_by_base(record, Record(name=target, size=size, content=content), with_disk, rewrite)
        except Exception:
            self._bases.collect(base_for(target))  # published, and then nobody came to stand on it
            raise

    def _derive_by_base(self, source: Record, new: Record, with_disk: bool, rewrite: Rewrite | None) -> None:
        base = source.base if source.disk is None else self.freeze(source.name, base_for(new.name))
        depth = self._depth(base) + 1
        new = msgspec.structs.replace(new, base=base, depth=depth)
        if not with_disk:
            self.make(new)
        elif depth > self._max_depth:
            links = self._bases.links(new)
            new = msgspec.structs.replace(new, base=None, depth=0, disk=DISK)
            self.make(new, lambda path: copy_chain(links, new.size, path, new.size, rewrite))
        else:
            self.stand_on(str(base), new.name, new.content, new.size, rewrite)

    def _shareable(self, record: Record, rewrite: Rewrite | None) -> bool:
        if record.disk is not None or record.base is None:
            # into a shared qcow2 nothing can be written here; an overlay of it takes what is rewritten
            return record.disk is not None and (rewrite is None or record.format == "raw")
        return self._store.get(record.base).format == "raw"

    def _derive_by_reflink(self, source: Record, new: Record, rewrite: Rewrite | None) -> None:
        top = source if source.disk is not None else self._store.get(str(source.base))
        file = self._store.disk(top)

        def prepare(path: Path) -> None:
            reflink.clone_file(file, path)
            grow(path, top.format, new.size)
            if rewrite is not None:
                durable.patch_file(path, self._rewritten([Link(file, "raw")], top.size, rewrite))

        self.make(msgspec.structs.replace(new, format=top.format, base=top.base, depth=top.depth), prepare)

    def freeze(self, name: str, base: str) -> str:
        """Make what a volume holds now immutable, the volume going on in an overlay; returns the base's name.

        That is `base`, or the base it stands on already when it has written nothing since.
        """
        record = self.whole(name)
        exported = self._exporting.is_exported(name)
        if exported and record.depth >= MOST_LIVE_DEPTH:
            raise BackendInUse(f"{name} stands on {record.depth} bases; detach and attach it, to have it flattened.")
        if not exported:
            if record.base is not None and record.format == "qcow2" and qcow2.is_untouched(self._store.disk(record)):
                return record.base
            if record.depth >= self._max_depth:
                record = self.flatten(record)
            durable.sync_file(self._store.disk(record))
        base = self._publish_base(record, base)
        self._bases.use(base, name)
        self._go_on_in_overlay(record, base, exported)
        return base

    def _publish_base(self, record: Record, wanted: str) -> str:
        """Make the volume's file a base too, by the wanted name or, if the volume went on from that, by the next."""
        file = self._store.disk(record)
        base, number = wanted, 1
        while (there := self._store.read(base)) is not None:
            if self._store.disk(there).samefile(file):
                return base
            number += 1
            base = f"{wanted}-{number}"

        def prepare(path: Path) -> None:
            os.link(file, path)
            durable.make_directory(path.parent / "users")

        new = msgspec.structs.replace(
            record, name=base, disk=DISK, content=f"frozen:{record.name}", switching=None, connected=(), iscsi=None
        )
        self.make(new, prepare)
        return base

    def _go_on_in_overlay(self, record: Record, base: str, exported: bool) -> None:
        switch = Switch(f"{DISK}.{base}", base)
        overlay = self._store.home(record.name) / switch.disk
        durable.remove_file(overlay)
        try:
            self.write_overlay(overlay, record.size, base)
            durable.sync_directory(overlay.parent)
        except Exception:
            durable.remove_file(overlay)
            raise
        if exported:
            record = self._store.write(msgspec.structs.replace(record, switching=switch))
            below = self._bases.links(self._store.get(base))
            switched = self._switch(record, switch, [Link(overlay, "qcow2"), *below])
            durable.sync_file(self._store.disk(self._store.get(base)))
            if switched:
                return
        self._switched(record, switch, served=exported)

    def _switch(self, record: Record, switch: Switch, links: Sequence[Link]) -> bool:
        """Have the export daemon write to the overlay `links[0]`; whether the record tells of it already, as it does when
        the daemon died over it and nobody writes any more."""
        try:
            self._exporting.switch(record.name, links)
        except DriverError:
            # it may have happened all the same: what the daemon says now decides; if it is silent, it is asked later
            with contextlib.suppress(DriverError):
                if self.current(record.name).disk == switch.disk:
                    return True
            raise
        return False

    def _switched(self, record: Record, switch: Switch, served: bool) -> Record:
        now = msgspec.structs.replace(
            record,
            disk=switch.disk,
            format="qcow2",
            base=switch.base,
            depth=self._depth(switch.base) + 1,
            switching=None,
            thick=False,
        )
        self._store.write(now)
        if not served:  # the export daemon opens its files again by the names it knows
            self.tidy(now)
        self._bases.release(record.base, record.name)
        return now

    def is_shallow(self, record: Record) -> bool:
        """Whether a volume may stand where this object stands, without being flattened."""
        return record.depth <= self._max_depth

    def tidy(self, record: Record) -> None:
        """Remove the files of an object that its record does not name, unless it is exported."""
        home = self._store.home(record.name)
        ours = (RECORD, record.disk, DISK if record.kept else None, LANDING if record.hydrating else None)
        strays = [file for file in os.listdir(home) if file not in ours]
        if strays and not self._exporting.is_exported(record.name):
            for file in strays:
                durable.remove_file(home / file)

    def ready_to_export(self, name: str) -> list[Link]:
        """The files of a volume that is not exported, flattened if a chain cannot grow on while it is."""
        record = self.whole(name)
        if record.depth >= MOST_LIVE_DEPTH:
            record = self.flatten(record)
        return self._bases.links(record)

    def flatten(self, record: Record) -> Record:
        """Copy a volume that nobody writes to into one raw file, so that it stands on nothing."""
        links = self._bases.links(record)
        return self.replace_disk(record, record.content, lambda path: copy_chain(links, record.size, path, record.size))

    def replace_disk(self, record: Record, content: str, prepare: Prepare, size: int | None = None) -> Record:
        """Give a published object another raw disk (and size), by one act, and let the old one go."""
        home = self._store.home(record.name)
        disk = next(name for name in (DISK, f"{DISK}.flat") if name != record.disk)
        durable.remove_file(home / disk)
        try:
            prepare(home / disk)
        except Exception:
            durable.remove_file(home / disk)
            raise
        durable.sync_directory(home)
        now = msgspec.structs.replace(record, disk=disk, format="raw", base=None, depth=0, content=content)
        now = msgspec.structs.replace(now, size=size or record.size)
        self._store.write(now)
        self.tidy(now)
        self._bases.release(record.base, record.name)
        return now

    def _depth(self, base: str | None) -> int:
        return -1 if base is None else self._store.get(base).depth

    def begin_fill(self, record: Record, content: str, length: int | None = None) -> tuple[Path, bytes | None]:
        """A file of `length` bytes, by default the volume's, for `content`, hidden until `end_fill`; the volume reads as
        zeros, and its old files go.

        With the note of an earlier fill that was killed it is that one's file, else a new one.
        """
        file, length = self._store.home(record.name) / DISK, length or record.size
        if record.content == f"{FILLING}{content}" and record.kept and _has_size(file, length):
            return file, record.kept
        hollow = msgspec.structs.replace(
            record,
            disk=None,
            base=None,
            depth=0,
            format="raw",
            content=f"{FILLING}{content}",
            kept=None,
            hydrating=None,
        )
        self._store.write(hollow)
        self.tidy(hollow)
        self._bases.release(record.base, record.name)
        try:
            empty_disk(length, record.thick)(file)
        except Exception:
            durable.remove_file(file)
            raise
        return file, None

    def keep(self, name: str, note: bytes) -> None:
        """Note how far a fill is; what it wrote is on the disk already."""
        durable.sync_directory(self._store.home(name))
        self._store.write(msgspec.structs.replace(self._store.get(name), kept=note))

    def end_fill(self, name: str, content: str) -> None:
        """Publish what was filled in; it is on the disk already."""
        durable.sync_directory(self._store.home(name))
        self._store.write(msgspec.structs.replace(self._store.get(name), disk=DISK, content=content, kept=None))

    def stand_on(self, base: str, name: str, content: str, size: int, rewrite: Rewrite | None = None) -> None:
        """Publish a volume that reads as `base` does, but for its beginning where that is rewritten."""
        depth = self._depth(base) + 1
        new = Record(name=name, size=size, content=content, base=base, depth=depth, disk=DISK, format="qcow2")
        self.make(new, lambda path: self.write_overlay(path, size, base, rewrite))

    def write_overlay(self, path: Path, size: int, base: str, rewrite: Rewrite | None = None) -> None:
        """Make and sync an overlay of `size` bytes over `base`, its beginning rewritten."""
        below = self._store.get(base)
        beginning = self._rewritten(self._bases.links(below), below.size, rewrite) if rewrite is not None else b""
        # an adopted base is named as it will be: nobody goes by the header, and it never names a foreign file
        disk, format_ = (DISK, "raw") if below.adopted else (below.disk, below.format)
        qcow2.write_overlay(path, size, f"../../bases/{base}/{disk}", format_, beginning)

    def _rewritten(self, links: Sequence[Link], size: int, rewrite: Rewrite) -> bytes:
        with ChainSource(links, size) as source:
            return rewritten(source, rewrite)


def base_of(content: str) -> str:
    """The name of the base that volumes with this content stand on, once it has come."""
    return f"image-{hashlib.sha256(content.encode()).hexdigest()[:32]}"


def base_for(name: str) -> str:
    """The name of the base that is made for this snapshot or clone."""
    return f"base-{name}"


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except FileNotFoundError:
        return False


def empty_disk(size: int, thick: bool) -> Prepare:
    """Makes a raw file that reads as zeros; `thick` takes its room at once."""

    def prepare(path: Path) -> None:
        fd = durable.create_file(path, size)
        try:
            if thick:
                os.posix_fallocate(fd, 0, size)
            os.fsync(fd)
        finally:
            os.close(fd)

    return prepare


def grow(path: Path, format_: str, size: int, thick: bool = False) -> None:
    """Make a disk file that nobody has open `size` bytes large, and sync it; already that large is done."""
    if format_ == "qcow2":
        if not qcow2.grow_overlay(path, size):
            program = commands.find("qemu-img", "qemu-utils")
            commands.run([program, "resize", "-q", "-f", "qcow2", str(path), str(size)], timeout=600)
            durable.sync_file(path)
        return
    fd = os.open(path, os.O_RDWR)
    try:
        if os.fstat(fd).st_size < size:
            os.ftruncate(fd, size)
        if thick:
            os.posix_fallocate(fd, 0, size)
        os.fsync(fd)
    finally:
        os.close(fd)
