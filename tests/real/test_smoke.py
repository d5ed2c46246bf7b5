"""One tour with the unmodified openstack client through real Keystone, real Glance and Breezeblock."""

import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.openstack_client import OpenStack, OpenStackFailed, image_file
from tests.real.conftest import Cloud

pytestmark = [pytest.mark.real, pytest.mark.timeout(600), pytest.mark.usefixtures("breezeblock")]


def test_the_tour(openstack: OpenStack, tmp_path: Path) -> None:
    file = image_file(tmp_path)
    openstack("image", "create", "--disk-format", "qcow2", "--property", "os_distro=debian", "--file", file, "disk")
    image_id = openstack.json("image", "show", "disk")["id"]

    openstack("volume", "create", "--image", "disk", "--size", "1", "root")
    volume = openstack.available("volume", name="root")
    assert (volume["size"], volume["bootable"]) == (1, True)
    assert volume["volume_image_metadata"]["image_id"] == image_id
    assert volume["volume_image_metadata"]["os_distro"] == "debian"

    openstack("volume", "snapshot", "create", "--volume", "root", "before")
    snapshot = openstack.available("volume", "snapshot", name="before")
    assert (snapshot["volume_id"], snapshot["size"]) == (volume["id"], 1)

    openstack("volume", "create", "--source", "root", "copy")
    assert openstack.available("volume", name="copy")["source_volid"] == volume["id"]
    openstack("volume", "create", "--snapshot", "before", "again")
    assert openstack.available("volume", name="again")["snapshot_id"] == snapshot["id"]

    openstack("volume", "set", "--size", "2", "copy")
    assert openstack.available("volume", name="copy")["size"] == 2

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
    openstack.gone("volume", "snapshot", names={"before"})
    openstack("volume", "delete", "root")
    openstack.gone("volume", names={"root", "copy", "again"})
    assert openstack.json("volume", "list") == []
    openstack("image", "delete", "disk")


def test_another_project_sees_nothing(openstack: OpenStack, other: OpenStack) -> None:
    volume_id = openstack.json("volume", "create", "--size", "1", "private")["id"]
    openstack.available("volume", name="private")
    assert other.json("volume", "list") == []
    with pytest.raises(OpenStackFailed, match=r"(?i)no volume|not found|could not be found"):
        other("volume", "show", volume_id)
    openstack("volume", "delete", "private")
    openstack.gone("volume", names={"private"})


def test_without_a_token_there_is_no_entry(cloud: Cloud) -> None:
    url = f"http://127.0.0.1:{cloud.volume_port}/v3/{cloud.project_ids['demo']}/volumes"
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(url)
    with refused.value as answer:
        assert answer.code == 401
