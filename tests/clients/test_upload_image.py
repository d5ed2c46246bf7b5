"""A volume becomes an image by the clients that users have, and a volume of the same content again."""

import json
import subprocess
from pathlib import Path

import pytest
from cinderclient.client import Client as Cinder
from keystoneauth1.noauth import NoAuth
from keystoneauth1.session import Session

from breezeblock.config import DEFAULT_PROJECT
from scripts.service import BREEZEBLOCK, Service
from tests.openstack_client import OpenStack, OpenStackFailed, image_file


@pytest.fixture
def root(openstack: OpenStack, tmp_path: Path) -> Path:
    """The file of the image that the volume `root` is made of."""
    file = image_file(tmp_path)
    openstack("image", "create", "--disk-format", "qcow2", "--property", "os_distro=debian", "--file", file, "disk")
    openstack("volume", "create", "--image", "disk", "--size", "1", "root")
    openstack.available("volume", name="root")
    return file


def test_the_openstack_client(service: Service, openstack: OpenStack, root: Path, tmp_path: Path) -> None:
    begun = openstack.json("image", "create", "--volume", "root", "--disk-format", "vmdk", "golden")
    assert (begun["status"], begun["image_name"], begun["visibility"]) == ("uploading", "golden", "private")
    assert begun["volume_type"] == "__DEFAULT__"
    *_, operation = service.watch(begun["id"])
    assert (operation["kind"], operation["state"]) == ("upload_image", "succeeded")
    assert operation["bytes_done"] == operation["bytes_total"] == 1 << 30

    image = openstack.json("image", "show", "golden")
    assert (image["id"], image["status"], image["disk_format"]) == (begun["image_id"], "active", "vmdk")
    assert image["properties"]["os_distro"] == "debian"
    openstack("image", "save", "--file", tmp_path / "saved", "golden")
    subprocess.run(["qemu-img", "compare", "-f", "vmdk", "-F", "qcow2", tmp_path / "saved", root], check=True)

    told = subprocess.run(
        [BREEZEBLOCK, "explain", "root", "--json", "--data-dir", service.data_dir], capture_output=True, check=True
    )
    upload = json.loads(told.stdout)["operations"][0]
    (answer,) = upload["answers"]
    assert (answer["step"], answer["outcome"], answer["given"]["disk_format"]) == ("upload", "done", "vmdk")
    assert answer["result"]["size"] == image["size"]

    openstack("volume", "create", "--image", "golden", "--size", "1", "copy")
    openstack.available("volume", name="copy")
    with service.connected("copy") as uri:
        subprocess.run(["qemu-img", "compare", "-f", "qcow2", "-F", "raw", root, uri], check=True)
    openstack("volume", "delete", "root", "copy")
    openstack.gone("volume", names={"root", "copy"})
    openstack("image", "delete", "golden", "disk")
    assert openstack.json("image", "list") == []


def test_a_volume_in_use(service: Service, openstack: OpenStack, root: Path, tmp_path: Path) -> None:
    """Refused without --force; with it the image is what a client of the export had flushed by then."""
    with service.connected("root") as uri:
        write(uri, 0x62)
        with pytest.raises(OpenStackFailed, match="status must be available"):
            openstack("image", "create", "--volume", "root", "golden")
        begun = openstack.json("image", "create", "--force", "--volume", "root", "--disk-format", "vhd", "golden")
        *_, operation = service.watch(begun["id"])
        assert operation["state"] == "succeeded", operation["message"]
        assert openstack.json("volume", "show", "root")["status"] == "in-use"
        write(uri, 0x63)
    openstack("image", "save", "--file", tmp_path / "saved", "golden")
    raw = tmp_path / "raw"
    subprocess.run(["qemu-img", "convert", "-f", "vpc", "-O", "raw", tmp_path / "saved", raw], check=True)
    with raw.open("rb") as disk:
        disk.seek(900 << 20)
        assert disk.read(4096) == b"b" * 4096
    assert raw.stat().st_size == 1 << 30


def write(uri: str, pattern: int) -> None:
    """What a guest does: write a block and flush it."""
    subprocess.run(["qemu-io", "-f", "raw", "-c", f"write -P {pattern} 900M 4k", "-c", "flush", uri], check=True)


def test_cinderclient(service: Service, openstack: OpenStack, root: Path) -> None:
    endpoint = f"http://{service.address}/v3/{DEFAULT_PROJECT}"
    cinder = Cinder("3.71", session=Session(auth=NoAuth(endpoint=endpoint)), endpoint_override=endpoint)
    (volume,) = cinder.volumes.list(search_opts={"name": "root"})
    _, body = volume.upload_to_image(False, "golden", "bare", "qcow2", "shared", True)
    begun = body["os-volume_upload_image"]
    assert (begun["status"], begun["visibility"], begun["protected"]) == ("uploading", "shared", True)
    service.watch(volume.id)
    shown = openstack.json("image", "show", "golden")
    assert (shown["status"], shown["visibility"], shown["protected"]) == ("active", "shared", True)
    old = Cinder("3.0", session=Session(auth=NoAuth(endpoint=endpoint)), endpoint_override=endpoint)
    old.volumes.upload_to_image(volume.id, False, "older", "bare", "vdi")
    service.watch(volume.id)
    assert openstack.json("image", "show", "older")["status"] == "active"
