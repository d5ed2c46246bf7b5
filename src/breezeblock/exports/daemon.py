"""One qemu-storage-daemon: a server of a few exports that outlives the process which started it. Each is served over NBD,
or as a file of this machine (FUSE) that a server of another protocol opens.

Which exports it has and which files they write to is asked of the daemon each time and kept nowhere else. An export
has the id and NBD name of what it exports; its chain's nodes are called `n<digest>-<number>`, numbered upward from the
oldest, and the files below them `f<digest>-<number>`. A remote disk has the number 1, so that 0 is left
for the file that takes its place.
"""

import errno
import hashlib
import logging
import os
import select
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from breezeblock import commands
from breezeblock.errors import BackendInUse, BackendNotFound, BackendTransient, ConfigError, DriverError
from breezeblock.exports.disk import (
    CephImage,
    DiskFile,
    RemoteDisk,
    block_device,
    ceph_device,
    file_node,
    remote_device,
    reopened,
)
from breezeblock.exports.patience import Patience
from breezeblock.exports.qmp import DaemonGone, QmpClient

log = logging.getLogger(__name__)

START_SECONDS = 10.0
END_SECONDS = 60.0
LOG_TAIL_BYTES = 2000
SUFFIXES = (".qmp", ".nbd", ".pid", ".log")
FILES = "files"
"""The folder of exports that are files; apart, since asking for one of a daemon that does not answer waits for good."""


class Node(msgspec.Struct, frozen=True, order=True):
    """A node of a daemon's block graph that this service added."""

    digest: str
    number: int

    @property
    def name(self) -> str:
        """Its name in the daemon; QEMU allows 31 characters."""
        return f"n{self.digest}-{self.number}"


def digest_of(export: str) -> str:
    """Short name of an export, for nodes and sockets."""
    return hashlib.sha256(export.encode()).hexdigest()[:12]


class ExportDaemon:
    """A daemon and its files `TOKEN.qmp|nbd|pid|log` in the run directory. Starts with its first export.

    Every verb may be called by any thread, and raises `DaemonGone` once the daemon has ended, `BackendTransient` when
    it does not answer, and then for as long as `patience` says.
    """

    def __init__(self, run_dir: Path, token: str, patience: Patience) -> None:
        self.token = token
        self._patience = patience
        self._stem = run_dir / token
        self._files = run_dir / FILES
        self._lock = threading.RLock()
        self._pid: int | None = None
        # a process id may be given to another process, a pidfd may not
        self._pidfd: int | None = None
        self._over = False

    @property
    def socket(self) -> Path:
        """Where its NBD server listens."""
        return self._path(".nbd")

    @property
    def pid(self) -> int | None:
        """Its process id; None before its first export."""
        return self._pid

    def adopt(self) -> None:
        """Take over a daemon that another process started, and remove what that one left half done."""
        with self._lock:
            with self._patience.asking(), QmpClient(self._path(".qmp")) as qmp:
                self._watch(qmp.peer)
                unfinished = [name for name, export in _exports(qmp).items() if export["shutting-down"]]
            for name in unfinished:
                self.withdraw(name, force=True)
            with self._session() as qmp:
                active = {_node(export["node-name"]) for export in _exports(qmp).values()}
                newest = {node.digest: node.number for node in active}
                for node in _nodes(qmp):
                    if node.number > newest.get(node.digest, -1):
                        qmp.execute("blockdev-del", node_name=node.name)

    def exports(self) -> list[str]:
        """The names of what it exports."""
        with self._session() as qmp:
            return sorted(name for name, export in _exports(qmp).items() if not export["shutting-down"])

    def export(self, name: str, disk: DiskFile | CephImage, writable: bool, *, as_file: bool = False) -> None:
        """Export `disk` as `name`, over NBD or `as_file`; already exported so is done.

        Raises `BackendInUse` where it is exported the other way.
        """
        kind = "fuse" if as_file else "nbd"
        with self._lock:
            if self._pidfd is None and not self._over:
                self._start()
            with self._session() as qmp:
                if there := _exports(qmp).get(name):
                    if there["type"] != kind:
                        raise BackendInUse(f"{name} is exported in another way: its clients have to leave it first.")
                    return
                with self._new_nodes(qmp, digest_of(name)):
                    top = None
                    chain = disk.chain()
                    # what will be replaced leaves the first number to what takes its place
                    for number, file in enumerate(chain, start=int(_is_replaced(chain[0]))):
                        node = Node(digest_of(name), number).name
                        access = writable and file is disk
                        _add(qmp, file, node, top, writable=access)
                        top = node
                    how: dict[str, Any] = {"name": name}
                    if as_file:
                        self._make_mount_point(name)
                        how = {"mountpoint": str(self.file(name)), "allow_other": "off"}
                    qmp.execute("block-export-add", type=kind, id=name, node_name=top, writable=writable, **how)

    def withdraw(self, name: str, force: bool) -> None:
        """End an export and put on stable storage what was written; gone is done.

        Raises `BackendInUse` while a client is connected, unless `force` cuts it off.
        """
        with self._session() as qmp:
            export = _exports(qmp).get(name)
            path = _path_of(qmp, _node(export["node-name"])) if export else None
            if export:
                if not export["shutting-down"]:
                    qmp.execute("block-export-del", id=name, mode="hard" if force else "safe")
                qmp.wait_for("BLOCK_EXPORT_DELETED", id=name)
            self._delete_nodes(qmp, digest_of(name))
        _leave_mount_point(self.file(name))
        if path is not None:
            _sync(path)

    def snapshot(self, name: str, overlay: DiskFile) -> bool:
        """Flush and freeze the file that `name` writes to; `overlay`, an empty qcow2 over it, takes what comes now.

        Whether it was done now: False if `overlay` takes them already. Raises `BackendNotFound` if `name` is not
        exported here.
        """
        with self._session() as qmp:
            export = _exports(qmp).get(name)
            if export is None:
                raise BackendNotFound(f"{name} is not exported.")
            active = _node(export["node-name"])
            if _path_of(qmp, active) == overlay.path:
                return False
            overlay.chain()  # raises for one that cannot be
            node = Node(active.digest, active.number + 1)
            with self._new_nodes(qmp, active.digest, above=active.number):
                qmp.execute("blockdev-add", **block_device(overlay, node=node.name, backing=None, writable=True))
                sizes = [_info(qmp, each.name)["image"]["virtual-size"] for each in (active, node)]
                if sizes[0] != sizes[1]:
                    raise DriverError(f"{overlay.path} is of {sizes[1]} bytes, the export {name} of {sizes[0]}.")
                qmp.execute("blockdev-snapshot", node=active.name, overlay=node.name)
            return True

    def rebase(self, name: str, base: DiskFile, instead_of: Path | None = None) -> None:
        """Put `base` at the bottom of the chain of `name`, in the place of a `RemoteDisk` or of the passing file
        `instead_of`, under its clients.

        `base` reads as that does. Done already, or not exported here, is done.
        """
        with self._session() as qmp:
            export = _exports(qmp).get(name)
            nodes = {node for node in _nodes(qmp) if node.digest == digest_of(name)}
            above, before, after = (Node(digest_of(name), number) for number in (2, 1, 0))
            if export is None or before not in nodes or not _is_passing(qmp, before, instead_of):
                return
            if after not in nodes:
                _add(qmp, base, after.name, None, writable=False)
            writable = not _info(qmp, above.name)["ro"]
            qmp.execute("blockdev-reopen", options=[reopened(above.name, after.name, writable=writable)])
            qmp.execute("blockdev-del", node_name=before.name)

    def serves(self, name: str) -> bool:
        """Whether `name` is exported here."""
        with self._session() as qmp:
            return name in _exports(qmp)

    def active_path(self, name: str) -> Path | None:
        """The file that the export writes to now; None if `name` is not exported here, or is no file."""
        with self._session() as qmp:
            export = _exports(qmp).get(name)
            return _path_of(qmp, _node(export["node-name"])) if export else None

    def forget(self) -> None:
        """Let go of the daemon, which lives on."""
        with self._lock:
            self._over = True
            if self._pidfd is not None:
                os.close(self._pidfd)
                self._pidfd = None

    def end(self) -> None:
        """End the daemon, flushing what its clients wrote, and remove its files. Ended already is done."""
        with self._lock:
            if self._pidfd is not None:
                self._patience.end()
                try:
                    with self._session() as qmp:
                        qmp.execute("quit")
                except DaemonGone:
                    pass  # ended by itself, or while it answered
                except BackendTransient as error:
                    log.warning("Killing the export daemon %s: %s", self._pid, error)
                    signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
                if not self._ended(within=END_SECONDS):
                    signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
                    if not self._ended(within=END_SECONDS):
                        raise BackendTransient(f"The export daemon {self._pid} could not be killed.")
            self.forget()
            self.remove_files()

    def last_words(self) -> str:
        """The end of its log."""
        try:
            return self._path(".log").read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace").strip()
        except FileNotFoundError:
            return ""

    def remove_files(self) -> None:
        """Remove the files of a daemon that has ended, and where it served files."""
        for file in self._files.glob(f"{self.token}-*"):
            _leave_mount_point(file)
        for suffix in SUFFIXES:
            self._path(suffix).unlink(missing_ok=True)

    def file(self, name: str) -> Path:
        """Where `name` is a file, if it is exported as one."""
        return self._files / f"{self.token}-{name}"

    def _make_mount_point(self, name: str) -> None:
        self._files.mkdir(exist_ok=True, mode=0o700)
        file = self.file(name)
        _leave_mount_point(file)
        file.touch(mode=0o600)

    def _path(self, suffix: str) -> Path:
        return self._stem.with_name(self.token + suffix)

    def _start(self) -> None:
        program = commands.find("qemu-storage-daemon", "qemu-system-common")
        nbd, qmp = _quoted(self._path(".nbd")), _quoted(self._path(".qmp"))
        arguments = [
            *("--nbd-server", f"addr.type=unix,addr.path={nbd}"),
            # last, so that whoever is greeted finds the NBD server listening
            *("--chardev", f"socket,id=qmp,path={qmp},server=on,wait=off", "--monitor", "chardev=qmp"),
            *("--pidfile", str(self._path(".pid"))),
        ]
        self._watch(commands.start_daemon([program, *arguments], self._path(".log")))
        for _ in range(int(START_SECONDS / 0.01)):
            try:
                with QmpClient(self._path(".qmp")):
                    return
            except DaemonGone as error:
                if self._ended(within=0.01):
                    words = self.last_words()
                    self.end()
                    raise DriverError(f"The export daemon did not start: {words}") from error
        self.end()
        raise BackendTransient(f"The export daemon did not start within {START_SECONDS:.0f} s.")

    def _watch(self, pid: int) -> None:
        try:
            self._pid, self._pidfd = pid, os.pidfd_open(pid)
        except ProcessLookupError as error:
            raise DaemonGone(f"The export daemon {pid} ended: {self.last_words()}") from error

    def _ended(self, within: float) -> bool:
        assert self._pidfd is not None
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return bool(poll.poll(within * 1000))

    @contextmanager
    def _session(self) -> Iterator[QmpClient]:
        with self._lock:
            if self._pidfd is None:
                raise DaemonGone
            with self._patience.asking(), QmpClient(self._path(".qmp")) as qmp:
                yield qmp

    @contextmanager
    def _new_nodes(self, qmp: QmpClient, digest: str, above: int = -1) -> Iterator[None]:
        """Begin and, after a refusal, end without nodes of an export `above` the one that it has."""
        self._delete_nodes(qmp, digest, above)
        try:
            yield
        except BackendTransient:
            raise  # a daemon that does not answer is not asked again
        except DriverError:
            self._delete_nodes(qmp, digest, above)
            raise

    def _delete_nodes(self, qmp: QmpClient, digest: str, above: int = -1) -> None:
        for node in _nodes(qmp):
            if node.digest == digest and node.number > above:
                qmp.execute("blockdev-del", node_name=node.name)


def _is_replaced(disk: DiskFile | RemoteDisk | CephImage) -> bool:
    return isinstance(disk, RemoteDisk) or (isinstance(disk, DiskFile) and disk.passing)


def _add(
    qmp: QmpClient, disk: DiskFile | RemoteDisk | CephImage, node: str, backing: str | None, *, writable: bool
) -> None:
    if isinstance(disk, RemoteDisk):
        qmp.execute("blockdev-add", **remote_device(disk, node=node))
    elif isinstance(disk, CephImage):
        try:
            qmp.execute("blockdev-add", **ceph_device(disk, node=node, writable=writable))
        except DriverError as error:
            if "Unknown driver" in error.message:
                raise ConfigError(
                    "QEMU cannot open images in Ceph here; what it needs is in the Debian package qemu-block-extra."
                ) from error
            raise
    else:
        qmp.execute("blockdev-add", **block_device(disk, node=node, backing=backing, writable=writable))


def _exports(qmp: QmpClient) -> dict[str, dict[str, Any]]:
    return {export["id"]: export for export in qmp.execute("query-block-exports")}


def _nodes(qmp: QmpClient) -> list[Node]:
    """The named nodes, overlays before what lies below them, as they have to be deleted."""
    names = (info["node-name"] for info in qmp.execute("query-named-block-nodes", flat=True))
    return sorted((_node(name) for name in names if name.startswith("n")), reverse=True)


def _node(name: str) -> Node:
    digest, _, number = name[1:].partition("-")
    return Node(digest, int(number))


def _info(qmp: QmpClient, name: str) -> dict[str, Any]:
    infos: list[dict[str, Any]] = qmp.execute("query-named-block-nodes", flat=True)
    return next(info for info in infos if info["node-name"] == name)


def _path_of(qmp: QmpClient, node: Node) -> Path | None:
    """The file of a node; None for an image in Ceph."""
    info = _info(qmp, file_node(node.name))
    return Path(info["file"]) if info["drv"] == "file" else None


def _is_passing(qmp: QmpClient, node: Node, path: Path | None) -> bool:
    """Whether a node is what another takes the place of: a remote disk, or this file."""
    if path is None:
        return bool(_info(qmp, node.name)["drv"] == "nbd")
    return _path_of(qmp, node) == path


def _leave_mount_point(file: Path) -> None:
    """Remove where a file was served; a daemon that was killed leaves it mounted."""
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        if os.geteuid() == 0:
            commands.run([commands.find("umount", "mount"), "--lazy", str(file)], timeout=END_SECONDS)
        else:
            commands.run([commands.find("fusermount3", "fuse3"), "-u", "-z", str(file)], timeout=END_SECONDS)
        file.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """The daemon flushed the file as it closed it, but tells nobody if that failed."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return  # deleted while it was exported: nothing to keep
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _quoted(path: Path) -> str:
    """A path as QEMU's comma separated options want it."""
    return str(path).replace(",", ",,")
