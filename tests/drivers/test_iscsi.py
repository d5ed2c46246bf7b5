"""iSCSI targets of a real tgtd, opened by real initiators."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from breezeblock.drivers.conformance import settings_for
from breezeblock.drivers.directory.driver import DirectoryDriver, open_driver
from breezeblock.errors import BackendInUse, ConfigError, InvalidInput
from breezeblock.exports import tgt
from breezeblock.exports.iscsi import Access, IscsiTargets, connection_of, initiator_of, new_access, portal
from breezeblock.exports.listing import exported_names
from breezeblock.exports.nbd import DiskFile, NbdExports
from tests import initiator
from tests.drivers.directory_storage import a_snapshot, a_volume
from tests.drivers.test_exports import overlay, raw
from tests.initiator import OURS, said
from tests.processes import free_port, is_alive, listener_of

MIB = 1 << 20
PREFIX = "iqn.2010-10.org.openstack:"
OTHERS = "iqn.1993-08.org.debian:01:others"


class Site:
    """Targets with the exports below them, and an initiator."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.portal = portal({"target_ip_address": "127.0.0.1", "target_port": free_port()})
        self.exports = NbdExports(directory / "nbd")
        self.targets = self.opened()

    def opened(self) -> IscsiTargets:
        """The targets as another process finds them."""
        return IscsiTargets(self.directory / "iscsi", self.portal)

    def access(self, name: str = "volume-1", *initiators: str) -> Access:
        """A new login for these initiators, else for ours."""
        admitted = {one: one for one in initiators or (OURS,)}
        return msgspec.structs.replace(new_access(PREFIX + name), initiators=admitted)

    def serve(self, disk: DiskFile, access: Access, name: str = "volume-1", *, writable: bool = True) -> None:
        """Serve a disk as a target."""
        file = self.exports.export_file(name, disk, writable)
        self.targets.serve(name, file, access, writable=writable)

    def withdraw(self, name: str = "volume-1") -> None:
        """Serve it no more."""
        self.targets.withdraw(name)
        self.exports.withdraw(name, force=True)

    def pid(self) -> int | None:
        """Of the tgtd that runs."""
        return listener_of(self.directory / "iscsi" / "tgtd.0")

    def close(self) -> None:
        """End everything, also what a test that failed has left."""
        for iqn in self.targets.iqns():
            self.targets.withdraw(iqn)
        self.exports.shutdown()
        left = NbdExports(self.directory / "nbd")
        left.adopt()
        left.shutdown()
        assert self.pid() is None
        assert not list((self.directory / "nbd").glob("files/*"))

    def data(self, access: Access) -> dict[str, Any]:
        """What an initiator is told."""
        info: dict[str, Any] = connection_of(self.portal, access, a_volume())["data"]
        return info

    def io(self, access: Access, *orders: str, **how: Any) -> str:
        """What an initiator is answered."""
        return initiator.io(self.data(access), *orders, **how)

    def session(self, access: Access, **how: Any) -> "AbstractContextManager[subprocess.Popen[str]]":
        """An initiator that is logged in."""
        return initiator.session(self.data(access), **how)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.close()


def test_an_initiator_reads_what_it_wrote(site: Site) -> None:
    disk, access = raw(site.directory / "disk"), site.access()
    site.serve(disk, access)
    assert "wrote 65536/65536" in site.io(access, "write -P 7 4096 64k", "flush")
    assert "read 65536/65536" in site.io(access, "read -P 7 4096 64k")
    site.withdraw()
    assert disk.path.read_bytes()[4096 : 4096 + 65536] == b"\7" * 65536


def test_an_initiator_comes_over_ipv6(site: Site) -> None:
    site.portal = portal({"target_ip_address": "::1", "target_port": free_port()})
    site.targets, access = site.opened(), site.access()
    site.serve(raw(site.directory / "disk"), access)
    assert "read 512/512" in site.io(access, "read 0 512")
    site.serve(DiskFile(site.directory / "disk", "raw"), access)


def test_the_path_may_have_blanks_and_letters_of_any_alphabet(tmp_path: Path) -> None:
    directory = tmp_path / "große Platte"
    directory.mkdir()
    with contextlib.closing(Site(directory)) as site:
        access = site.access()
        site.serve(raw(directory / "disk"), access)
        assert "read 512/512" in site.io(access, "read 0 512")
        assert exported_names(directory / "nbd") == ["volume-1"]
        site.withdraw()
        assert exported_names(directory / "nbd") == []


def test_an_overlay_is_served_as_one_disk(site: Site) -> None:
    base = raw(site.directory / "base")
    base.path.write_bytes(b"b" * MIB + bytes(7 * MIB))
    top, access = overlay(site.directory / "top", base), site.access()
    site.serve(top, access)
    assert "read 1048576/1048576" in site.io(access, "read -P 98 0 1M")
    assert "wrote" in site.io(access, "write -P 7 0 64k")
    assert base.path.read_bytes()[:1] == b"b"


@pytest.mark.parametrize(
    "who",
    [
        {"chap": False},
        {"password": "0123456789abcdef"},
        {"user": "somebody"},
        {"initiator": OTHERS},
        {"initiator": OTHERS, "chap": False},
    ],
    ids=str,
)
def test_nobody_else_gets_in(site: Site, who: dict[str, Any]) -> None:
    access = site.access()
    site.serve(raw(site.directory / "disk"), access)
    login = {key: who[key] for key in ("user", "password") if key in who}
    told = site.io(
        msgspec.structs.replace(access, **login),
        "read 0 512",
        initiator=who.get("initiator", OURS),
        chap=who.get("chap", True),
    )
    assert re.search("Failed to log in|no password was given", told), told
    assert "read 512/512" not in told


def test_the_login_of_another_target_does_not_open_this_one(site: Site) -> None:
    one, two = site.access("volume-1"), site.access("volume-2")
    site.serve(raw(site.directory / "one"), one, "volume-1")
    site.serve(raw(site.directory / "two"), two, "volume-2")
    crossed = msgspec.structs.replace(two, iqn=one.iqn)
    assert "Failed to log in" in site.io(crossed, "read 0 512")
    assert "read 512/512" in site.io(two, "read 0 512")


def test_who_may_not_use_a_target_does_not_see_it(site: Site) -> None:
    site.serve(raw(site.directory / "one"), site.access("volume-1"), "volume-1")
    site.serve(raw(site.directory / "two"), site.access("volume-2", OTHERS), "volume-2")
    told = subprocess.run(
        ["iscsi-ls", "--initiator-name", OTHERS, f"iscsi://{site.portal}"], capture_output=True, text=True, check=True
    ).stdout
    assert re.findall(r"Target:(\S+)", told) == [f"{PREFIX}volume-2"]


def test_a_read_only_target_is_not_written(site: Site) -> None:
    disk, access = raw(site.directory / "disk"), site.access()
    site.serve(disk, access, writable=False)
    assert "LUN is write protected" in site.io(access, "write -P 7 0 512")
    assert "read 512/512" in site.io(access, "read 0 512", options=["--read-only"])
    site.withdraw()
    assert not any(disk.path.read_bytes())


def test_a_flush_reaches_the_disk_and_a_trim_frees_space(site: Site) -> None:
    disk, access = raw(site.directory / "disk"), site.access()
    site.serve(disk, access)
    (pid,) = site.exports.pids()
    trace = site.directory / "trace"
    with subprocess.Popen(
        ["strace", "-f", "-e", "trace=fdatasync,fsync", "-o", trace, "-p", str(pid)], stderr=-1
    ) as strace:
        assert strace.stderr is not None
        assert b"attached" in strace.stderr.readline()
        assert "wrote" in site.io(access, "write -P 7 0 8M", "flush")
        strace.send_signal(signal.SIGINT)
    assert "fdatasync" in trace.read_text()
    full = disk.path.stat().st_blocks
    assert "discard 8388608/8388608" in site.io(access, "discard 0 8M")
    assert disk.path.stat().st_blocks < full // 2


def test_a_disk_is_the_same_wherever_and_whenever_it_is_served(site: Site) -> None:
    def identity(access: Access) -> bytes:
        url = f"iscsi://{access.user}%{access.password}@{site.portal}/{access.iqn}/1"
        argv = ["iscsi-inq", "--initiator-name", OURS, "--evpd", "1", "--pagecode", "131", url]
        return subprocess.run(argv, capture_output=True, check=True).stdout

    disks = [raw(site.directory / name) for name in ("one", "two")]
    access = [site.access(f"volume-{number}") for number in (1, 2)]
    for number in (1, 2):
        site.serve(disks[number - 1], access[number - 1], f"volume-{number}")
    first, second = (identity(one) for one in access)
    assert first != second
    assert b"NAA" in first
    for number in (1, 2):
        site.withdraw(f"volume-{number}")
    site.serve(disks[1], access[1], "volume-2")
    assert identity(access[1]) == second


def test_a_second_initiator_comes_and_goes_beside_the_first(site: Site) -> None:
    disk, access = raw(site.directory / "disk"), site.access("volume-1", OURS)
    both = msgspec.structs.replace(access, initiators={"a": OURS, "b": OTHERS})
    site.serve(disk, access)
    with site.session(access) as ours:
        said(ours, "write -P 1 0 4k", "wrote 4096/4096")
        site.serve(disk, both)
        with site.session(access, initiator=OTHERS) as others:
            said(others, "read -P 1 0 4k", "read 4096/4096")
            said(others, "write -P 2 4k 4k", "wrote 4096/4096")
            said(ours, "read -P 2 4k 4k", "read 4096/4096")
            site.serve(disk, access)
            assert "Failed to log in" in site.io(access, "read 0 512", initiator=OTHERS)
            target = tgt.target_of(site.directory / "iscsi" / "tgtd.0", "volume-1")
            assert target is not None
            assert {one[0] for one in target.connections} <= {OURS}
        said(ours, "read -P 1 0 4k", "read 4096/4096")


def test_a_disk_grows_while_its_initiator_waits(site: Site) -> None:
    disk, access = raw(site.directory / "disk"), site.access()
    site.serve(disk, access)
    with site.session(access) as session:
        said(session, "write -P 1 0 4k", "wrote 4096/4096")
        site.targets.pause("volume-1")
        site.exports.withdraw("volume-1", force=True)
        told = site.io(access, "length")
        assert "Target error" in told, "which initiators take for a reason to come again"
        os.truncate(disk.path, 16 * MIB)
        assert session.stdin is not None
        print("read -P 1 0 4k", file=session.stdin, flush=True)
        site.serve(disk, access)
        said(session, "", "read 4096/4096")
    assert "16 MiB" in site.io(access, "length")


def test_the_last_to_leave_ends_tgtd(site: Site) -> None:
    for number in (1, 2):
        site.serve(raw(site.directory / f"disk{number}"), site.access(f"volume-{number}"), f"volume-{number}")
    pid = site.pid()
    assert pid is not None
    site.withdraw("volume-1")
    assert site.pid() == pid
    assert site.targets.iqns() == [f"{PREFIX}volume-2"]
    site.withdraw("volume-2")
    site.withdraw("volume-2")
    assert not is_alive(pid)
    assert site.targets.iqns() == []


def test_a_withdrawn_target_ends_its_sessions(site: Site) -> None:
    access = site.access()
    site.serve(raw(site.directory / "disk"), access)
    site.serve(raw(site.directory / "disk2"), site.access("volume-2"), "volume-2")
    with site.session(access) as session:
        said(session, "write -P 1 0 4k", "wrote 4096/4096")
        site.withdraw()
        assert site.targets.iqns() == [f"{PREFIX}volume-2"]
        assert "Failed to log in" in site.io(access, "read 0 512")


def test_another_process_finds_what_is_served(site: Site) -> None:
    disk, access = raw(site.directory / "disk"), site.access()
    site.serve(disk, access)
    pid = site.pid()
    with site.session(access) as session:
        said(session, "write -P 1 0 4k", "wrote 4096/4096")
        site.exports.close()
        site.exports = NbdExports(site.directory / "nbd")
        site.exports.adopt()
        site.targets = site.opened()
        site.serve(disk, access)
        said(session, "read -P 1 0 4k", "read 4096/4096")
    assert site.pid() == pid


def test_what_was_served_by_a_tgtd_that_died_is_served_again(site: Site) -> None:
    disk, access = raw(site.directory / "disk"), site.access()
    site.serve(disk, access)
    pid = site.pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    while is_alive(pid):
        time.sleep(0.01)
    site.targets.pause("volume-1")
    site.serve(disk, access)
    assert site.pid() not in {None, pid}
    assert "read 512/512" in site.io(access, "read 0 512")


def test_what_was_served_by_an_export_daemon_that_died_is_served_again(site: Site) -> None:
    disk, access = raw(site.directory / "disk"), site.access()
    site.serve(disk, access)
    with site.session(access) as session:
        said(session, "write -P 1 0 4k", "wrote 4096/4096")
        (pid,) = site.exports.pids()
        os.kill(pid, signal.SIGKILL)
        while is_alive(pid):
            time.sleep(0.01)
        assert site.exports.uri("volume-1") is None
        site.serve(disk, access)
        said(session, "read -P 1 0 4k", "read 4096/4096")
    (file,) = (site.directory / "nbd" / "files").iterdir()
    mounts = Path("/proc/self/mountinfo").read_text()
    assert mounts.count(str(site.directory / "nbd" / "files")) == 1
    assert str(file) in mounts


def test_a_volume_is_served_in_one_way_at_a_time(site: Site) -> None:
    disk = raw(site.directory / "disk")
    site.exports.export("volume-1", disk)
    with pytest.raises(BackendInUse):
        site.exports.export_file("volume-1", disk)
    site.exports.withdraw("volume-1")
    site.exports.export_file("volume-1", disk)
    with pytest.raises(BackendInUse):
        site.exports.export("volume-1", disk)
    site.exports.withdraw("volume-1")


def test_a_port_that_is_taken_is_told(site: Site) -> None:
    with socket.socket() as taken:
        host, port = site.portal.split(":")
        taken.bind((host, int(port)))
        taken.listen()
        with pytest.raises(ConfigError, match=f"tgtd cannot listen at {site.portal}.*target_port"):
            site.serve(raw(site.directory / "disk"), site.access())
        assert site.pid() is None
    site.exports.withdraw("volume-1")
    site.serve(DiskFile(site.directory / "disk", "raw"), site.access())


def test_backends_share_one_tgtd_behind_two_portals(site: Site) -> None:
    one, two = site.access("volume-1"), site.access("volume-2")
    site.serve(raw(site.directory / "one"), one, "volume-1")
    first = site.portal
    second = site.portal = f"127.0.0.1:{free_port()}"
    site.targets = site.opened()
    site.serve(raw(site.directory / "two"), two, "volume-2")
    pid = site.pid()
    assert "read 512/512" in site.io(two, "read 0 512")
    site.portal = first
    assert "read 512/512" in site.io(one, "read 0 512")
    assert sorted(tgt.portals(site.directory / "iscsi" / "tgtd.0")) == sorted([first, second])
    assert site.pid() == pid


def test_the_password_is_nowhere_to_be_seen(site: Site) -> None:
    access = site.access()
    site.serve(raw(site.directory / "disk"), access)
    assert "Failed to log in" in site.io(msgspec.structs.replace(access, password="0123456789abcdef"), "read 0 512")
    pid = site.pid()
    assert access.password not in repr(access)
    for told in (f"/proc/{pid}/cmdline", f"/proc/{pid}/environ", site.directory / "iscsi" / "tgtd.log"):
        assert access.password.encode() not in Path(told).read_bytes(), told
    for path in (site.directory / "iscsi").iterdir():
        assert path.stat().st_mode & 0o077 == 0, path


class Killed(BaseException):
    """The process is dead: no handler of errors runs."""


def orders_of(monkeypatch: pytest.MonkeyPatch, most: int) -> list[str]:
    """Let so many orders to tgtd be carried out, and none after them."""
    given: list[str] = []
    real = tgt.execute

    def counted(path: Path, mode: tgt.Mode, op: tgt.Op, text: str = "", **numbers: Any) -> str:
        if op is not tgt.Op.SHOW:
            if len(given) == most:
                raise Killed
            given.append(f"{op.name} {mode.name}")
        return real(path, mode, op, text, **numbers)

    monkeypatch.setattr(tgt, "execute", counted)
    return given


@pytest.mark.parametrize("verb", ["serve", "serve elsewhere", "admit", "pause", "withdraw"])
def test_a_verb_that_is_killed_anywhere_is_done_when_called_again(
    site: Site, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    disk, elsewhere = raw(site.directory / "disk"), raw(site.directory / "elsewhere")
    access = site.access("volume-1", OURS, OTHERS)
    fewer = msgspec.structs.replace(access, initiators={OURS: OURS})
    file = site.exports.export_file("volume-1", disk)
    other = site.exports.export_file("volume-2", elsewhere)
    verbs = {
        "serve": lambda: site.targets.serve("volume-1", file, access, writable=True),
        "serve elsewhere": lambda: site.targets.serve("volume-1", other, access, writable=True),
        "admit": lambda: site.targets.serve("volume-1", file, fewer, writable=True),
        "pause": lambda: site.targets.pause("volume-1"),
        "withdraw": lambda: site.targets.withdraw("volume-1"),
    }
    for most in range(20):
        if verb != "serve":
            verbs["serve"]()
        with monkeypatch.context() as patch:
            given = orders_of(patch, most)
            died = True
            with contextlib.suppress(Killed):
                verbs[verb]()
                died = False
        site.targets = site.opened()
        verbs[verb]()
        if verb == "withdraw":
            assert site.pid() is None
        elif verb == "pause":
            assert "Failed to log in" in site.io(access, "read 0 512")
        else:
            assert "read 512/512" in site.io(access, "read 0 512")
            assert ("read 512/512" in site.io(access, "read 0 512", initiator=OTHERS)) == (verb != "admit")
            assert "Failed to log in" in site.io(access, "read 0 512", chap=False)
        site.targets.withdraw("volume-1")
        assert site.pid() is None
        if not died:
            assert len(given) == most > 0
            return
    pytest.fail(f"it gave more orders than expected: {given}")


@pytest.mark.parametrize("name", [None, "", "host-1", "iqn.x:a,b", "iqn.x:a\nb", "iqn." + "x" * 220, 7])
def test_a_connector_without_an_initiator_is_refused(name: object) -> None:
    with pytest.raises(InvalidInput, match="initiator"):
        initiator_of({"host": "h", "initiator": name})


def test_a_connection_has_the_keys_that_os_brick_reads() -> None:
    access = new_access(f"{PREFIX}volume-1")
    volume = a_volume()
    info = connection_of("192.0.2.7:3260", access, volume)
    assert info["driver_volume_type"] == "iscsi"
    assert info["data"] == {
        "target_discovered": False,
        "target_portal": "192.0.2.7:3260",
        "target_iqn": f"{PREFIX}volume-1",
        "target_lun": 1,
        "auth_method": "CHAP",
        "auth_username": access.user,
        "auth_password": access.password,
        "discard": True,
        "access_mode": "rw",
        "volume_id": volume.id,
    }


def opened(directory: Path) -> DirectoryDriver:
    """A driver that serves over iSCSI, with overlays."""
    told = {"target_protocol": "iscsi", "target_port": str(free_port()), "directory_reflink": "never"}
    driver = open_driver(settings_for("directory", directory, **told))
    driver.check_for_setup_error()
    return driver


def test_the_password_is_in_the_record_of_the_volume_alone_and_changes_with_each_export(tmp_path: Path) -> None:
    driver, volume = opened(tmp_path), a_volume()
    driver.create_volume(volume)
    passwords = set()
    for _ in range(2):
        connector = {"host": "compute-1", "initiator": OURS}
        password = driver.initialize_connection(volume, connector)["data"]["auth_password"]
        passwords.add(password)
        driver.create_snapshot(a_snapshot(volume), volume)
        driver.create_cloned_volume(a_volume(), volume)
        records = [path for path in tmp_path.rglob("record.json") if password in path.read_text()]
        assert [path.parent.name for path in records] == [volume.storage_name]
        assert records[0].stat().st_mode & 0o077 == 0
        driver.terminate_connection(volume, connector)
        assert not any(password in path.read_text() for path in tmp_path.rglob("record.json"))
    assert len(passwords) == 2
    driver.close()


def test_a_machine_that_cannot_serve_targets_is_told_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda program, path: None)
    with pytest.raises(ConfigError, match=r"target_protocol is iscsi.*Debian package tgt"):
        opened(tmp_path)
