"""A volume over iSCSI in a Debian guest with open-iscsi and the kernel's own initiator, while everything is killed in turn,
and as os-brick, which Nova calls, opens it."""

import json
import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts import vsa_image
from tests.clients.test_iscsi import CONNECTOR, Site, attach, made, status, until
from tests.clients.test_processes import child
from tests.initiator import OURS
from tests.processes import is_alive, listener_of
from tests.real import guest
from tests.real.guest import Console

CACHE = Path("~/.cache/breezeblock").expanduser() / "guest"
PACKAGES = (
    "open-iscsi",
    "e2fsprogs",
    "iproute2",
    "kmod",
    "procps",
    "python3-os-brick",
    "dmidecode",
    "sg3-utils",
    "udev",
    "multipath-tools",
    "lsscsi",
)
PROVIDERS = ("python3-ply",)
"""Of packages that others need and that debootstrap does not find by itself."""
MODULES = ("virtio_net", "sd_mod", "iscsi_tcp")
HOST = "10.0.2.2"
"""What QEMU's user network calls the loopback of the machine that the guest runs on."""
SCRIPT = (
    "mount -t sysfs sys /sys; mount -t tmpfs run /run; mkdir /run/lock; ip link set lo up; ip link set eth0 up; "
    f"ip addr add 10.0.2.15/24 dev eth0; echo InitiatorName={OURS} > /etc/iscsi/initiatorname.iscsi; "
    f"hostname compute-1; /lib/systemd/systemd-udevd --daemon; iscsid; {guest.SHELL}"
)
BRICK = """
import json, sys
from os_brick import privileged
from os_brick.initiator import connector
privileged.default.set_client_mode(False)
verb, *told = json.loads(sys.argv[1])
if verb == "get_connector_properties":
    answer = connector.get_connector_properties("", "10.0.2.15", False, False)
else:
    answer = getattr(connector.InitiatorConnector.factory("ISCSI", ""), verb)(*told)
print("ANSWER", json.dumps(answer))
"""
"""A verb of os-brick, without its helper for those who are not root."""
WRITER = """
i=0; while echo $((i = i + 1)) > /mnt/new && sync /mnt/new && mv /mnt/new /mnt/n && sync /mnt; do echo $i > /run/n; done
echo $i > /run/failed
"""
"""Writes numbers to the volume, and tells those that are there for good."""


@pytest.fixture(scope="module")
def disk() -> Path:
    """A Debian with open-iscsi, made the first time."""
    disk = CACHE / "initiator.raw"
    if not disk.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        tree, raw = CACHE / "initiator.tree", CACHE / "initiator.new"
        subprocess.run(["rm", "-rf", tree], check=True)
        tree.mkdir()
        vsa_image.debian(tree, *PACKAGES, *PROVIDERS)
        with raw.open("wb") as file:
            file.truncate(3 << 29)
        subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-m", "0", "-d", tree, raw], check=True)
        subprocess.run(["rm", "-rf", tree], check=True)
        raw.rename(disk)
    return disk


@pytest.fixture
def console(disk: Path, tmp_path: Path) -> Iterator[Console]:
    machine = guest.install(CACHE, SCRIPT, tmp_path, MODULES)
    devices = ["-drive", f"file={disk},format=raw,if=virtio,snapshot=on"]
    with machine.console([*devices, "-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net"]) as console:
        yield console


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.close()


def node(told: dict[str, Any]) -> str:
    port = told["target_portal"].rpartition(":")[2]
    return f"iscsiadm -m node -T {told['target_iqn']} -p {HOST}:{port}"


def login(console: Console, told: dict[str, Any], **instead: str) -> None:
    """As os-brick does it."""
    auth = {"authmethod": told["auth_method"], "username": told["auth_username"], "password": told["auth_password"]}
    console.run(f"{node(told)} -o new")
    for name, value in (auth | instead).items():
        console.run(f"{node(told)} -o update -n node.session.auth.{name} -v {value}")


def connected(console: Console, told: dict[str, Any]) -> str:
    """Log in; the disk that is there then."""
    login(console, told)
    console.run(f"{node(told)} --login")
    seen = console.run(
        "for i in $(seq 100); do iscsiadm -m session -P 3 | grep -q running && break; sleep 0.1; done; iscsiadm -m session -P 3"
    )
    found = re.search(r"Attached scsi disk (\w+)\s+State: running", seen)
    assert found, seen
    return f"/dev/{found[1]}"


def killed(pid: int | None) -> None:
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until(lambda: not is_alive(pid))


def test_a_file_system_on_a_volume_while_everything_is_killed_in_turn(site: Site, console: Console) -> None:
    client, volume_id = site.client, made(site.client)
    told = attach(client, volume_id, CONNECTOR)["connection_info"]
    device = connected(console, told)
    assert int(console.run(f"blockdev --getsize64 {device}")) == 1 << 30
    wwid = console.run(f"cat /sys/block/{Path(device).name}/device/wwid").strip()
    assert wwid.startswith("naa.6"), wwid
    console.run(f"mkfs.ext4 -q {device} && mkdir -p /mnt && mount {device} /mnt")
    console.run(f"({WRITER}) > /run/writer.log 2>&1 & sleep 1")

    def goes_on(after: str, seconds: float = 90) -> None:
        before, deadline = int(console.run("cat /run/n")), time.monotonic() + seconds
        while int(console.run("cat /run/n")) < before + 3:
            assert time.monotonic() < deadline, f"{after}: {console.run('cat /run/writer.log; dmesg | tail -20')}"
            time.sleep(0.2)

    def snapshot() -> None:
        body = {"snapshot": {"volume_id": volume_id, "force": True}}
        snapshot_id = site.client.call("POST", "/snapshots", body)["snapshot"]["id"]
        until(lambda: site.client.call("GET", f"/snapshots/{snapshot_id}")["snapshot"]["status"] == "available")

    def extend() -> None:
        site.client.call("POST", f"/volumes/{volume_id}/action", {"os-extend": {"new_size": 2}})
        until(lambda: status(site.client, volume_id) == "in-use")

    def restart() -> None:
        site.server.kill()
        site.start()

    def power_cut() -> None:
        killed(listener_of(tgtd))
        for monitor in (site.data_dir / "run" / "nbd" / "one").glob("*.qmp"):
            killed(listener_of(monitor))
        restart()

    tgtd = site.data_dir / "run" / "iscsi" / "tgtd.0"
    goes_on("attached")
    acts: list[Callable[[], None]] = [
        snapshot,
        lambda: killed(child(site.server, "worker")),
        restart,
        extend,
        lambda: killed(listener_of(tgtd)),
        power_cut,
    ]
    for number, act in enumerate(acts):
        act()
        goes_on(f"act {number}")
    assert int(console.run(f"blockdev --getsize64 {device}")) == 1 << 30
    console.run("iscsiadm -m session --rescan")
    assert int(console.run(f"blockdev --getsize64 {device}")) == 2 << 30
    console.run(f"resize2fs {device}")
    goes_on("resized")
    assert console.run(f"cat /sys/block/{Path(device).name}/device/wwid").strip() == wwid
    console.run("test ! -e /run/failed")
    errors = console.run("dmesg | grep -i 'i/o error\\|medium error\\|remount' || true")
    assert not errors.strip(), errors

    console.run("kill %1; wait; dd if=/dev/urandom of=/mnt/large bs=1M count=64 && sync")
    written = console.run("cat /run/n").strip()
    full = room(site)
    console.run("rm /mnt/large && sync && fstrim -v /mnt")
    assert full - room(site) > 60 << 20
    console.run(f"umount /mnt && {node(told)} --logout")
    (attachment,) = site.client.call("GET", "/attachments")["attachments"]
    site.client.call("DELETE", f"/attachments/{attachment['id']}")

    again = attach(site.client, made(site.client, source_volid=volume_id, size=2), CONNECTOR)["connection_info"]
    device = connected(console, again)
    assert console.run(f"cat /sys/block/{Path(device).name}/device/wwid").strip() != wwid
    console.run(f"e2fsck -fn {device} && mount {device} /mnt")
    assert int(console.run("cat /mnt/n")) >= int(written)


def room(site: Site) -> int:
    """Bytes that the volumes take on the disk."""
    return sum(path.stat().st_blocks * 512 for path in (site.data_dir / "volumes").rglob("*") if path.is_file())


def test_who_has_a_wrong_password_or_has_left_is_kept_out(site: Site, console: Console) -> None:
    attachment = attach(site.client, made(site.client), CONNECTOR)
    told = attachment["connection_info"]
    login(console, told, password="0123456789abcdef")
    assert "authorization failure" in console.run(f"{node(told)} --login 2>&1", code=24)
    console.run(f"{node(told)} -o delete")
    console.run("sed -i 's/replacement_timeout = 120/replacement_timeout = 5/' /etc/iscsi/iscsid.conf")
    device = connected(console, told)
    console.run(f"dd if={device} of=/dev/null bs=4k count=1 iflag=direct")
    site.client.call("DELETE", f"/attachments/{attachment['id']}")
    console.run(f"dd if={device} of=/dev/null bs=4k count=1 iflag=direct skip=1", code=1)
    console.run(f"{node(told)} --logout")


def test_a_storage_daemon_that_is_killed_is_followed_by_another(site: Site, console: Console) -> None:
    told = attach(site.client, made(site.client), CONNECTOR)["connection_info"]
    device = connected(console, told)
    console.run(f"dd if=/dev/urandom of={device} bs=4k count=1 oflag=direct")
    before = console.run(f"dd if={device} bs=4k count=1 iflag=direct 2>/dev/null | sha256sum")
    (monitor,) = (site.data_dir / "run" / "nbd" / "one").glob("*.qmp")
    killed(listener_of(monitor))
    again = f"for i in $(seq 100); do dd if={device} bs=4k count=1 iflag=direct 2>/dev/null | sha256sum | tee /run/sum; grep -qxF '{before.strip()}' /run/sum && break; sleep 0.5; done"
    assert before.strip() in console.run(again)


def test_os_brick_connects_grows_and_disconnects_a_volume(site: Site, console: Console) -> None:
    def brick(verb: str, *told: Any) -> Any:
        order = shlex.quote(json.dumps([verb, *told]))
        answer = console.run(f"OSLO_LOCK_PATH=/run/lock python3 -W ignore -c {shlex.quote(BRICK)} {order}", 240)
        return json.loads(answer.partition("ANSWER ")[2])

    connector = brick("get_connector_properties")
    assert connector["initiator"] == OURS
    volume_id = made(site.client)
    attachment = attach(site.client, volume_id, connector)
    port = attachment["connection_info"]["target_portal"].rpartition(":")[2]
    told = attachment["connection_info"] | {"target_portal": f"{HOST}:{port}"}
    device = brick("connect_volume", told)
    assert device["type"] == "block"
    console.run(f"dd if=/dev/urandom of={device['path']} bs=1M count=4 oflag=direct")
    before = console.run(f"dd if={device['path']} bs=1M count=4 iflag=direct 2>/dev/null | sha256sum")
    site.client.call("POST", f"/volumes/{volume_id}/action", {"os-extend": {"new_size": 2}})
    until(lambda: status(site.client, volume_id) == "in-use")
    assert brick("extend_volume", told) == 2 << 30
    assert console.run(f"dd if={device['path']} bs=1M count=4 iflag=direct 2>/dev/null | sha256sum") == before
    brick("disconnect_volume", told, device)
    console.run("iscsiadm -m session 2>&1", code=21)
    site.client.call("DELETE", f"/attachments/{attachment['id']}")
    until(lambda: status(site.client, volume_id) == "available")
