"""The control protocol of tgtd, as far as iSCSI targets need it: what `tgtadm` speaks, over a Unix socket.

It is spoken here since tgtadm takes passwords on its argument list, which every user of the machine can read. The
structures are those of tgt's `usr/tgtadm.h`, the same from 1.0.30 (2012) to 1.0.97.
"""

import enum
import re
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import msgspec

from breezeblock.errors import BackendInUse, BackendNotFound, BackendTransient, DriverError

ANSWER_SECONDS = 30.0
_REQUEST = struct.Struct("=ii64sIiQQIIIIII")
_ANSWER = struct.Struct("=II")
_DISK = 0
_LINES = re.MULTILINE | re.DOTALL


class Mode(enum.IntEnum):
    """What an order is about."""

    SYSTEM = 0
    TARGET = 1
    DEVICE = 2
    PORTAL = 3
    CONNECTION = 6
    ACCOUNT = 7


class Op(enum.IntEnum):
    """What is done to it."""

    NEW = 0
    DELETE = 1
    SHOW = 2
    BIND = 3
    UNBIND = 4
    UPDATE = 5


class TgtdGone(BackendTransient):
    """No tgtd listens at its control socket."""


class TargetExists(DriverError):
    """Another target has this number."""


class NoUser(DriverError):
    """There is no account of that user."""


class NoConnection(DriverError):
    """There is no such session or connection."""


_KINDS: dict[int, type[DriverError]] = {
    4: BackendNotFound,  # TGTADM_NO_TARGET
    5: BackendNotFound,  # TGTADM_NO_LUN
    6: NoConnection,  # TGTADM_NO_SESSION
    7: NoConnection,  # TGTADM_NO_CONNECTION
    9: TargetExists,  # TGTADM_TARGET_EXIST
    15: NoUser,  # TGTADM_NO_USER
    19: BackendInUse,  # TGTADM_TARGET_ACTIVE
    20: BackendInUse,  # TGTADM_LUN_ACTIVE
}
"""Errors of tgt's `usr/tgtadm_error.h` that something is done about."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A target as tgtd tells of it."""

    tid: int
    iqn: str
    is_ready: bool
    disks: dict[int, str]
    """The paths of its logical units, but for the controller, by their numbers."""
    accounts: list[str]
    initiators: list[str]
    """Who may log in."""
    connections: list[tuple[str, int, int]]
    """Who is logged in: the initiator with the numbers of its session and connection."""


def execute(
    path: Path,
    mode: Mode,
    op: Op,
    text: str = "",
    *,
    tid: int = 0,
    lun: int = 0,
    sid: int = 0,
    cid: int = 0,
    force: bool = False,
) -> str:
    """Give tgtd at the socket `path` an order, with the parameters `text`; what it answered.

    Raises:
        TgtdGone: nobody listens there, or ended meanwhile.
        BackendTransient: no answer within `ANSWER_SECONDS`.
        BackendNotFound: there is no such target or logical unit.
        BackendInUse: commands of a client are under way.
        TargetExists: a new target's number is taken.
        DriverError: tgtd refused for another reason.
    """
    parameters = text.encode() + b"\0" if text else b""
    length = _REQUEST.size + len(parameters)
    order = _REQUEST.pack(mode, op, b"iscsi", length, tid, sid, lun, cid, 0, _DISK, 0, 0, int(force))
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(ANSWER_SECONDS)
            connection.connect(str(path))
            connection.sendall(order + parameters)
            with connection.makefile("rb") as answer:
                head = answer.read(_ANSWER.size)
                if len(head) < _ANSWER.size:
                    raise TgtdGone
                error, size = _ANSWER.unpack(head)
                told = answer.read(size - _ANSWER.size)
    except (FileNotFoundError, ConnectionError) as reason:
        raise TgtdGone from reason
    except TimeoutError as reason:
        raise BackendTransient(f"tgtd did not answer within {ANSWER_SECONDS:.0f} s.") from reason
    if error:
        # never with the parameters: a password may be among them
        raise _KINDS.get(error, DriverError)(
            f"tgtd refuses to {op.name.lower()} a {mode.name.lower()} (error {error})."
        )
    return told.rstrip(b"\0").decode()


def portals(path: Path) -> list[str]:
    """Where tgtd listens, as `address:port`."""
    return re.findall(r"^Portal: (\S+),\d+$", execute(path, Mode.PORTAL, Op.SHOW), re.MULTILINE)


def target_of(path: Path, name: str) -> Target | None:
    """The target whose iqn ends with `name`; None where there is none."""
    told = _told(path)
    head = re.search(rf"^Target (\d+): (\S*{re.escape(name)})$", told, re.MULTILINE)
    if head is None:
        return None
    end = told.find("\nTarget ", head.end())
    return _target(int(head[1]), head[2], told[head.end() : end + 1 or None])


def iqns(path: Path) -> list[str]:
    """The names of all targets there are."""
    return re.findall(r"^Target \d+: (\S+)$", _told(path), re.MULTILINE)


def _told(path: Path) -> str:
    return execute(path, Mode.TARGET, Op.SHOW, tid=-1)


def _target(tid: int, iqn: str, text: str) -> Target:
    sections = re.split(r"^ {4}(?=\S)", text, flags=re.MULTILINE)[1:]
    told = {title: body for title, _, body in (section.partition(":\n") for section in sections)}
    return Target(
        tid=tid,
        iqn=iqn,
        is_ready="State: ready\n" in told["System information"],
        disks={
            int(lun): path
            for lun, path in re.findall(r"LUN: (\d+)$.*?Backing store path: (.*?)$", told["LUN information"], _LINES)
            if lun != "0"
        },
        accounts=told["Account information"].split(),
        initiators=told["ACL information"].split(),
        connections=list(_connections(told["I_T nexus information"])),
    )


def _connections(text: str) -> Iterator[tuple[str, int, int]]:
    for nexus in text.split("I_T nexus: ")[1:]:
        session, _, rest = nexus.partition("\n")
        initiator = re.search(r"Initiator: (\S+)", rest)
        for connection in re.findall(r"Connection: (\d+)", rest):
            yield initiator.group(1) if initiator else "", int(session), int(connection)
