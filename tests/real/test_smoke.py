"""One tour with the unmodified openstack client through real Keystone, real Glance and Breezeblock."""

import os
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.real.conftest import Cloud, OpenStack, OpenStackFailed

pytestmark = [pytest.mark.real, pytest.mark.timeout(600), pytest.mark.usefixtures("breezeblock")]

WAIT_SECONDS = 120


def image_file(directory: Path) -> Path:
    """A qcow2 of 64 MiB with an ext4 file system that holds a file."""
    tree, raw, qcow2 = directory / "tree", directory / "disk.raw", directory / "disk.qcow2"
    tree.mkdir()
    (tree / "greeting").write_text("hello from the image\n" * 1000)
    raw.touch()
    os.truncate(raw, 64 << 20)
    subprocess.run(["/sbin/mke2fs", "-q", "-t", "ext4", "-d", tree, raw], check=True)
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, qcow2], check=True)
    return qcow2


class Tour:
    """The steps that wait: a resource until it is available, or until it is gone."""

    def __init__(self, openstack: OpenStack) -> None:
        self._openstack = openstack

    def available(self, *kind: str, name: str) -> Any:
        """Wait until a resource is `available` and return what the client shows of it."""
        deadline = time.monotonic() + WAIT_SECONDS
        while (shown := self._openstack.json(*kind, "show", name))["status"] != "available":
            assert not shown["status"].startswith("error"), shown
            assert time.monotonic() < deadline, shown
        return shown

    def gone(self, *kind: str, names: set[str]) -> None:
        """Wait until no resource of the kind has one of the names."""
        deadline = time.monotonic() + WAIT_SECONDS
        while left := [row for row in self._openstack.json(*kind, "list") if row["Name"] in names]:
            assert all(not row["Status"].startswith("error") for row in left), left
            assert time.monotonic() < deadline, left


def test_the_tour(openstack: OpenStack, tmp_path: Path) -> None:
    tour = Tour(openstack)
    file = image_file(tmp_path)
    openstack("image", "create", "--disk-format", "qcow2", "--property", "os_distro=debian", "--file", file, "disk")
    image_id = openstack.json("image", "show", "disk")["id"]

    openstack("volume", "create", "--image", "disk", "--size", "1", "root")
    volume = tour.available("volume", name="root")
    assert (volume["size"], volume["bootable"]) == (1, True)
    assert volume["volume_image_metadata"]["image_id"] == image_id
    assert volume["volume_image_metadata"]["os_distro"] == "debian"

    openstack("volume", "snapshot", "create", "--volume", "root", "before")
    snapshot = tour.available("volume", "snapshot", name="before")
    assert (snapshot["volume_id"], snapshot["size"]) == (volume["id"], 1)

    openstack("volume", "create", "--source", "root", "copy")
    assert tour.available("volume", name="copy")["source_volid"] == volume["id"]
    openstack("volume", "create", "--snapshot", "before", "again")
    assert tour.available("volume", name="again")["snapshot_id"] == snapshot["id"]

    openstack("volume", "set", "--size", "2", "copy")
    assert tour.available("volume", name="copy")["size"] == 2

    rows = openstack.json("volume", "list", "--long")
    assert {(row["Name"], row["Size"], row["Status"]) for row in rows} == {
        ("root", 1, "available"),
        ("copy", 2, "available"),
        ("again", 1, "available"),
    }

    with pytest.raises(OpenStackFailed, match="snapshot"):
        openstack("volume", "delete", "root")  # it has a snapshot
    openstack("volume", "delete", "copy", "again")
    openstack("volume", "snapshot", "delete", "before")
    tour.gone("volume", "snapshot", names={"before"})
    openstack("volume", "delete", "root")
    tour.gone("volume", names={"root", "copy", "again"})
    assert openstack.json("volume", "list") == []
    openstack("image", "delete", "disk")


def test_another_project_sees_nothing(openstack: OpenStack, other: OpenStack) -> None:
    volume_id = openstack.json("volume", "create", "--size", "1", "private")["id"]
    Tour(openstack).available("volume", name="private")
    assert other.json("volume", "list") == []
    with pytest.raises(OpenStackFailed, match=r"(?i)no volume|not found|could not be found"):
        other("volume", "show", volume_id)
    openstack("volume", "delete", "private")
    Tour(openstack).gone("volume", names={"private"})


def test_without_a_token_there_is_no_entry(cloud: Cloud) -> None:
    url = f"http://127.0.0.1:{cloud.volume_port}/v3/{cloud.project_ids['demo']}/volumes"
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(url)
    with refused.value as answer:
        assert answer.code == 401
