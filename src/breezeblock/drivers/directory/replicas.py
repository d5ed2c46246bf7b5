"""Replicas: whole copies of volumes in a second directory, kept as the volumes themselves are."""

from collections.abc import Sequence
from pathlib import Path

from breezeblock.drivers.contract import Rewrite
from breezeblock.drivers.directory import durable, repair
from breezeblock.drivers.directory.bases import Bases
from breezeblock.drivers.directory.content import Link, copy_chain
from breezeblock.drivers.directory.exporting import Exporting, NoExports
from breezeblock.drivers.directory.lineage import DISK, Lineage
from breezeblock.drivers.directory.store import Record, Store
from breezeblock.errors import BackendInUse, BackendNotFound, ConfigError
from breezeblock.model import clock
from breezeblock.model.volume import ModelUpdate, Volume


class Replicas:
    """The replicas of one directory's volumes. A replica is one raw file, replaced as a whole."""

    def __init__(self, root: Path, primary: Lineage, bases: Bases, max_depth: int) -> None:
        self._primary = primary
        self._primary_bases = bases
        self._max_depth = max_depth
        self._store = Store(root)
        self._bases = Bases(self._store)
        self._lineage = Lineage(self._store, self._bases, Exporting(NoExports), max_depth=1)

    def prepare(self, apart_from: Path) -> None:
        """Make the directory and mend it. Raises `ConfigError` where it is the volumes' own, or not usable."""
        root = self._store.root
        if root.resolve() == apart_from.resolve():
            raise ConfigError(f"replication_device is {root}, the directory of the volumes themselves.")
        try:
            self._store.prepare()
        except OSError as error:
            raise ConfigError(f"The replication_device {root} is not usable: {error}") from error
        if self._store.own():
            with durable.storage_errors("mend its replicas"):
                repair.mend(self._store, self._bases, self._lineage)

    def close(self) -> None:
        """Give up the ownership of the directory."""
        self._store.close()

    def update(self, name: str, exported: bool) -> ModelUpdate:
        """Copy the volume's content, unless no file of it changed since. An exported one goes on in an overlay."""
        replica = self._store.read(name)
        record = self._primary.whole(name)
        links = self._primary_bases.links(record)
        now = clock.now()
        if replica is None or replica.content != _state(links, record.size):
            if exported and record.depth >= self._max_depth:
                raise BackendInUse(
                    f"{name} is attached and stands on {record.depth} bases; "
                    "its replica can be refreshed again once it is detached."
                )
            if exported:
                self._primary.freeze(name, f"base-replica-{name}")
                frozen = self._primary.links(name)
                content, links = _state(frozen, record.size), frozen[1:]
            else:
                content = _state(links, record.size)
            self._copy(replica, name, content, links, record.size)
        return {"replication_status": "enabled", "replicated_at": now}

    def _copy(self, replica: Record | None, name: str, content: str, links: Sequence[Link], size: int) -> None:
        if replica is None:
            new = Record(name=name, size=size, content=content, disk=DISK)
            self._lineage.make(new, lambda path: copy_chain(links, size, path, size))
        else:
            self._lineage.replace_disk(replica, content, lambda path: copy_chain(links, size, path, size), size=size)

    def delete(self, name: str) -> None:
        """Remove a replica; gone is done."""
        self._lineage.remove(name)

    def names(self) -> list[str]:
        """All replicas, half-made ones with a trailing `.tmp`."""
        return [*self._store.published("volumes"), *(f"{name}.tmp" for name in self._store.unfinished())]

    def require(self, name: str) -> Record:
        """The replica's record. Raises `BackendNotFound` that says there is none."""
        record = self._store.read(name)
        if record is None:
            raise BackendNotFound(f"There is no replica of {name}.")
        return record

    def copy_to(self, source: str, volume: Volume, content: str, rewrite: Rewrite | None) -> None:
        """Publish a volume with the content of a replica."""
        replica = self.require(source)
        links, size = self._bases.links(replica), max(volume.size_bytes, replica.size)
        new = Record(name=volume.storage_name, size=size, content=content, disk=DISK)
        self._primary.make(new, lambda path: copy_chain(links, replica.size, path, size, rewrite))


def _state(links: Sequence[Link], size: int) -> str:
    """What changes when a byte of the volume does: its topmost file's times, and which files lie below."""
    top = links[0].path.stat()
    below = ",".join(link.path.parent.name for link in links[1:])
    return f"replica:{top.st_ino}:{top.st_size}:{top.st_mtime_ns}:{size}:{below}"
