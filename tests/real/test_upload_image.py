"""A volume becomes an image of the real Glance, in every format, and a volume again; what is cut off leaves no image."""

import functools
import json
import random
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from breezeblock.context import RequestContext
from breezeblock.errors import NotFound
from breezeblock.flows.engine import WorkerStopping
from breezeblock.images.glance import GlanceCatalog
from breezeblock.services.operations import cancel_operation
from breezeblock.services.uploads import UploadImage, upload_image
from tests.cloud import Cloud as Own
from tests.openstack_client import OpenStack, OpenStackFailed, image_file
from tests.processes import Server
from tests.real.conftest import Cloud
from tests.real.identity import REGION
from tests.real.peers import PASSWORD

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

QEMU = {"raw": "raw", "qcow2": "qcow2", "vmdk": "vmdk", "vhd": "vpc", "vdi": "vdi"}
WAIT_SECONDS = 300
PROJECT = RequestContext(user_id="user", project_id="e0e0e0e0000040008000000000000001", roles=("member",))
GLANCE = """
[DEFAULT]
enabled_backends = one
[one]
volume_driver = directory
[glance]
auth_url = {auth_url}
username = breezeblock
password = {password}
project_name = service
region_name = {region}
"""


@pytest.fixture
def root(breezeblock: Server, openstack: OpenStack, tmp_path: Path) -> Any:
    """A volume with a file system, made of an image with properties; and the image's file."""
    file = image_file(tmp_path)
    openstack("image", "create", "--disk-format", "qcow2", "--property", "os_distro=debian", "--file", file, "disk")
    openstack("volume", "create", "--image", "disk", "--size", "1", "root")
    yield openstack.available("volume", name="root"), file
    openstack("volume", "delete", "root")
    openstack.gone("volume", names={"root"})
    openstack("image", "delete", "disk")


def uploaded(openstack: OpenStack, name: str) -> Any:
    """The image, once the volume is at rest again."""
    deadline = time.monotonic() + WAIT_SECONDS
    while (volume := openstack.json("volume", "show", "root"))["status"] == "uploading":
        assert time.monotonic() < deadline, volume
        time.sleep(0.2)
    return openstack.json("image", "show", name)


def operations(cloud: Cloud, openstack: OpenStack, volume_id: str) -> Any:
    """What the service did to the volume, the newest first."""
    token = openstack.json("token", "issue")
    url = f"http://127.0.0.1:{cloud.volume_port}/v3/{token['project_id']}/operations?resource_id={volume_id}"
    request = urllib.request.Request(url, headers={"X-Auth-Token": token["id"]})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["operations"]


@pytest.mark.parametrize("disk_format", QEMU)
def test_there_and_back(openstack: OpenStack, root: Any, disk_format: str, tmp_path: Path) -> None:
    volume, file = root
    begun = openstack.json("image", "create", "--volume", "root", "--disk-format", disk_format, "golden")
    assert (begun["status"], begun["disk_format"], begun["visibility"]) == ("uploading", disk_format, "private")
    assert begun["volume_type"] == volume["type"]
    image = uploaded(openstack, "golden")
    assert (image["id"], image["status"], image["disk_format"]) == (begun["image_id"], "active", disk_format)
    assert image["virtual_size"] == 1 << 30
    assert image["properties"]["os_distro"] == "debian"
    saved = tmp_path / "saved"
    openstack("image", "save", "--file", saved, "golden")
    assert saved.stat().st_size == image["size"]
    # a disk of 64 MiB in a volume of 1 GiB: behind it all is zero
    subprocess.run(["qemu-img", "compare", "-f", QEMU[disk_format], "-F", "qcow2", saved, file], check=True)
    openstack("volume", "create", "--image", "golden", "--size", "1", "copy")
    copy = openstack.available("volume", name="copy")
    assert copy["volume_image_metadata"]["image_id"] == image["id"]
    openstack("volume", "delete", "copy")
    openstack.gone("volume", names={"copy"})
    openstack("image", "delete", "golden")


def test_a_protected_image(cloud: Cloud, openstack: OpenStack, root: Any) -> None:
    volume, _ = root
    begun = openstack.json(
        "image", "create", "--volume", "root", "--protected", "--private", "--disk-format", "qcow2", "golden"
    )
    assert (begun["protected"], begun["visibility"]) == (True, "private")
    image = uploaded(openstack, "golden")
    assert (image["status"], image["protected"]) == ("active", True)
    assert operations(cloud, openstack, volume["id"])[0]["state"] == "succeeded"
    with pytest.raises(OpenStackFailed, match="protected"):
        openstack("image", "delete", "golden")
    openstack("image", "set", "--unprotected", "golden")
    openstack("image", "delete", "golden")


class Cut:
    """Data that end their worker after some pieces, as often as `times` says."""

    def __init__(self, pieces: Any, times: list[int]) -> None:
        self._pieces, self._times, self.length = pieces, times, pieces.length

    def __iter__(self) -> Iterator[bytes]:
        for number, piece in enumerate(self._pieces):
            yield piece
            if self._times and number == 3:
                self._times.pop()
                raise WorkerStopping


@pytest.mark.parametrize("disk_format", ["qcow2", "vmdk"])
def test_cut_off_and_begun_anew(cloud: Cloud, tmp_path: Path, monkeypatch: Any, disk_format: str) -> None:
    """Once with a length that Glance knows, once in chunks."""
    with service(cloud, tmp_path) as own:
        content = random.Random(1).randbytes(20 << 20)
        with own.running():
            volume = own.made(PROJECT, size=1)
            own.driver.copy_image_to_volume(volume, "test", lambda target: target.pwrite(content, 5 << 20))
        cuts = [1, 1]
        upload = GlanceCatalog.upload
        monkeypatch.setattr(
            GlanceCatalog,
            "upload",
            lambda self, context, image, pieces: upload(self, context, image, Cut(pieces, cuts)),
        )
        request = UploadImage(image_name="cut", disk_format=disk_format, protected=True)
        begun = upload_image(own.database, own.settings, own.images, PROJECT, volume.id, request)
        for left in (1, 0):
            with own.running():
                until(functools.partial(lambda left: len(cuts) == left, left))
        with own.running():
            operation = own.settled(volume.id, seconds=WAIT_SECONDS)
        assert operation.state == "succeeded", operation.message
        image = own.images.get(PROJECT, begun.image.id)
        assert (image.status, image.virtual_size, image.owner) == ("active", 1 << 30, PROJECT.project_id)
        own.images.discard(image.id)  # which is protected
        with pytest.raises(NotFound):
            own.images.get(PROJECT, image.id)


def test_cancelled(cloud: Cloud, tmp_path: Path) -> None:
    with service(cloud, tmp_path) as own, own.running():
        volume = own.made(PROJECT, size=1)
        request = UploadImage(image_name="raw", protected=True)
        begun = upload_image(own.database, own.settings, own.images, PROJECT, volume.id, request)
        (first,) = [one for one in own.operations(volume.id) if one.kind == "upload_image"]
        until(lambda: own.operations(volume.id)[0].bytes_done or own.operations(volume.id)[0].state != "running")
        cancel_operation(own.database, PROJECT, first.id)
        operation = own.settled(volume.id, seconds=WAIT_SECONDS)
        assert operation.state == "cancelled", operation.message
        assert own.volume(volume.id).status == "available"
        with pytest.raises(NotFound):
            own.images.get(PROJECT, begun.image.id)


def until(done: Callable[[], Any]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextmanager
def service(cloud: Cloud, tmp_path: Path) -> Iterator[Any]:
    """A service in this process, whose images are the real Glance's."""
    made = Own(tmp_path / "own", GLANCE.format(auth_url=cloud.auth_url, password=PASSWORD, region=REGION))
    made.images = GlanceCatalog(made.settings.glance)
    made.backend = msgspec.structs.replace(made.backend, images=made.images)
    try:
        yield made
    finally:
        made.images.close()
        made.close()
