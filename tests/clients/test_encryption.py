"""An encrypted volume by the unmodified openstack client, opened by QEMU through its export, as a hypervisor does."""

import subprocess
from pathlib import Path

import pytest

from scripts.service import BREEZEBLOCK, Service, files_left
from tests.openstack_client import OpenStack, image_file

MIB = 1 << 20
OPTIONS = {
    "provider": "luks",
    "cipher": "aes-xts-plain64",
    "key-size": "256",
    "control-location": "front-end",
}


@pytest.mark.timeout(900)
def test_an_encrypted_volume(service: Service, openstack: OpenStack, tmp_path: Path) -> None:
    options = [word for name, value in OPTIONS.items() for word in (f"--encryption-{name}", value)]
    made = openstack.json("volume", "type", "create", *options, "secret")
    assert made["encryption"]["cipher"] == "aes-xts-plain64"
    (shown,) = [row for row in openstack.json("volume", "type", "list", "--encryption-type") if row["Name"] == "secret"]
    assert shown["Encryption"].items() >= {"provider": "luks", "key_size": 256, "control_location": "front-end"}.items()

    file = image_file(tmp_path)
    openstack("image", "create", "--disk-format", "qcow2", "--file", file, "disk")
    openstack("volume", "create", "--image", "disk", "--size", "1", "--type", "secret", "root")
    volume = openstack.available("volume", name="root")
    assert volume["encrypted"] is True
    openstack("volume", "create", "--source", "root", "copy")
    copy = openstack.available("volume", name="copy")
    assert copy["encrypted"] is True

    for name in ("root", "copy"):
        assert inside(service, name, tmp_path) == (tmp_path / "disk.raw").read_bytes()
    openstack("volume", "delete", "root", "copy")
    openstack.gone("volume", names={"root", "copy"})
    openstack("volume", "type", "set", "--encryption-key-size", "512", "secret")
    openstack("volume", "type", "unset", "--encryption-type", "secret")
    openstack("image", "delete", "disk")
    assert list((service.data_dir / "keys").iterdir()) == []
    assert files_left(service.data_dir) == []


def inside(service: Service, name: str, tmp_path: Path) -> bytes:
    """The first 64 MiB that a hypervisor sees, which has the key of the key manager."""
    run: list[str | Path] = [BREEZEBLOCK, "connect", name, "--data-dir", service.data_dir]
    uri = subprocess.run(run, check=True, capture_output=True, text=True).stdout.strip()
    path, _, socket = uri.removeprefix("nbd+unix:///").partition("?socket=")
    volume = service.client.call("GET", f"/volumes/{service.client.volume_id(name)}")["volume"]
    key = service.data_dir / "keys" / volume["encryption_key_id"]
    container = f"driver=luks,key-secret=key,file.driver=nbd,file.server.type=unix,file.server.path={socket}"
    argv: list[str | Path] = ["qemu-img", "dd", "--object", f"secret,id=key,file={key}", "--image-opts", "-O", "raw"]
    plain = tmp_path / "plain"
    subprocess.run([*argv, "bs=1M", "count=64", f"if={container},file.export={path}", f"of={plain}"], check=True)
    subprocess.run([BREEZEBLOCK, "disconnect", name, "--data-dir", service.data_dir], check=True)
    content = plain.read_bytes()
    plain.unlink()
    return content
