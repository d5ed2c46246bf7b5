"""Images as volumes: made under another name and published by a rename, replaced, hidden, and gone with the last clone.

An image's record lies in its own metadata. A clone inherits the metadata of what it is made of, so that each record is
written anew before its image is published.
"""

import contextlib
from collections.abc import Callable, Iterator

import msgspec

from breezeblock import killpoints
from breezeblock.drivers.held import Held
from breezeblock.drivers.rbd import names
from breezeblock.drivers.rbd.cluster import Cluster
from breezeblock.drivers.rbd.removals import Removals
from breezeblock.errors import BackendInUse, BackendNotFound, BackendOutOfSpace
from breezeblock.model.snapshot import Snapshot


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What an image is, beside its name: written down in its metadata."""

    content: str = "empty"
    """What it was made of, or is being filled with."""
    older: tuple[str, ...] = ()
    """The hidden images that were this volume before and that have snapshots of it."""
    ready: bool = False
    """Whether it is whole; said of what is to take the place of the volume, and may do so at any time."""
    note: bytes | None = None
    """How far the filling is."""

    def text(self) -> str:
        """As the metadata has it."""
        return msgspec.json.encode(self).decode()


class Parent(msgspec.Struct, frozen=True, kw_only=True):
    """What an image is a clone of; `image` is the name that it has now."""

    pool: str
    image: str
    id: str
    snapshot: str


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What an image says of itself. Sizes are bytes; `snapshots` are those that somebody made, by name and size."""

    name: str
    id: str
    size: int
    snapshots: list[tuple[str, int]]
    parent: Parent | None
    record: str | None
    plain: bool
    """Whether it is an image of the second format."""

    def read(self) -> Record:
        """Its record; that of an empty volume for an image that has none."""
        return Record() if self.record is None else msgspec.json.decode(self.record, type=Record)

    def kept(self) -> list[str]:
        """Its snapshots that have to stay."""
        return [name for name, _ in self.snapshots if not names.is_passing(name)]


class Info(Header, frozen=True, kw_only=True):
    """An image, and who uses it."""

    watchers: list[str]
    """Addresses of the clients that have it open, beside this one."""


class Found(msgspec.Struct, frozen=True):
    """Where a snapshot lies. `size` is bytes."""

    image: str
    name: str
    size: int
    parent: Parent | None = None
    """What the image stands on."""


class Store:
    """The images of one pool. Whoever calls holds the names of the volumes concerned."""

    def __init__(self, cluster: Cluster, pool: str) -> None:
        self._cluster = cluster
        self._pool = pool
        self._parents = Held()
        self._removals = Removals(self._reap)

    def close(self) -> None:
        """End what is removed behind the verbs."""
        self._removals.close()

    # looking

    def info(self, name: str, pool: str | None = None) -> Info | None:
        """An image, whatever it is."""
        found = self._cluster.call("info", name, pool)
        return None if found is None else msgspec.convert(found, Info)

    def find(self, name: str) -> Info | None:
        """A whole volume, or None; a replacement that was cut short is ended."""
        found = self.info(name)
        if found is not None:
            return found
        new = self.info(name + names.TMP)
        if new is None or not new.read().ready:
            return None
        self._cluster.call("rename", new.name, name)
        return self.info(name)

    def get(self, name: str) -> Info:
        """A whole volume. Raises `BackendNotFound`."""
        found = self.find(name)
        if found is None:
            raise BackendNotFound(f"The pool {self._pool} has no {name}.")
        return found

    def find_snapshot(self, snapshot: Snapshot, name: str | None = None) -> Found | None:
        """Where a snapshot lies: at its volume, or at an image that was that volume, or wherever if that is not known."""
        wanted = name or snapshot.storage_name
        for image in self._homes(snapshot.volume_id):
            if (size := dict(image.snapshots).get(wanted)) is not None:
                return Found(image.name, wanted, size, image.parent)
        return None

    def get_snapshot(self, snapshot: Snapshot) -> Found:
        """Where a snapshot lies. Raises `BackendNotFound`."""
        found = self.find_snapshot(snapshot)
        if found is None:
            raise BackendNotFound(f"The pool {self._pool} has no {snapshot.storage_name}.")
        return found

    def _homes(self, volume_id: str) -> Iterator[Info]:
        """The images that a volume's snapshots may lie at; all where the volume is not known."""
        volume = f"volume-{volume_id}"
        if not volume_id:
            yield from filter(None, map(self.info, self.images()))
            return
        found = self.find(names.plain(volume))
        if found is not None:
            yield found
            yield from filter(None, map(self.info, found.read().older))
            return
        for name in self.images():
            if names.origin(name) == volume and (image := self.info(name)) is not None:
                yield image

    def images(self) -> list[str]:
        """The names of all images."""
        listed: list[str] = self._cluster.call("images")
        return listed

    def snapshot(self, name: str, snapshot: str, *, or_moment: bool = False) -> tuple[str, Header]:
        """Keep the content of a volume; there already is done, and so is a clone's moment of that content (`or_moment`).

        What it is kept as, and the volume. Raises `BackendNotFound`.
        """
        try:
            kept, told = self._cluster.call("snapshot", name, snapshot, or_moment)
        except BackendNotFound:
            kept, told = self._cluster.call("snapshot", self.get(name).name, snapshot, or_moment)
        return kept, msgspec.convert(told, Header)

    # making

    def make(self, name: str, build: Callable[[str], None]) -> None:
        """Publish what `build` makes under the name that it is given, whole and with its record."""
        new = name + names.TMP
        self.discard(name)
        try:
            build(new)
        except Exception:
            self.discard(name)
            raise
        killpoints.reached("before_publish")
        self._cluster.call("rename", new, name)
        killpoints.reached("after_publish")

    def replace(self, old: Info, record: Record) -> None:
        """Put what was made under the other name, whole, in the place of a volume, of which snapshots and clones stay."""
        new, gone = old.name + names.TMP, names.hidden(old.name, old.id)
        older = tuple(one for one in old.read().older if self.info(one) is not None)
        if old.kept():
            older += (gone,)
        self.note(new, msgspec.structs.replace(record, older=older, ready=True, note=None))
        killpoints.reached("before_publish")
        self._cluster.call("rename", old.name, gone)
        self._cluster.call("rename", new, old.name)
        killpoints.reached("after_publish")
        self.reap(gone)

    def note(self, name: str, record: Record) -> None:
        """Write an image's record."""
        self._cluster.call("note", name, record.text())

    # removing

    def discard(self, name: str) -> None:
        """Hide what is being made for a volume, or what a death left of that, and have it removed."""
        image_id: str | None = self._cluster.call("id_of", name + names.TMP)
        if image_id is None:
            return
        gone = names.hidden(name + names.TMP, image_id)
        try:
            self._cluster.call("rename", name + names.TMP, gone)
        except BackendOutOfSpace:
            self._remove_unseen(name + names.TMP)  # a name takes room, too
        else:
            self.reap(gone)

    def delete(self, name: str) -> None:
        """Take a volume away with all that is being made for it; gone is done. Snapshots and clones of it live on.

        What it took on the cluster is freed behind this.
        """
        self.discard(name)
        found = self.info(name)
        if found is None:
            self._sweep(name)
            return
        self.refuse_open(found)
        gone = names.hidden(name, found.id)
        killpoints.reached("before_publish")
        try:
            self._cluster.call("rename", name, gone)
        except BackendOutOfSpace:
            # what nothing stands on goes without another name
            if found.kept() or not self._remove(found):
                raise
            return
        killpoints.reached("after_publish")
        killpoints.reached("between_removals")
        self.reap(gone)

    def delete_snapshot(self, found: Found) -> None:
        """Take a snapshot away, and the image that it was the last reason for."""
        self._cluster.call("remove_snapshot", found.image, found.name)
        killpoints.reached("between_removals")
        self.reap(found.image)

    def reap(self, name: str) -> None:
        """Have an image removed that nobody sees any more, unless a snapshot or a clone needs it; then below it the same."""
        if name.endswith(names.GONE):
            self._removals.begin(name)

    def _reap(self, name: str) -> None:
        with self._parents.hold(name):
            self._remove_unseen(name)

    def _remove_unseen(self, name: str) -> None:
        image = self.info(name)
        if image is None:
            self._cluster.call("remove", name)  # half made, or half removed: there is nothing to open
        elif names.is_discarded(name) or not image.kept():
            self._remove(image)

    def settle(self, name: str) -> None:
        """End what was cut short of removing the images that were a volume before."""
        for image in self.images():
            if names.origin(image) == name:
                self.reap(image)

    def reap_all(self) -> None:
        """Remove what was left when a removal was cut short."""
        for name in self.images():
            self.reap(name)

    @contextlib.contextmanager
    def leaving_parent(self, image: Info) -> Iterator[None]:
        """In the block an image comes to stand on its parent no more; then what was there for it alone goes.

        The moment of a clone goes before: without its clone it would be taken for one that a death left.
        """
        if image.parent is None or image.parent.pool != self._pool:
            yield
            return
        hidden = self._forget_moment(image.parent, image.parent.snapshot)
        yield
        if hidden is not None:
            self._forget_moment(image.parent, hidden)
        name: str | None = self._cluster.call("name_of", image.parent.id)
        if name is not None:
            self.reap(name)

    def _forget_moment(self, parent: Parent, snapshot: str) -> str | None:
        """Remove a snapshot that was taken for a clone alone; the name that it still has, by clones of the first format."""
        # its image's name is asked for now: somebody else may have deleted it meanwhile, and left it to this one
        name: str | None = self._cluster.call("name_of", parent.id)
        if name is None or not names.is_passing(snapshot):
            return None
        hidden: str | None = self._cluster.call("remove_snapshot", name, snapshot)
        return hidden

    def refuse_open(self, image: Info) -> None:
        """Raises `BackendInUse` where a client has the image open."""
        if image.watchers:
            raise BackendInUse(f"{image.name} is open at {', '.join(image.watchers)}.")

    def _remove(self, image: Info) -> bool:
        """Remove an image with its snapshots; False where clones stand on it, the last of which takes it along."""
        for snapshot, _ in image.snapshots:
            self._cluster.call("remove_snapshot", image.name, snapshot)
        with self.leaving_parent(image):
            removed: bool = self._cluster.call("remove", image.name)
        return removed

    def _sweep(self, name: str) -> None:
        """Remove what is left of a volume that is not there: hidden images, and moments that clones were to be made of."""
        for image, _, snapshots in self.scan():
            self.reap(image)  # of any volume: this one may have been the last that stood on it
            if image == name + names.TMP:
                self._cluster.call("remove", image)  # its removal was cut short: the directory has it no more
            for snapshot, _ in snapshots:
                if names.clone_of(snapshot) == name:
                    self._cluster.call("remove_snapshot", image, snapshot)

    def scan(self) -> list[tuple[str, int, list[tuple[str, int]]]]:
        """All images with their sizes and snapshots."""
        found: list[tuple[str, int, list[tuple[str, int]]]] = self._cluster.call("scan")
        return found
