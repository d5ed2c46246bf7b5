"""What a daemon opens: files with their formats and backing files said outright, so that QEMU guesses nothing, and images in Ceph."""

from pathlib import Path
from typing import Any, Literal, Optional

import msgspec

from breezeblock.errors import DriverError

CACHE = {"direct": False, "no-flush": False}
"""Through the page cache, but a client's flush is an fdatasync."""


RECONNECT_SECONDS = 60
"""How long a read waits for a source that is away, before it fails; connecting is tried on for good."""


class RemoteDisk(msgspec.Struct, frozen=True):
    """An export of an NBD server at a Unix socket, to be read below a file."""

    socket: str
    export: str


class DiskFile(msgspec.Struct, frozen=True):
    """A file and what lies below it. Backing files are opened read-only; what a header says of them is not believed.

    A file must keep its path for as long as it is exported.
    """

    path: Path
    format: Literal["raw", "qcow2"]
    backing: Optional["DiskFile | RemoteDisk"] = None
    passing: bool = False
    """Whether another file that reads alike will take its place, at the bottom of the chain, while it is exported."""

    def chain(self) -> list["DiskFile | RemoteDisk"]:
        """From the base up to this file. Raises `DriverError` for a chain that cannot be."""
        if self.format not in ("raw", "qcow2") or (self.format == "raw" and self.backing):
            raise DriverError(f"{self.path} cannot be exported: a {self.format} file with backing {self.backing}.")
        if not self.path.is_absolute():
            raise DriverError(f"{self.path} cannot be exported: its path is not absolute.")
        if isinstance(self.backing, RemoteDisk):
            return [self.backing, self]
        return [*(self.backing.chain() if self.backing else []), self]


class CephImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image in a pool of Ceph. QEMU finds the key of `user` in the keyring that `conf` names, and is told none."""

    pool: str
    image: str
    conf: str = ""
    """Path of the configuration; where Ceph looks for it if empty."""
    user: str | None = None
    shared: bool = False
    """Whether others write to it meanwhile, so that nothing of it may be kept in memory."""

    def chain(self) -> list["CephImage"]:
        """Itself: what it is a clone of is Ceph's business."""
        return [self]


def ceph_device(disk: CephImage, *, node: str, writable: bool) -> dict[str, Any]:
    """The arguments of `blockdev-add` for an image in Ceph, as `node`."""
    access = {
        "read-only": not writable,
        "discard": "unmap" if writable else "ignore",
        "cache": {"direct": disk.shared, "no-flush": False},
    }
    where = {"pool": disk.pool, "image": disk.image, "conf": disk.conf, "user": disk.user}
    image = {
        "driver": "rbd",
        "node-name": file_node(node),
        **{key: told for key, told in where.items() if told},
        **access,
    }
    return {"driver": "raw", "node-name": node, "detect-zeroes": "off", "file": image, **access}


def remote_device(disk: RemoteDisk, *, node: str) -> dict[str, Any]:
    """The arguments of `blockdev-add` for what is read from another server."""
    return {
        "driver": "nbd",
        "node-name": node,
        "read-only": True,
        "server": {"type": "unix", "path": disk.socket},
        "export": disk.export,
        "reconnect-delay": RECONNECT_SECONDS,
    }


def reopened(node: str, backing: str, *, writable: bool) -> dict[str, Any]:
    """The options of `blockdev-reopen` that put a qcow2 `node` over another `backing`, all else unchanged."""
    access = {"read-only": not writable, "discard": "unmap" if writable else "ignore", "cache": CACHE}
    device = {"driver": "qcow2", "node-name": node, "detect-zeroes": "off", "file": file_node(node), **access}
    return {**device, "backing": backing}


def block_device(disk: DiskFile, *, node: str, backing: str | None, writable: bool) -> dict[str, Any]:
    """The arguments of `blockdev-add` for one file of a chain, as `node` over the node `backing`.

    Without a `backing` a qcow2 is opened alone, whatever its header says. The file's own node is called as `file_node`
    says.
    """
    access = {"read-only": not writable, "discard": "unmap" if writable else "ignore", "cache": CACHE}
    file: dict[str, Any] = {"driver": "file", "filename": str(disk.path), "locking": "on", "aio": "threads", **access}
    file["node-name"] = file_node(node)
    if disk.format == "raw":
        # an NBD export lets others write to its file, and so does the raw driver, which qcow2's does not: this filter
        # can refuse a second writer, also below an overlay, and costs nothing that can be measured
        file = {"driver": "blkdebug", "unshare-child-perms": ["write", "resize"], "image": file, **access}
    device = {"driver": disk.format, "node-name": node, "detect-zeroes": "off", "file": file, **access}
    # named, since QEMU takes the header's word for a backing file whose description it does not see through
    return {**device, "backing": backing} if disk.format == "qcow2" else device


def file_node(node: str) -> str:
    """The name of the file's node below a format's node `n…`: `f…`."""
    return "f" + node[1:]
