"""librbd, as the process that may hang with it calls it: one method for each thing that a storage is asked.

Whatever these raise is told to the worker by its kind (`kind_of`). Names are those of `names`; nothing here locks them.
"""

import contextlib
import errno
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from breezeblock.drivers.rbd import binding, names
from breezeblock.drivers.rbd.directory import Directory
from breezeblock.drivers.rbd.handles import Closing, Handles
from breezeblock.drivers.rbd.ledger import Ledger
from breezeblock.drivers.rbd.wire import Access
from breezeblock.errors import BreezeblockError, ConfigError

Tell = Callable[[int, int], int]
"""Told how far something is; less than zero ends it."""

RECORD = "breezeblock"
"""The metadata key of an image that holds its `store.Record`."""

OWNER_BYTES = 128
"""What an owner's address takes, always: in a full pool nothing grows, and the next owner has to make room there."""

MOST_COMPARED = 64 << 30
"""Bytes of an image that is compared with its last snapshot; a TiB takes 155 ms, a GiB 1 ms, and a snapshot 35."""

SCANNERS = 8
BUSY_TRIES = 100
BUSY_SECONDS = 0.1
_KINDS = {
    errno.ENOENT: "not_found",
    errno.EBUSY: "in_use",
    errno.ENOTEMPTY: "in_use",
    errno.EEXIST: "exists",
    errno.ENOSPC: "full",
    errno.EDQUOT: "full",
    errno.ETIMEDOUT: "transient",
    errno.ESHUTDOWN: "lost",
    errno.ENOTCONN: "transient",
    errno.EAGAIN: "transient",
    errno.EOPNOTSUPP: "unable",
    errno.ENOEXEC: "unable",
}


def kind_of(error: BaseException) -> str:
    """What an error of the library, or of ours, is to the worker."""
    if isinstance(error, ConfigError):
        return "config"
    number = getattr(error, "errno", None)
    return "error" if number is None else _KINDS.get(abs(number), "error")


class Library:
    """A connection to one pool."""

    def __init__(self, access: Access) -> None:
        self._rados, self._rbd = binding.load()
        self._name = access.pool
        try:
            self._cluster = self._rados.Rados(
                rados_id=access.user, clustername=access.cluster, conffile=access.conf or ""
            )
        except self._rados.Error as error:
            raise ConfigError(
                f"The configuration of Ceph cannot be read ({access.conf or 'default'}): {error}"
            ) from error
        if access.timeout >= 0:
            for option in ("client_mount_timeout", "rados_mon_op_timeout", "rados_osd_op_timeout"):
                self._cluster.conf_set(option, str(access.timeout))
        try:
            self._cluster.connect()
            self._io = self._cluster.open_ioctx(access.pool)
            self._io.set_osdmap_full_try()  # else all waits until a full pool has room, also what makes some
        except self._rados.ObjectNotFound as error:
            raise ConfigError(f"Ceph has no pool {access.pool}, or no key for {access.user}: {error}") from error
        except (self._rados.PermissionError, self._rados.PermissionDeniedError) as error:
            raise ConfigError(f"Ceph does not let the user {access.user} in: {error}") from error
        self._rbd_images = self._rbd.RBD()
        self._directory = Directory(self._rados, self._io)
        self.name_of, self.id_of = self._directory.name_of, self._directory.id_of
        self._owned: str | None = None
        handles = Handles(self._open)
        self.open, self.close = handles.open, handles.close
        self.read, self.write, self.zero, self.flush = handles.read, handles.write, handles.zero, handles.flush
        self.extents, self.changes = handles.extents, handles.changes
        self._closing = Closing()
        ledger = Ledger(self._rados, self._io)
        self.add_connection, self.remove_connections = ledger.add_connection, ledger.remove_connections
        self.connections = ledger.connections

    # the cluster

    def own(self, owner: str, before: str | None) -> str:
        """Shut out the process that was the owner before, if it did not end well, and settle renames that it left.

        Returns this process's address. `before` is the address that has to be the owner's until now; else another one has
        taken the backend over.
        """
        place, mine = f"breezeblock.owner.{owner}", str(self._cluster.get_addrs())
        try:
            former = self._io.read(place).decode().strip()
        except self._rados.ObjectNotFound:
            former = ""
        if before is not None and former != before:
            raise OSError(errno.EAGAIN, f"another process owns {owner} now")
        if former and former != mine:
            try:
                self._cluster.blocklist_add(former)
            except self._rados.PermissionDeniedError as error:
                raise ConfigError(
                    "The Ceph user may not shut out a client that died (osd blocklist): give it mon 'profile rbd'."
                ) from error
        self._io.write_full(place, mine.ljust(OWNER_BYTES).encode())
        self._owned = place
        self._settle()
        return mine

    def leave(self) -> None:
        """End the connection in good order; what follows is the end of the process."""
        self._closing.end()
        if self._owned:
            self._io.write_full(self._owned, b" " * OWNER_BYTES)

    def capacity(self) -> dict[str, Any]:
        """What `ceph df` and the pool's quota say."""
        try:
            quota = self._told(prefix="osd pool get-quota", pool=self._name)["quota_max_bytes"]
        except FileNotFoundError as error:
            raise OSError(errno.EAGAIN, str(error)) from error  # the pool is new, and nothing is known of it yet
        return {"df": self._told(prefix="df"), "quota": quota, "fsid": self.fsid()}

    def monitors(self) -> list[str]:
        """The addresses of the monitors."""
        return [one["addr"] for one in self._told(prefix="mon dump")["mons"]]

    def fsid(self) -> str:
        """The cluster's id."""
        return str(self._cluster.get_fsid())

    def _told(self, **command: str) -> Any:
        code, told, problem = self._cluster.mon_command(json.dumps({**command, "format": "json"}), b"")
        if code:
            raise OSError(abs(code), f"{command['prefix']}: {problem}")
        return json.JSONDecoder().raw_decode(told.decode().lstrip())[0]  # some commands say more than JSON

    def shut_out(self, addresses: list[str]) -> None:
        """Let clients that died write nothing any more, nor watch."""
        for address in addresses:
            self._cluster.blocklist_add(address)

    # what there is

    def images(self) -> list[str]:
        """The names of all images, also of those that are being removed, which the pool's directory has no more."""
        return [one["name"] for one in self._rbd_images.list2(self._io)]

    def scan(self) -> list[tuple[str, int, list[tuple[str, int]]]]:
        """All images with their sizes and snapshots."""

        def look(name: str) -> tuple[str, int, list[tuple[str, int]]] | None:
            try:
                with self._open(name) as image:
                    return name, image.size(), [(one["name"], one["size"]) for one in self._snapshots(image)]
            except self._rbd.ImageNotFound:
                # removed since it was listed, or half made
                return (name, 0, []) if name.endswith(names.TMP) else None

        with ThreadPoolExecutor(SCANNERS) as threads:
            return [one for one in threads.map(look, self.images()) if one]

    def info(self, name: str, pool: str | None = None) -> dict[str, Any] | None:
        """An image (`store.Info`); None where there is none."""
        image_id = self._directory.id_of(name) if pool is None else None
        if pool is None and image_id is None:
            return None  # to be told so by the maps takes a fifth of the time
        try:
            with self._pool(pool) as io, self._open(name, io=io, image_id=image_id) as image:
                return {**self._header(name, image), "watchers": self._watchers(image)}
        except self._rbd.ImageNotFound:
            return None

    def _header(self, name: str, image: Any) -> dict[str, Any]:
        return {
            "name": name,
            "id": image.id(),
            "size": image.size(),
            "snapshots": [(one["name"], one["size"]) for one in self._snapshots(image)],
            "parent": self._parent(image),
            "record": self._record(image),
            "plain": not image.old_format(),
        }

    def depth(self, pool: str, image_id: str) -> int:
        """How many images are below one."""
        depth = 0
        while True:
            with self._pool(pool) as io:
                parent = Directory(self._rados, io).parent_of(image_id)
            if parent is None:
                return depth
            number, image_id = parent
            pool = self._cluster.pool_reverse_lookup(number)
            depth += 1

    def _snapshots(self, image: Any) -> list[dict[str, Any]]:
        user = self._rbd.RBD_SNAP_NAMESPACE_TYPE_USER
        return [one for one in image.list_snaps() if one["namespace"] == user]

    def _parent(self, image: Any) -> dict[str, str] | None:
        try:
            parent = image.get_parent_image_spec()
        except self._rbd.ImageNotFound:
            return None
        told = {"pool": parent["pool_name"], "image": parent["image_name"], "snapshot": parent["snap_name"]}
        return {**told, "id": image.parent_id()}

    def _watchers(self, image: Any) -> list[str]:
        mine = self._cluster.get_addrs()
        found = [one["addr"] for one in image.watchers_list() if one["addr"] != mine]
        # an OSD may keep the watch of a client that died just as it asked for it, for ever, though it is shut out
        gone = {one["addr"] for one in self._told(prefix="osd blocklist ls")} if found else set()
        return [address for address in found if address not in gone]

    def _record(self, image: Any) -> str | None:
        try:
            return str(image.metadata_get(RECORD))
        except KeyError:
            return None

    # making and removing images

    def create(self, name: str, size: int, order: int, unshared: bool, record: str | None) -> None:
        """Make an image that reads as zeros; half-made remains of that name give way."""
        features = self._features() & ~self._single_client() if unshared else None

        def make() -> None:
            self._rbd_images.create(self._io, name, size, order=order, old_format=False, features=features)

        try:
            make()
        except self._rbd.ImageExists:
            self._drop(name)
            make()
        if record is not None:
            self.note(name, record)

    def clone(
        self, source: tuple[str | None, str, str], name: str, size: int | None, unshared: bool, record: str
    ) -> None:
        """Make an image of a snapshot (pool, image, snapshot), of at least `size` bytes, or as large as that is."""
        pool, parent, snapshot = source
        features = self._features() & ~self._single_client() if unshared else None
        with self._pool(pool) as io:

            def make() -> None:
                self._rbd_images.clone(io, parent, snapshot, self._io, name, features=features)

            try:
                make()
            except self._rbd.ImageExists:
                self._drop(name)
                make()
            except self._rbd.InvalidArgument:
                # this cluster knows clones of the first format only, which stand on protected snapshots
                with self._open(parent, io=io, writable=True) as image:
                    image.protect_snap(snapshot)
                make()
        if size is not None:
            self.resize(name, size)
        self.note(name, record)

    def flatten(self, tell: Tell, name: str) -> None:
        """Give an image all that it stands on."""
        with self._open(name, writable=True) as image:
            image.flatten(on_progress=tell)

    def remove(self, tell: Tell, name: str) -> bool:
        """Remove an image; gone is done. False where clones stand on what it was."""
        tries = BUSY_TRIES
        while True:
            try:
                self._drop(name, tell)
            except self._rbd.ImageNotFound:
                # of half an image librbd removes what leads to it first, and is then surprised
                tries -= 1
                if name not in self.images():
                    return True
                if not tries:
                    raise
            except self._rbd.ImageHasSnapshots:
                return False
            except self._rbd.ImageBusy:
                # a thread of ours may have it open for a moment, and so does librbd where it removes a clone of it
                tries -= 1
                if not tries or self._is_open_elsewhere(name):
                    raise
                time.sleep(BUSY_SECONDS)
            else:
                return True

    def _is_open_elsewhere(self, name: str) -> bool:
        try:
            with self._open(name) as image:
                return bool(self._watchers(image))
        except self._rbd.ImageNotFound:
            return False

    def rename(self, old: str, new: str) -> None:
        """Give an image another name."""
        self._directory.rename(old, new)

    def resize(self, name: str, size: int) -> None:
        """Grow an image; that large already is done."""
        with self._open(name, writable=True) as image:
            if image.size() < size:
                image.resize(size)

    def set_size(self, name: str, size: int) -> None:
        """Grow or cut an image."""
        with self._open(name, writable=True) as image:
            image.resize(size)

    def note(self, name: str, record: str) -> None:
        """Write down what an image is."""
        self._directory.note(name, RECORD, record)

    def _features(self) -> int:
        return int(self._rbd_images.features_from_string(self._cluster.conf_get("rbd_default_features")))

    def _single_client(self) -> int:
        """The features that a volume of several writers is without (Cinder's MULTIATTACH_EXCLUSIONS)."""
        rbd = self._rbd
        exclusive = rbd.RBD_FEATURE_EXCLUSIVE_LOCK | rbd.RBD_FEATURE_OBJECT_MAP
        return int(exclusive | rbd.RBD_FEATURE_FAST_DIFF | rbd.RBD_FEATURE_JOURNALING)

    # snapshots

    def snapshot(self, name: str, snapshot: str, or_moment: bool = False) -> tuple[str, dict[str, Any]]:
        """Keep an image's content; there already, whole, is done, and so is the moment of a clone since which nothing was
        written where that will do (`or_moment`).

        What the content is kept as, and the image (`store.Header`).
        """
        image = self._open(name, writable=True, image_id=self._directory.get_id(name))
        try:
            taken = self._last_moment(image) if or_moment else None
            if taken is None:
                self._take(image, snapshot)
            return taken or snapshot, self._header(name, image)
        finally:
            self._closing.begin(name, image)

    def _take(self, image: Any, snapshot: str) -> None:
        try:
            image.create_snap(snapshot)
        except self._rbd.ImageExists:
            if self._lacks_object_map(image, snapshot):
                image.remove_snap(snapshot)
                image.create_snap(snapshot)
        if self._lacks_object_map(image, snapshot):
            image.remove_snap(snapshot)
            raise OSError(errno.ENOSPC, f"the object map of {snapshot} could not be written")

    def _last_moment(self, image: Any) -> str | None:
        """The moment of a clone since which nothing was written, by the object map; None where that is not quickly known."""
        last = max(self._snapshots(image), key=lambda one: one["id"], default=None)
        if last is None or names.clone_of(last["name"]) is None or last["name"].endswith(names.GONE):
            return None
        unsure = self._rbd.RBD_FLAG_OBJECT_MAP_INVALID | self._rbd.RBD_FLAG_FAST_DIFF_INVALID
        if not image.features() & self._rbd.RBD_FEATURE_FAST_DIFF or image.flags() & unsure:
            return None
        if image.size() > MOST_COMPARED or last["size"] != image.size() or self._lacks_object_map(image, last["name"]):
            return None
        if self._watchers(image):
            return None  # whoever has it open may keep what was written to it to himself
        changed: list[int] = []
        image.diff_iterate(
            0, image.size(), last["name"], lambda at, *_: changed.append(at), include_parent=False, whole_object=True
        )
        return None if changed else str(last["name"])

    def is_taken(self, name: str, snapshot: str) -> bool:
        """Whether a snapshot that is there is whole."""
        with self._open(name) as image:
            return not self._lacks_object_map(image, snapshot)

    def _lacks_object_map(self, image: Any, snapshot: str) -> bool:
        """Whether a snapshot cannot be opened: its object map comes last, and had no room, or its client died before that."""
        if not image.features() & self._rbd.RBD_FEATURE_OBJECT_MAP:
            return False
        try:
            self._io.stat(f"rbd_object_map.{image.id()}.{image.snap_get_id(snapshot):016x}")
        except self._rados.ObjectNotFound:
            return True
        return False

    def rename_snapshot(self, name: str, old: str, new: str) -> None:
        """Give a snapshot another name."""
        with self._open(name, writable=True) as image:
            image.rename_snap(old, new)

    def remove_snapshot(self, name: str, snapshot: str) -> str | None:
        """Remove a snapshot, or hide it until the last clone of it goes; gone is done.

        The name that it is hidden by; none where the cluster takes it along with that clone.
        """
        with contextlib.suppress(self._rbd.ImageNotFound), self._open(name, writable=True) as image:
            if image.is_protected_snap(snapshot):
                try:
                    image.unprotect_snap(snapshot)
                except self._rbd.ImageBusy:
                    if snapshot.endswith(names.GONE):
                        return snapshot
                    image.rename_snap(snapshot, snapshot + names.GONE)
                    return snapshot + names.GONE
            image.remove_snap(snapshot)
        return None

    # names that a death left behind

    def _settle(self) -> None:
        """A rename writes the new name, changes the directory, removes the old name: end what was cut in between."""
        listed = set(self.images())
        for name in listed:
            other = names.origin(name)
            if other != name and other not in listed:
                self._is_stale(other)

    def _drop(self, name: str, tell: Tell | None = None) -> None:
        """Remove an image, or what is left of one, but not one that has another name by now."""
        if not self._is_stale(name):
            self._rbd_images.remove(self._io, name, on_progress=tell)

    def _is_stale(self, name: str) -> bool:
        """Whether the name leads to an image that has another one; then it does not any more."""
        try:
            with self._open(name) as image:
                known_as = self.name_of(image.id())
        except self._rbd.ImageNotFound:
            return False
        if known_as in (name, None):
            return False
        self._directory.forget(name)
        return True

    def _open(
        self,
        name: str,
        snapshot: str | None = None,
        *,
        io: Any = None,
        writable: bool = False,
        image_id: str | None = None,
    ) -> Any:
        if writable:
            self._closing.wait(name)  # else the two would ask each other for the image's lock
        known_as = None if image_id else name
        return self._rbd.Image(io or self._io, known_as, snapshot, read_only=not writable, image_id=image_id)

    @contextlib.contextmanager
    def _pool(self, name: str | None) -> Iterator[Any]:
        if name is None or name == self._name:
            yield self._io
            return
        io = self._cluster.open_ioctx(name)
        try:
            yield io
        finally:
            io.close()


def text_of(error: BaseException) -> str:
    """What an error says."""
    return error.message if isinstance(error, BreezeblockError) else f"{type(error).__name__}: {error}"
