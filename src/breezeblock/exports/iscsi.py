"""Files served to iSCSI initiators by one tgtd of this machine, which a restart of the service does not touch.

All backends of a data directory share it, since initiators expect their targets behind one portal; a lock file keeps
their processes out of each other's way. What it serves is asked of it each time and kept nowhere else. A target has one
logical unit, one login (CHAP) and the initiators that may use it; nobody else sees it.
"""

import fcntl
import hashlib
import itertools
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
from oslo_config import cfg

from breezeblock import commands
from breezeblock.errors import BackendInUse, BackendTransient, CommandFailed, ConfigError, DriverError, InvalidInput
from breezeblock.exports import tgt
from breezeblock.exports.connection import is_writable
from breezeblock.exports.tgt import Mode, NoConnection, NoUser, Op, Target, TargetExists, TgtdGone
from breezeblock.model.volume import Volume

OPTIONS: list[cfg.Opt] = [
    cfg.StrOpt(
        "target_protocol",
        default="nbd",
        choices=["nbd", "iscsi"],
        help="How hosts reach a volume: over NBD on a Unix socket of this machine, or over iSCSI.",
    ),
    cfg.HostAddressOpt("target_ip_address", default="127.0.0.1", help="Address that iSCSI targets are reached at."),
    cfg.PortOpt("target_port", default=3260, help="Port that iSCSI targets are reached at."),
    cfg.StrOpt(
        "target_prefix",
        default="iqn.2010-10.org.openstack:",
        regex=r"^(iqn|eui|naa)\.[A-Za-z0-9.:-]{1,150}$",
        help="Begin of the names of iSCSI targets.",
    ),
]

STORAGE_PROTOCOL = "iSCSI"
"""What pools report whose volumes are reached so, as Cinder's do."""
LUN = 1
"""The logical unit of every target, Cinder's number for tgt; 0 is tgtd's controller."""
INITIATOR = re.compile(r"(iqn|eui|naa)\.[A-Za-z0-9.:_-]{1,219}", re.ASCII)
"""RFC 3720, 3.2.6."""
START_SECONDS = 10.0
QUIET_SECONDS = 30.0
"""How long commands that are under way may take to end, before a logical unit is let go."""
IO_THREADS = 4
"""Of each logical unit; tgtd's own 16 were no faster with 32 requests at once."""
_CONTROL = "tgtd"


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """Who may open a target, and how. It lasts from the first connection to the end of the last."""

    iqn: str
    user: str
    password: str
    initiators: dict[str, str]
    """The initiators by who connects."""

    def __repr__(self) -> str:
        return f"Access({self.iqn})"


def new_access(iqn: str) -> Access:
    """A login that nobody knows yet. CHAP's secrets are 12 to 16 bytes for initiators that hold to the book."""
    return Access(iqn=iqn, user=secrets.token_hex(10), password=secrets.token_hex(8), initiators={})


def installed() -> str:
    """The path of tgtd. Raises `ConfigError` where this machine cannot serve targets."""
    try:
        program = commands.find("tgtd", "tgt")
    except CommandFailed as error:
        raise ConfigError(f"target_protocol is iscsi: {error.message}") from error
    if not Path("/dev/fuse").exists():
        raise ConfigError("target_protocol is iscsi, and there is no /dev/fuse: load the kernel's module fuse.")
    return program


def initiator_of(connector: Mapping[str, Any]) -> str:
    """The initiator that a connector names. Raises `InvalidInput` where it names none, as Cinder does."""
    initiator = connector.get("initiator")
    if not isinstance(initiator, str) or not INITIATOR.fullmatch(initiator):
        raise InvalidInput(
            f"The volume is served over iSCSI, and the connector's initiator is {initiator!r}: it has to be the name of an "
            "iSCSI initiator, such as /etc/iscsi/initiatorname.iscsi has."
        )
    return initiator


def portal(options: Mapping[str, Any]) -> str:
    """Where the targets of a backend are reached, by its `OPTIONS`."""
    address = options["target_ip_address"]
    return f"[{address}]:{options['target_port']}" if ":" in address else f"{address}:{options['target_port']}"


def connection_of(portal: str, access: Access, volume: Volume) -> dict[str, Any]:
    """The connection_info of a target, with the keys that os-brick reads."""
    data = {
        "target_discovered": False,
        "target_portal": portal,
        "target_iqn": access.iqn,
        "target_lun": LUN,
        "auth_method": "CHAP",
        "auth_username": access.user,
        "auth_password": access.password,
        "discard": True,
        "access_mode": "rw" if is_writable(volume) else "ro",
        "volume_id": volume.id,
    }
    return {"driver_volume_type": "iscsi", "data": data}


class IscsiTargets:
    """The targets of one data directory, as one backend uses them. Threads and processes may share them.

    Names are storage names; a target's iqn ends with its name. Every verb raises `BackendTransient` where tgtd does not
    answer, or ended just now, or where a client's commands do not end: ask again.
    """

    def __init__(self, run_dir: Path, portal: str) -> None:
        self._run_dir = run_dir.absolute()
        self._portal = portal
        self._control = self._run_dir / f"{_CONTROL}.0"
        self._listens = False

    def serve(self, name: str, file: Path, access: Access, *, writable: bool) -> None:
        """Serve `file` as `access` says, to its initiators and to nobody else; the sessions of others end.

        Served already is done; where another file is served under that name this one takes its place, and initiators find
        it when they come again. Raises `ConfigError` where tgtd is not installed or cannot listen.
        """
        if "," in str(file):
            raise ConfigError(f"tgtd cannot serve {file}: there is a comma in the path of the data directory.")
        with self._locked():
            target = self._find(name)
            # what is ready has passed all of the following
            ready = target is not None and target.is_ready and target.disks.get(LUN) == str(file)
            if not ready or not self._listens:
                self._listen()
            if target is not None and (target.iqn != access.iqn or set(target.accounts) - {access.user}):
                self._remove(target)
                target, ready = None, False
            if target is None:
                target = self._create(name, access.iqn)
            if not ready:
                self._let_in(target, access)
                self._put(target, name, file, writable)
            self._admit(target, set(access.initiators.values()))
            if not ready:
                self._cut(target, staying=set())
                self._set_state(target, "ready")

    def pause(self, name: str) -> None:
        """Let go of the file of a target; initiators wait until it is served again. Not served is done."""
        self._if_served(name, self._take)

    def withdraw(self, name: str) -> None:
        """Remove a target, and end the sessions of its initiators; gone is done. tgtd ends with its last target."""
        self._if_served(name, self._remove)

    def iqns(self) -> list[str]:
        """The names of all targets there are, of other backends too."""
        with suppress(TgtdGone):
            return tgt.iqns(self._control)
        return []

    def _if_served(self, name: str, act: Callable[[Target], None]) -> None:
        if not self._control.exists():
            return
        with self._locked(), suppress(TgtdGone):  # and all targets with it
            target = self._find(name)
            if target is not None:
                act(target)
            self._end_idle()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = os.open(self._run_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        finally:
            os.close(file)

    def _execute(self, mode: Mode, op: Op, text: str = "", **numbers: Any) -> None:
        tgt.execute(self._control, mode, op, text, **numbers)

    def _find(self, name: str) -> Target | None:
        with suppress(TgtdGone):
            return tgt.target_of(self._control, name)
        return None

    def _create(self, name: str, iqn: str) -> Target:
        """A target that nobody may log in to yet."""
        for attempt in itertools.count():
            tid = _number(name, attempt)
            with suppress(TargetExists):
                self._execute(Mode.TARGET, Op.NEW, f"targetname={iqn}", tid=tid)
                break
        self._execute(Mode.TARGET, Op.UPDATE, "state=offline", tid=tid)
        return Target(tid=tid, iqn=iqn, is_ready=False, disks={}, accounts=[], initiators=[], connections=[])

    def _set_state(self, target: Target, state: str) -> None:
        self._execute(Mode.TARGET, Op.UPDATE, f"state={state}", tid=target.tid)

    def _let_in(self, target: Target, access: Access) -> None:
        if access.user in target.accounts:
            return
        # of a process that was killed before it gave the target its account
        with suppress(NoUser):
            self._execute(Mode.ACCOUNT, Op.DELETE, f"user={access.user}")
        self._execute(Mode.ACCOUNT, Op.NEW, f"user={access.user},password={access.password}")
        self._execute(Mode.ACCOUNT, Op.BIND, f"user={access.user}", tid=target.tid)

    def _put(self, target: Target, name: str, file: Path, writable: bool) -> None:
        """Give a target its logical unit, while it is not ready."""
        if target.disks.get(LUN) != str(file):
            self._take(target)
            self._execute(Mode.DEVICE, Op.NEW, f"path={file},bstype=rdwr", tid=target.tid, lun=LUN)
        # the same wherever and whenever it is served: by these hosts tell one disk from another
        digest = hashlib.sha256(name.encode()).hexdigest()
        told = {
            "vendor_id": "BRZBLOCK",
            "product_id": "VOLUME",
            "scsi_id": digest[:32],
            "scsi_sn": digest[:36],
            "thin_provisioning": 1,
            "readonly": int(not writable),
        }
        parameters = ",".join(f"{key}={value}" for key, value in told.items())
        self._execute(Mode.DEVICE, Op.UPDATE, parameters, tid=target.tid, lun=LUN)

    def _take(self, target: Target) -> None:
        """Let go of a target's file. Initiators lose their sessions, and are told to come again when they do."""
        self._set_state(target, "offline")
        # it drops commands now without an answer: who has no connection sends them again on the next one
        self._cut(target, staying=set())
        if LUN not in target.disks:
            return
        deadline = time.monotonic() + QUIET_SECONDS
        while True:
            try:
                return self._execute(Mode.DEVICE, Op.DELETE, tid=target.tid, lun=LUN)
            except BackendInUse as error:
                if time.monotonic() > deadline:
                    raise BackendTransient(
                        f"Commands of the initiators of {target.iqn} have not ended for {QUIET_SECONDS:.0f} s."
                    ) from error
                time.sleep(0.02)

    def _admit(self, target: Target, initiators: set[str]) -> None:
        """Let these initiators log in and no others, and end the sessions of others."""
        for new in sorted(initiators - set(target.initiators)):
            self._execute(Mode.TARGET, Op.BIND, f"initiator-name={new}", tid=target.tid)
        if old := sorted(set(target.initiators) - initiators):
            for one in old:
                self._execute(Mode.TARGET, Op.UNBIND, f"initiator-name={one}", tid=target.tid)
            self._cut(target, staying=initiators)

    def _cut(self, target: Target, staying: set[str]) -> None:
        """End the sessions of all initiators but these."""
        now = self._find(target.iqn)
        for initiator, session, connection in now.connections if now else ():
            if initiator not in staying:
                with suppress(NoConnection):  # it has ended by itself
                    self._execute(Mode.CONNECTION, Op.DELETE, tid=target.tid, sid=session, cid=connection)

    def _remove(self, target: Target) -> None:
        self._take(target)
        for user in target.accounts:
            self._execute(Mode.ACCOUNT, Op.DELETE, f"user={user}")
        self._execute(Mode.TARGET, Op.DELETE, tid=target.tid, force=True)

    def _listen(self) -> None:
        """Have a tgtd that listens at the portal."""
        try:
            portals = tgt.portals(self._control)
        except TgtdGone:
            self._launch()
            portals = tgt.portals(self._control)
        if self._portal not in portals:
            try:
                self._execute(Mode.PORTAL, Op.NEW, f"portal={self._portal}")
            except DriverError as error:
                self._end_idle()
                raise ConfigError(
                    f"tgtd cannot listen at {self._portal}: let target_ip_address be an address of this machine, and "
                    "target_port one that nobody else listens at."
                ) from error
        self._listens = True

    def _launch(self) -> None:
        program = installed()
        log = self._run_dir / f"{_CONTROL}.log"
        where = f"TGT_IPC_SOCKET={self._control.with_suffix('')}"
        threads = ["--nr_iothreads", str(IO_THREADS)]
        argv = ["env", where, program, "--foreground", "--control-port", "0", *threads]
        commands.start_daemon([*argv, "--iscsi", f"portal={self._portal}"], log)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with suppress(TgtdGone):
                tgt.portals(self._control)
                return
            time.sleep(0.01)
        raise DriverError(f"tgtd did not start within {START_SECONDS:.0f} s; {log} says why.")

    def _end_idle(self) -> None:
        """End tgtd if it has no target."""
        if self.iqns():
            return
        deadline = time.monotonic() + START_SECONDS
        with suppress(TgtdGone):
            self._execute(Mode.SYSTEM, Op.DELETE)
            while time.monotonic() < deadline:
                tgt.portals(self._control)
                time.sleep(0.01)


def _number(name: str, attempt: int) -> int:
    """The number of a target, of 28 bits. It shows in one of the designators that hosts tell disks apart by, so it is the
    same wherever and whenever this name is served."""
    return int.from_bytes(hashlib.sha256(f"{name}/{attempt}".encode()).digest()[:4]) >> 4 or 1
