"""The unmodified openstack client, without a Keystone: the whole tour by the clouds.yaml that the service prints."""

from pathlib import Path

import pytest

from scripts.service import Service, files_left
from tests.openstack_client import OpenStack, OpenStackFailed, image_file


def test_the_tour(service: Service, openstack: OpenStack, tmp_path: Path) -> None:
    file = image_file(tmp_path)
    openstack("image", "create", "--disk-format", "qcow2", "--property", "os_distro=debian", "--file", file, "disk")
    image = openstack.json("image", "show", "disk")
    assert (image["status"], image["size"], image["disk_format"]) == ("active", file.stat().st_size, "qcow2")
    assert [row["Name"] for row in openstack.json("image", "list")] == ["disk"]
    openstack("image", "save", "--file", tmp_path / "saved", "disk")
    assert (tmp_path / "saved").read_bytes() == file.read_bytes()

    openstack("volume", "create", "--image", "disk", "--size", "1", "root")
    volume = openstack.available("volume", name="root")
    assert (volume["size"], volume["bootable"]) == (1, True)
    assert volume["volume_image_metadata"]["image_id"] == image["id"]
    assert volume["volume_image_metadata"]["os_distro"] == "debian"

    openstack("volume", "snapshot", "create", "--volume", "root", "before")
    assert openstack.available("volume", "snapshot", name="before")["volume_id"] == volume["id"]
    openstack("volume", "create", "--source", "root", "copy")
    assert openstack.available("volume", name="copy")["source_volid"] == volume["id"]
    openstack("volume", "set", "--size", "2", "copy")
    assert openstack.available("volume", name="copy")["size"] == 2

    rows = openstack.json("volume", "list")
    assert {(row["Name"], row["Size"], row["Status"]) for row in rows} == {
        ("root", 1, "available"),
        ("copy", 2, "available"),
    }

    with pytest.raises(OpenStackFailed, match="snapshot"):
        openstack("volume", "delete", "root")
    openstack("volume", "delete", "copy")
    openstack("volume", "snapshot", "delete", "before")
    openstack.gone("volume", "snapshot", names={"before"})
    openstack("volume", "delete", "root")
    openstack.gone("volume", names={"root", "copy"})
    openstack("image", "delete", "disk")
    assert openstack.json("image", "list") == []
    assert files_left(service.data_dir) == []


def test_what_stands_around_volumes(openstack: OpenStack) -> None:
    openstack("volume", "type", "create", "--property", "volume_backend_name=DS01", "fast")
    assert openstack.json("volume", "type", "show", "fast")["properties"] == {"volume_backend_name": "DS01"}
    assert {row["Zone Name"] for row in openstack.json("availability", "zone", "list", "--volume")} == {"nova"}
    hosts = {(row["Binary"], row["Host"]) for row in openstack.json("volume", "service", "list")}
    assert ("cinder-volume", "jenkins@DS01") in hosts
    pools = {row["Name"] for row in openstack.json("volume", "backend", "pool", "list")}
    assert pools == {"jenkins@DS01#DS02", "localhost@directory#directory"}
