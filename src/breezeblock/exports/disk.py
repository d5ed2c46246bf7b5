"""What a daemon opens: files with their formats and backing files said outright, so that QEMU guesses nothing."""

from pathlib import Path
from typing import Any, Literal, Optional

import msgspec

from breezeblock.errors import DriverError

CACHE = {"direct": False, "no-flush": False}
"""Through the page cache, but a client's flush is an fdatasync."""


class DiskFile(msgspec.Struct, frozen=True):
    """A file and what lies below it. Backing files are opened read-only; what a header says of them is not believed.

    A file must keep its path for as long as it is exported.
    """

    path: Path
    format: Literal["raw", "qcow2"]
    backing: Optional["DiskFile"] = None


def block_device(disk: DiskFile, *, writable: bool, node: str | None = None) -> dict[str, Any]:
    """The arguments of `blockdev-add` for a whole chain. The file below `node` is called as `file_node` says.

    Without a `backing` a qcow2 is opened alone, whatever its header says. Raises `DriverError` for a chain that
    cannot be.
    """
    if disk.format not in ("raw", "qcow2") or (disk.format == "raw" and disk.backing):
        raise DriverError(f"{disk.path} cannot be exported: a {disk.format} file with backing {disk.backing}.")
    if not disk.path.is_absolute():
        raise DriverError(f"{disk.path} cannot be exported: its path is not absolute.")
    access = {"read-only": not writable, "discard": "unmap" if writable else "ignore", "cache": CACHE}
    file: dict[str, Any] = {"driver": "file", "filename": str(disk.path), "locking": "on", "aio": "threads", **access}
    device: dict[str, Any] = {"driver": disk.format, "detect-zeroes": "off", "file": file, **access}
    if disk.format == "qcow2":
        device["backing"] = block_device(disk.backing, writable=False) if disk.backing else None
    if node is not None:
        device["node-name"] = node
        file["node-name"] = file_node(node)
    return device


def file_node(node: str) -> str:
    """The name of the file's node below a format's node `n…`: `f…`."""
    return "f" + node[1:]
