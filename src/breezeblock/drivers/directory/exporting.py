"""What this driver asks of the exports: the servers that hold a volume's files open for clients, over NBD or iSCSI."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from breezeblock.drivers.directory.content import Link
from breezeblock.errors import NotSupportedByBackend
from breezeblock.exports.iscsi import Access, IscsiTargets
from breezeblock.exports.nbd import DiskFile


class Exports(Protocol):
    """Implemented by `breezeblock.exports.nbd.NbdExports`. Names are storage names."""

    def export(self, name: str, disk: DiskFile, writable: bool = True) -> str:
        """Serve a disk and return its NBD URI; served already is done."""

    def export_file(self, name: str, disk: DiskFile, writable: bool = True) -> Path:
        """Serve a disk as a file, which something else serves on; served so already is done."""

    def uri(self, name: str) -> str | None:
        """Where it is served, or would be over NBD; None if it is not."""

    def withdraw(self, name: str, force: bool = False) -> None:
        """Serve it no more. Raises `BackendInUse` while a client is on, unless forced."""

    def snapshot(self, name: str, overlay: DiskFile) -> None:
        """Move the served volume to a prepared overlay of the file it writes to now. Already moved is done."""

    def rebase(self, name: str, base: DiskFile, instead_of: Path | None = None) -> None:
        """Have a volume that is served over a remote disk, or over the passing file `instead_of`, stand on `base`, which
        reads as that. Not served is done."""

    def active_path(self, name: str) -> Path | None:
        """The file that a served volume is written to, or None."""

    def adopt(self) -> None:
        """Find the servers again that an earlier process started."""

    def close(self) -> None:
        """Leave the servers running and forget them."""


class Exporting:
    """The exports, adopted at first use, and asked in this driver's terms."""

    def __init__(self, open_exports: Callable[[], Exports], targets: IscsiTargets | None = None) -> None:
        self._open = open_exports
        self._targets = targets
        self._lock = threading.Lock()
        self._made: Exports | None = None
        self._adopted = False

    def prepare(self) -> None:
        """Make the exports, which looks whether they can be had. Raises `ConfigError`."""
        with self._lock:
            self._made = self._made or self._open()

    @property
    def _exports(self) -> Exports:
        with self._lock:
            self._made = self._made or self._open()
            if not self._adopted:
                self._made.adopt()
                self._adopted = True
            return self._made

    def export(self, name: str, disk: DiskFile, writable: bool = True) -> str:
        """Serve a disk and return its NBD URI."""
        return self._exports.export(name, disk, writable)

    def export_target(self, name: str, disk: DiskFile, access: Access, writable: bool = True) -> None:
        """Serve a disk as an iSCSI target, to those who have access and to nobody else."""
        assert self._targets is not None
        self._targets.serve(name, self._exports.export_file(name, disk, writable), access, writable=writable)

    def is_exported(self, name: str) -> bool:
        """Whether it is served now."""
        return self._exports.uri(name) is not None

    def withdraw(self, name: str) -> None:
        """Serve it no more, clients or not; not served is done."""
        if self._targets is not None:
            self._targets.withdraw(name)
        self._exports.withdraw(name, force=True)

    def pause(self, name: str) -> None:
        """Cut clients off for the moment; initiators of a target wait until it is served again."""
        if self._targets is not None:
            self._targets.pause(name)
        self._exports.withdraw(name, force=True)

    def switch(self, name: str, links: Sequence[Link]) -> None:
        """Move a served volume to the overlay `links[0]`, which stands on what it writes to now."""
        self._exports.snapshot(name, disk_file(links))

    def rebase(self, name: str, links: Sequence[Link], instead_of: Path | None = None) -> None:
        """Let a volume that is served over a source, or over the passing file `instead_of`, stand on the chain `links`,
        which reads as that; not served is done."""
        self._exports.rebase(name, disk_file(links), instead_of)

    def active_path(self, name: str) -> Path | None:
        """The file that a served volume is written to now, or None."""
        return self._exports.active_path(name)

    def close(self) -> None:
        """Leave the servers running and forget them."""
        with self._lock:
            if self._made is not None:
                self._made.close()
                self._made, self._adopted = None, False


class NoExports:
    """`Exports` of a directory that nothing is exported from."""

    def export(self, name: str, disk: DiskFile, writable: bool = True) -> str:
        """Refuse."""
        raise NotSupportedByBackend(f"{name} lies in a directory that is not exported.")

    def export_file(self, name: str, disk: DiskFile, writable: bool = True) -> Path:
        """Refuse."""
        raise NotSupportedByBackend(f"{name} lies in a directory that is not exported.")

    def uri(self, name: str) -> str | None:
        """Nowhere."""

    def withdraw(self, name: str, force: bool = False) -> None:
        """Done."""

    def snapshot(self, name: str, overlay: DiskFile) -> None:
        """Refuse."""
        raise NotSupportedByBackend(f"{name} lies in a directory that is not exported.")

    def rebase(self, name: str, base: DiskFile, instead_of: Path | None = None) -> None:
        """Done."""

    def active_path(self, name: str) -> Path | None:
        """None."""

    def adopt(self) -> None:
        """Find none."""

    def close(self) -> None:
        """Do nothing."""


def disk_file(links: Sequence[Link]) -> DiskFile:
    """A chain in the exports' own record."""
    below = disk_file(links[1:]) if len(links) > 1 else None
    return DiskFile(path=links[0].path, format=links[0].format, backing=below, passing=links[0].passing)
