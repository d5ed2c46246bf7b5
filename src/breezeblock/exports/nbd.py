"""Files and images in Ceph exported over NBD on Unix sockets, by daemons that a restart of the service does not touch. Instead
they may be exported as files of this machine, for servers of other protocols (`exports.iscsi`).

A few exports share a daemon, so that a crash cuts few clients. An export's URI stays the same for as long as its name
does, whichever daemon serves it: it names a symbolic link that points to that daemon's socket. A client which is able
to reconnect finds its volume again after an extend or a crash.
"""

import logging
import os
import re
import secrets
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from breezeblock import killpoints
from breezeblock.errors import BackendNotFound, BackendTransient, BreezeblockError, ConfigError, InvalidInput
from breezeblock.exports.daemon import SUFFIXES, ExportDaemon, digest_of
from breezeblock.exports.disk import CephImage, DiskFile, RemoteDisk
from breezeblock.exports.patience import Patience
from breezeblock.exports.qmp import DaemonGone

__all__ = ["CephImage", "DiskFile", "NbdExports", "RemoteDisk"]

log = logging.getLogger(__name__)

SOCKET_PATH_BYTES = 107
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,126}", re.ASCII)
LINK = "v{}"

T = TypeVar("T")


class NbdExports:
    """The exports of one backend. One process at a time uses a run directory; its threads may share this object.

    Raises:
        ConfigError: the path of `run_dir` is too long for the sockets in it.
        InvalidInput: a name is not a letter followed by letters, digits, `_`, `.` and `-`.
        BackendTransient: a daemon does not answer, or did not just now; what was asked may have happened, ask again.
    """

    def __init__(self, run_dir: Path, per_daemon: int = 4) -> None:
        self._run_dir = run_dir.absolute()
        longest = os.fsencode(self._run_dir / LINK.format(digest_of("")))
        if len(longest) > SOCKET_PATH_BYTES:
            raise ConfigError(
                f"The directory for sockets {self._run_dir} has too long a path: make it shorter by "
                f"{len(longest) - SOCKET_PATH_BYTES} bytes, since a Unix socket's path has at most {SOCKET_PATH_BYTES}."
            )
        self._run_dir.mkdir(parents=True, exist_ok=True)
        self._run_dir.chmod(0o700)
        self._per_daemon = per_daemon
        # guards the two below, and is never held while a daemon is asked
        self._lock = threading.Lock()
        self._daemons: list[ExportDaemon] = []
        self._homes: dict[str, ExportDaemon] = {}
        # with the daemons that were found and did not answer yet
        self._patience: dict[str, Patience] = {}
        self._adopting = threading.Lock()

    def export(self, name: str, disk: DiskFile | CephImage, writable: bool = True) -> str:
        """Export `disk` under `name` and return its URI, which qemu-img, nbdinfo and their like open.

        Already exported is done, whatever `disk` says. Raises `BackendInUse` if another process holds the file,
        `BackendNotFound` if it is not there.
        """
        self._export(name, disk, writable, as_file=False)
        return self._uri(name)

    def export_file(self, name: str, disk: DiskFile | CephImage, writable: bool = True) -> Path:
        """The same, but as a file of this machine, for a server of another protocol to open. Its path changes with the
        daemon. Raises `BackendInUse` while it is exported over NBD, as `export` does the other way round."""
        return self._export(name, disk, writable, as_file=True).file(name)

    def _export(self, name: str, disk: DiskFile | CephImage, writable: bool, *, as_file: bool) -> ExportDaemon:
        if not NAME.fullmatch(name):
            raise InvalidInput(f"{name!r} cannot be the name of an export.")
        for last in (False, True):
            daemon = self._place(name)
            try:
                # the link first: it tells the next process which daemon to ask, whatever happens to this one
                self._link(name, daemon)
                killpoints.reached("before_serve")
                daemon.export(name, disk, writable, as_file=as_file)
                killpoints.reached("after_serve")
            except DaemonGone as error:
                self._bury(daemon)
                if last:
                    raise BackendTransient(f"Export daemons end as they are asked to export {name}.") from error
            except BackendTransient:
                raise  # it may have been exported, so its home stays
            except BreezeblockError:
                self._leave(name)
                raise
            else:
                break
        return daemon

    def uri(self, name: str) -> str | None:
        """The URI of an export; None if it is not exported."""
        return self._uri(name) if self._ask(name, lambda daemon: daemon.serves(name)) else None

    def withdraw(self, name: str, force: bool = False) -> None:
        """End an export and put on stable storage what was written to it; gone is done.

        Raises `BackendInUse` while a client is connected, unless `force` cuts it off.
        """
        self._ask(name, lambda daemon: daemon.withdraw(name, force))
        killpoints.reached("after_withdraw")
        self._leave(name)

    def exported(self) -> list[str]:
        """The names of all exports there are now."""
        with self._lock:
            daemons = set(self._homes.values())
        names: list[str] = []
        for daemon in daemons:
            try:
                names += daemon.exports()
            except DaemonGone:
                self._bury(daemon)
        return sorted(names)

    def snapshot(self, name: str, overlay: DiskFile) -> None:
        """Freeze the file that an export writes to, under its clients: what they write from now on goes to `overlay`.

        `overlay` is an empty qcow2 of the same size on stable storage whose header names the active file as backing.
        What was written before is flushed to the frozen file. Already the active file is done. A crash in between
        leaves the overlay empty, so that whoever opens it then reads what the frozen file has: once prepared, the
        overlay is always a right answer to what the volume's file is.

        Raises `BackendNotFound` if `name` is not exported, `BackendInUse` if the overlay is in use elsewhere.
        """
        if self._ask(name, lambda daemon: daemon.snapshot(name, overlay)) is None:
            raise BackendNotFound(f"{name} is not exported.")

    def rebase(self, name: str, base: DiskFile, instead_of: Path | None = None) -> None:
        """Have an export over a `RemoteDisk`, or over the passing file `instead_of`, stand on `base`, which reads as that
        does, under its clients.

        Done already, or not exported, is done.
        """
        self._ask(name, lambda daemon: daemon.rebase(name, base, instead_of))

    def active_path(self, name: str) -> Path | None:
        """The file that an export writes to now; None if it is not exported."""
        return self._ask(name, lambda daemon: daemon.active_path(name))

    def pids(self) -> list[int]:
        """The process ids of the daemons."""
        with self._lock:
            return sorted(daemon.pid for daemon in self._daemons if daemon.pid)

    def adopt(self) -> None:
        """Take over the daemons of this run directory that are alive, and remove the files of dead ones.

        Called at start. A daemon that does not answer is left alone with a word in the log, and asked again each time
        when one of its exports is: until it answers these are not said to be gone, and its files stay locked.
        """
        for token in {token for path in self._run_dir.iterdir() if (token := _token(path))}:
            try:
                self._adopt(token)
            except BackendTransient as error:
                log.error("An export daemon is left alone for now: %s", error)

    def close(self) -> None:
        """Forget the daemons, which live on with their clients, to be adopted by the next process."""
        for daemon in self._take_all():
            daemon.forget()

    def shutdown(self) -> None:
        """End all daemons, whoever is connected, after flushing what was written."""
        with ExitStack() as ends:
            for daemon in self._take_all():
                ends.callback(daemon.end)
                self._remove_links(daemon)

    def _adopt(self, token: str) -> None:
        """Take over a daemon, or remove its remains; a daemon known already is done."""
        with self._adopting:
            with self._lock:
                if any(daemon.token == token for daemon in self._daemons):
                    return
            daemon = ExportDaemon(self._run_dir, token, self._patience.setdefault(token, Patience()))
            try:
                daemon.adopt()
                names = daemon.exports()
            except DaemonGone:
                del self._patience[token]
                self._bury(daemon)
                return
            except BackendTransient:
                daemon.forget()
                raise
            del self._patience[token]
            if not names:
                self._remove_links(daemon)
                daemon.end()
                return
            with self._lock:
                self._daemons.append(daemon)
                self._homes.update(dict.fromkeys(names, daemon))
            for name in names:
                self._link(name, daemon)

    def _home(self, name: str) -> ExportDaemon | None:
        """The daemon that exports `name`: one of ours, or one that did not answer at the start and does now."""
        with self._lock:
            home = self._homes.get(name)
        link = self._link_path(name)
        if home is None and link.is_symlink():
            self._adopt(link.readlink().stem)
            with self._lock:
                home = self._homes.get(name)
        return home

    def _place(self, name: str) -> ExportDaemon:
        """Where `name` is, or will be: a daemon with room, or a new one."""
        if home := self._home(name):
            return home
        with self._lock:
            homes = list(self._homes.values())
            daemon = next((each for each in self._daemons if homes.count(each) < self._per_daemon), None)
            if daemon is None:
                daemon = ExportDaemon(self._run_dir, secrets.token_hex(4), Patience())
                self._daemons.append(daemon)
            self._homes[name] = daemon
            return daemon

    def _leave(self, name: str) -> None:
        """Remove an export that is gone from the books, and end its daemon if that was its last."""
        with self._lock:
            self._link_path(name).unlink(missing_ok=True)
            daemon = self._homes.pop(name, None)
            idle = daemon is not None and daemon not in self._homes.values()
            if daemon is not None and idle:
                self._daemons.remove(daemon)
        if daemon is not None and idle:
            daemon.end()

    def _bury(self, daemon: ExportDaemon) -> None:
        """Remove a dead daemon with its exports."""
        with self._lock:
            self._remove_links(daemon)
            names = [name for name, home in self._homes.items() if home is daemon]
            for name in names:
                del self._homes[name]
            if daemon in self._daemons:
                self._daemons.remove(daemon)
        log.error(
            "The export daemon %s has ended by itself. Exports cut: %s. It said: %s",
            daemon.pid or daemon.token,
            ", ".join(names) or "none known",
            daemon.last_words() or "nothing",
        )
        daemon.end()

    def _ask(self, name: str, question: Callable[[ExportDaemon], T]) -> T | None:
        """Ask the daemon that exports `name`; None if there is none, or none any more."""
        daemon = self._home(name)
        if daemon is None:
            return None
        try:
            return question(daemon)
        except DaemonGone:
            self._bury(daemon)
            return None

    def _take_all(self) -> list[ExportDaemon]:
        with self._lock:
            daemons, self._daemons, self._homes = self._daemons, [], {}
        return daemons

    def _uri(self, name: str) -> str:
        return f"nbd+unix:///{quote(name)}?socket={quote(str(self._link_path(name)))}"

    def _link_path(self, name: str) -> Path:
        return self._run_dir / LINK.format(digest_of(name))

    def _link(self, name: str, daemon: ExportDaemon) -> None:
        link = self._link_path(name)
        if link.is_symlink() and link.readlink() == Path(daemon.socket.name):
            return
        fresh = link.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(daemon.socket.name)
        fresh.rename(link)

    def _remove_links(self, daemon: ExportDaemon) -> None:
        for path in self._run_dir.iterdir():
            if path.is_symlink() and _token(path) == daemon.token:
                path.unlink(missing_ok=True)


def _token(path: Path) -> str | None:
    """Which daemon a file or link in the run directory belongs to."""
    if path.is_symlink():
        return path.readlink().stem
    return path.stem if path.suffix in SUFFIXES else None
