"""A whole service with volumes on a real Ceph: images of the real Glance in the same cluster, clients, kills, the doctor."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from breezeblock.drivers.conformance.storage import CONNECTOR
from breezeblock.drivers.rbd.names import GONE
from scripts.service import BREEZEBLOCK, Service
from tests.ceph import Ceph
from tests.clients.test_lazy_hydration import until
from tests.openstack_client import OpenStack, image_file
from tests.processes import free_port
from tests.real.conftest import Cloud
from tests.real.identity import REGION
from tests.real.peers import PASSWORD

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

CONF = """
[DEFAULT]
enabled_backends = ceph, plain
{images}
[ceph]
volume_driver = rbd
rbd_pool = volumes
rbd_user = cinder
rbd_ceph_conf = {ceph}
rbd_operation_timeout = 5
{options}
[plain]
volume_driver = directory
"""
GLANCE = """
[glance]
auth_url = {auth_url}
username = breezeblock
password = {password}
project_name = service
region_name = {region}
endpoint_override = {url}
"""


@contextmanager
def serving(directory: Path, ceph: Ceph, images: str = "", options: str = "") -> Iterator[Service]:
    """A service with the backends `ceph` and `plain`; the pool is empty before, and has to be so after."""
    ceph.wipe("volumes")
    data_dir = directory / "data"
    data_dir.mkdir(mode=0o700)
    service, glance = ("image_service = glance", images) if images else ("", "")
    conf = CONF.format(images=service, ceph=ceph.conf, options=options) + glance
    (data_dir / "breezeblock.conf").write_text(conf)
    with Service(data_dir) as running:
        running.wait_until_up()
        until(
            lambda: len(running.client.call("GET", "/scheduler-stats/get_pools")["pools"]) == 2
        )  # Ceph is the later one
        for backend in ("ceph", "plain"):
            running.create("type", name=backend, extra_specs={"volume_backend_name": backend})
        yield running
        for one in running.client.call("GET", "/attachments?all_tenants=1")["attachments"]:
            running.client.call("DELETE", f"/attachments/{one['id']}")
        for kind in ("snapshots", "volumes"):
            for one in running.client.call("GET", f"/{kind}/detail?all_tenants=1")[kind]:
                running.client.call("DELETE", f"/{kind}/{one['id']}")
            running.wait_until_none(kind)
    cached = [name for name in ceph.images("volumes") if not name.endswith(GONE)]
    assert len(cached) <= 1, "what is left is an entry of the image cache at most"


def show(running: Service, volume_id: str) -> dict[str, Any]:
    """A volume, as the API shows it."""
    shown: dict[str, Any] = running.client.call("GET", f"/volumes/{volume_id}")["volume"]
    return shown


def make(running: Service, **fields: Any) -> str:
    """A volume that is there."""
    volume_id = running.create("volume", **{"size": 1, "volume_type": "ceph", **fields})
    for _ in running.watch(volume_id):
        pass
    assert show(running, volume_id)["status"] == "available"
    return volume_id


def answers(running: Service, volume_id: str) -> dict[str, tuple[str, str]]:
    """What each rung of the ladder answered, and why."""
    (operation,) = running.client.call("GET", f"/operations?resource_id={volume_id}")["operations"]
    told = running.client.call("GET", f"/operations/{operation['id']}")["operation"]["answers"]
    return {one["step"]: (one["outcome"], str(one.get("reason", ""))) for one in told}


@pytest.fixture
def glance(cloud: Cloud, ceph: Ceph, tmp_path: Path) -> Iterator[tuple[str, OpenStack]]:
    """A Glance that keeps its images in the cluster: its section of the configuration, and a client of it."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    clouds_yaml = tmp_path / "clouds.yaml"
    text = cloud.clouds_yaml.read_text()
    clouds_yaml.write_text(text.replace("    region_name:", f"    image_endpoint_override: {url}\n    region_name:"))
    with cloud.installed.start_glance_on_ceph(port, cloud.auth_url, ceph):
        section = GLANCE.format(auth_url=cloud.auth_url, password=PASSWORD, region=REGION, url=url)
        yield section, OpenStack(clouds_yaml, "demo")


def test_images_of_glance_in_the_same_cluster(glance: tuple[str, OpenStack], ceph: Ceph, tmp_path: Path) -> None:
    """A raw one is cloned in constant time; a qcow2 is declined there and downloaded, and cached by a clone."""
    section, openstack = glance
    qcow2 = image_file(tmp_path)
    raw = qcow2.with_name("disk.raw")
    for name, disk_format, file in (("raw", "raw", raw), ("qcow2", "qcow2", qcow2), ("lies", "raw", qcow2)):
        openstack("image", "create", "--disk-format", disk_format, "--file", file, name)
    ids = {name: openstack.json("image", "show", name)["id"] for name in ("raw", "qcow2", "lies")}
    with serving(tmp_path, ceph, section) as running:
        volume_id = make(running, imageRef=ids["raw"], size=2)
        assert answers(running, volume_id)["driver_clone"][0] == "made"
        parent = ceph.told("rbd", "info", f"volumes/volume-{volume_id}")["parent"]
        assert (parent["pool"], parent["image"]) == ("images", ids["raw"])
        assert digest(ceph, volume_id, 64) == digest_of(raw)
        assert show(running, volume_id)["bootable"] == "true"

        downloaded = make(running, imageRef=ids["qcow2"])
        told = answers(running, downloaded)
        assert told["driver_clone"] == ("declined", "Ceph clones raw images only; this one is qcow2.")
        assert "made" in {told[rung][0] for rung in ("cached", "download") if rung in told}
        assert digest(ceph, downloaded, 64) == digest_of(raw)
        cached = make(running, imageRef=ids["qcow2"])
        assert digest(ceph, cached, 64) == digest_of(raw)

        refused = running.create("volume", size=1, volume_type="ceph", imageRef=ids["lies"])
        until(lambda: show(running, refused)["status"] == "error")
        assert f"volume-{refused}" not in ceph.images("volumes")
    for image_id in ids.values():
        ceph.wipe("volumes")
        openstack("image", "delete", image_id)


def test_a_whole_life(ceph: Ceph, tmp_path: Path) -> None:
    """What clients see: snapshots, clones, growth, a backend beside it, attachments with Cinder's connection_info."""
    with serving(tmp_path, ceph) as running:
        volume_id = make(running)
        snapshot_id = running.create("snapshot", volume_id=volume_id)
        for _ in running.watch(snapshot_id):
            pass
        copy, clone = make(running, snapshot_id=snapshot_id), make(running, source_volid=volume_id)
        ceph.wait_for_images("volumes", *(f"volume-{one}" for one in (volume_id, copy, clone)))
        running.client.call("POST", f"/volumes/{clone}/action", {"os-extend": {"new_size": 3}})
        until(lambda: show(running, clone)["size"] == 3 and show(running, clone)["status"] == "available")
        assert ceph.told("rbd", "info", f"volumes/volume-{clone}")["size"] == 3 << 30
        moved = make(running, volume_type="plain")
        running.client.call(
            "POST", f"/volumes/{moved}/action", {"os-retype": {"new_type": "ceph", "migration_policy": "on-demand"}}
        )
        until(lambda: f"volume-{moved}" in ceph.images("volumes") and show(running, moved)["status"] == "available")
        write(ceph, f"volumes/volume-{moved}", 0x33)
        running.client.call(
            "POST", f"/volumes/{moved}/action", {"os-retype": {"new_type": "plain", "migration_policy": "on-demand"}}
        )
        until(lambda: f"volume-{moved}" not in ceph.images("volumes") and show(running, moved)["status"] == "available")
        subprocess.run(["qemu-io", "-f", "raw", "-c", "read -P 0x33 0 64k", connect(running, moved)], check=True)
        subprocess.run(["qemu-io", "-f", "raw", "-c", "write -P 0x44 0 64k", connect(running, copy)], check=True)
        holds(ceph, f"volumes/volume-{copy}", 0x44)

        connection = attach(running, volume_id)
        assert connection["driver_volume_type"] == "rbd"
        assert connection["name"] == f"volumes/volume-{volume_id}"
        write(ceph, connection["name"], 0x5A)
        holds(ceph, connection["name"], 0x5A)
        told = subprocess.run(
            ["qemu-img", "info", "--output=json", "-f", "raw", uri(ceph, connection["name"])],
            check=True,
            capture_output=True,
        )
        assert json.loads(told.stdout)["virtual-size"] == 1 << 30


def test_a_cluster_that_hangs_holds_up_nothing_else(ceph: Ceph, tmp_path: Path) -> None:
    """The API answers and the other backend works meanwhile; then the backend is there again by itself."""
    with serving(tmp_path, ceph) as running:
        make(running)
        ceph.stop("osd")
        try:
            waiting = [running.create("volume", size=1, volume_type="ceph") for _ in range(3)]
            make(running, volume_type="plain")
            until(lambda: all(show(running, one)["status"] == "error" for one in waiting), seconds=120)
        finally:
            ceph.resume("osd")
        until(lambda: _makes(running), seconds=120)


def _makes(running: Service) -> bool:
    volume_id = running.create("volume", size=1, volume_type="ceph")
    until(lambda: show(running, volume_id)["status"] in {"available", "error"}, seconds=60)
    return bool(show(running, volume_id)["status"] == "available")


def test_the_doctor_finds_what_was_planted(ceph: Ceph, tmp_path: Path) -> None:
    """Orphans, a ghost and a stray snapshot in the pool are told, and cleared by --fix."""
    with serving(tmp_path, ceph) as running:
        kept, ghost = make(running), make(running)
        orphan = "0c0c0c0c-0000-4000-8000-00000000000"
        ceph.run("rbd", "create", "--size", "1G", f"volumes/volume-{orphan}1")
        ceph.run("rbd", "create", "--size", "1G", f"volumes/volume-{orphan}2.tmp")
        ceph.run("rbd", "snap", "create", f"volumes/volume-{kept}@snapshot-{orphan}3")
        ceph.run("rbd", "snap", "create", f"volumes/volume-{kept}@clone-volume-{orphan}4")
        ceph.run("rbd", "rm", f"volumes/volume-{ghost}")
        code, told = doctor(running)
        found = {(one["kind"], one["id"]) for one in told["findings"]}
        assert code == 1
        assert {("orphan", f"{orphan}1"), ("orphan", f"{orphan}3"), ("ghost", ghost)} <= found, found
        assert {f"{orphan}{number}" for number in (2, 4)} <= {one for _, one in found}, found
        code, told = doctor(running, "--fix", "--yes")
        assert (code, told["findings"]) == (0, []), told
        ceph.wait_for_images("volumes", f"volume-{kept}")
        assert ceph.told("rbd", "snap", "ls", f"volumes/volume-{kept}") == []


def doctor(running: Service, *options: str) -> tuple[int, dict[str, Any]]:
    """Exit code of `breezeblock doctor`, and what it tells."""
    command: list[str | Path] = [BREEZEBLOCK, "doctor", "--json", "--data-dir", running.data_dir, *options]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode in {0, 1}, ran.stderr
    return ran.returncode, json.loads(ran.stdout)


def attach(running: Service, volume_id: str) -> dict[str, Any]:
    """Attach a volume to a host; its connection_info."""
    body = {"attachment": {"volume_uuid": volume_id, "connector": dict(CONNECTOR)}}
    attachment = running.client.call("POST", "/attachments", body)["attachment"]["id"]
    info: dict[str, Any] = {}

    def told() -> bool:
        info.update(running.client.call("GET", f"/attachments/{attachment}")["attachment"]["connection_info"] or {})
        return bool(info)

    until(told)
    return info


def connect(running: Service, volume_id: str) -> str:
    """The URI that `breezeblock connect` prints."""
    command: list[str | Path] = [BREEZEBLOCK, "connect", volume_id, "--data-dir", running.data_dir]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def uri(ceph: Ceph, name: str) -> str:
    """As a host opens it whose keyring and configuration are those of the cluster."""
    return f"rbd:{name}:id=cinder:conf={ceph.conf}"


def write(ceph: Ceph, name: str, byte: int) -> None:
    """Write as a client does, by qemu-io."""
    subprocess.run(["qemu-io", "-f", "raw", "-c", f"write -P {byte} 0 64k", uri(ceph, name)], check=True)


def holds(ceph: Ceph, name: str, byte: int) -> None:
    """Hold that a client reads what `write` wrote."""
    subprocess.run(["qemu-io", "-f", "raw", "-c", f"read -P {byte} 0 64k", uri(ceph, name)], check=True)


def digest(ceph: Ceph, volume_id: str, mib: int) -> str:
    """The hash of the first MiB of a volume."""
    command = ["rbd", "-c", str(ceph.conf), "export", "--no-progress", f"volumes/volume-{volume_id}", "-"]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE) as export,
        subprocess.Popen(
            ["sh", "-c", f"head -c {mib}M | sha256sum"], stdin=export.stdout, stdout=subprocess.PIPE, text=True
        ) as hashing,
    ):
        found = hashing.communicate()[0].split()[0]
        os.kill(export.pid, signal.SIGKILL)
    return found


def digest_of(file: Path) -> str:
    """The hash of a file."""
    return subprocess.run(["sha256sum", file], check=True, capture_output=True, text=True).stdout.split()[0]
