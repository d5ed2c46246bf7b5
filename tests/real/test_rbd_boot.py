"""A Debian guest boots from a volume on a real Ceph, opened by its connection_info as libvirt does it."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from bench.image_path import images as disks
from tests.ceph import Ceph
from tests.real import guest
from tests.real.test_lazy_boot import CACHE, SCRIPT
from tests.real.test_rbd_service import attach, connect, make, serving

pytestmark = [pytest.mark.real, pytest.mark.timeout(1800)]


def test_a_guest_boots_from_ceph(ceph: Ceph, tmp_path: Path) -> None:
    """By Ceph, from what it is told of monitors, user and secret alone; then by NBD, from what it wrote the first time."""
    disks.make(CACHE / "bench-image", ["qcow2"])
    file = CACHE / "bench-image" / disks.file_name("qcow2")
    machine = guest.install(CACHE / "guest", SCRIPT, tmp_path)
    with serving(tmp_path, ceph) as running:
        image_id = running.image("debian", "qcow2")
        with file.open("rb") as content:
            running.upload(image_id, content, file.stat().st_size)
        volume_id = make(running, size=4, imageRef=image_id)
        info = attach(running, volume_id)
        first = machine.boot_from(_disk(info, ceph, tmp_path), tmp_path / "first.log")
        for one in running.client.call("GET", "/attachments?all_tenants=1")["attachments"]:
            running.client.call("DELETE", f"/attachments/{one['id']}")
        second = machine.boot(connect(running, volume_id), tmp_path / "second.log")
    for told in (first, second):
        assert "IT IS UP" in told, told
    assert [len(re.findall(r"^\d{10}\r?$", told, re.MULTILINE)) for told in (first, second)] == [0, 1]


def _disk(info: dict[str, Any], ceph: Ceph, directory: Path) -> list[str]:
    """QEMU's arguments; the key is in a file, as libvirt has it of the secret `secret_uuid`."""
    key = directory / "key"
    with open(os.open(key, os.O_CREAT | os.O_WRONLY, 0o600), "w") as secret:
        secret.write((ceph.home / "ceph.client.cinder.keyring").read_text().partition("key = ")[2].strip())
    pool, _, image = info["name"].partition("/")
    assert info["auth_enabled"]
    opened = {
        "driver": "rbd",
        "node-name": "disk",
        "pool": pool,
        "image": image,
        "user": info["auth_username"],
        "auth-client-required": ["cephx"],
        "key-secret": "key",
        "server": [{"host": host, "port": port} for host, port in zip(info["hosts"], info["ports"], strict=True)],
        "discard": "unmap" if info["discard"] else "ignore",
    }
    return [
        *("-object", f"secret,id=key,file={key},format=base64"),
        *("-blockdev", json.dumps(opened), "-device", "virtio-blk-pci,drive=disk"),
    ]
