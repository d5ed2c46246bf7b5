"""A volume gets its snapshot's content again: a new file for it is made beside the old one, and the record's one
replacement is the act that counts."""

from pathlib import Path

import msgspec

from breezeblock.drivers.directory import durable, reflink
from breezeblock.drivers.directory.bases import Bases
from breezeblock.drivers.directory.content import copy_chain
from breezeblock.drivers.directory.lineage import DISK, Lineage, Prepare, grow
from breezeblock.drivers.directory.store import Record, Store


def revert(store: Store, bases: Bases, lineage: Lineage, name: str, snapshot: str) -> None:
    """Give `name`, which nobody writes to, the content of `snapshot`. Raises `BackendNotFound`."""
    record = lineage.current(name)
    home = store.home(name)
    disk = next(one for one in (DISK, f"{DISK}.reverted") if one != record.disk)
    new, prepare = _wanted(store, bases, lineage, lineage.whole(snapshot), record.size)
    durable.remove_file(home / disk)
    try:
        prepare(home / disk)
    except Exception:
        durable.remove_file(home / disk)
        raise
    durable.sync_directory(home)
    now = msgspec.structs.replace(new, name=name, size=record.size, disk=disk, content=f"reverted:{snapshot}")
    _note_user(bases, now)
    store.write(now)
    # noted again, for until now the note may have been dropped; the snapshot kept the base, which it stands on too, alive
    _note_user(bases, now)
    lineage.tidy(now)
    if record.base != now.base:
        bases.release(record.base, name)


def _note_user(bases: Bases, record: Record) -> None:
    if record.base is not None:
        bases.use(record.base, record.name)


def _wanted(store: Store, bases: Bases, lineage: Lineage, kept: Record, size: int) -> tuple[Record, Prepare]:
    """What the volume's record will say of its file, and what makes that file: a shared copy, an overlay, or a copy."""
    alone = msgspec.structs.replace(kept, format="raw", base=None, depth=0)
    if kept.disk is not None and lineage.shares_blocks:
        shared = store.disk(kept)

        def share(path: Path) -> None:
            reflink.clone_file(shared, path)
            grow(path, kept.format, size)

        return kept, share
    base = kept.base
    if kept.disk is None and base is not None and lineage.is_shallow(kept):
        over = msgspec.structs.replace(kept, format="qcow2")
        return over, lambda path: lineage.write_overlay(path, size, base)
    links = bases.links(kept)
    return alone, lambda path: copy_chain(links, kept.size, path, size)
