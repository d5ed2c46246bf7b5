"""Daemons of a real Ceph are killed under the flows of a service and started again: nothing is lost, and nobody else waits."""

import hashlib
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from scripts.service import Service
from tests.ceph import Ceph
from tests.clients.test_lazy_hydration import until
from tests.real.test_rbd_service import digest, doctor, make, serving, show

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

MIB = 1 << 20
IMAGE_MIB = 64
OPTIONS = """
rbd_operation_timeout = 300
image_volume_cache_enabled = false
volume_copy_bps_limit = 4000000
"""
"""Ceph has time to come back, and a copy takes long enough to be met in its middle."""


@pytest.fixture
def running(ceph: Ceph, tmp_path: Path) -> Iterator[Service]:
    with serving(tmp_path, ceph, options=OPTIONS) as service:
        yield service


@pytest.fixture
def image(running: Service, tmp_path: Path) -> tuple[str, str]:
    """An image that does not pack; its id, and the hash of what it holds."""
    content = random.Random(6).randbytes(IMAGE_MIB * MIB)
    file = tmp_path / "image"
    file.write_bytes(content)
    image_id = running.image("random", "raw")
    with file.open("rb") as opened:
        running.upload(image_id, opened, len(content))
    return image_id, hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("daemon", ["mon", "osd"])
def test_a_daemon_dies_in_the_middle(running: Service, ceph: Ceph, image: tuple[str, str], daemon: str) -> None:
    """Of a copy, and as others are asked for: all end by themselves with their content."""
    image_id, wanted = image
    source, doomed = make(running, imageRef=image_id), make(running)
    copying = running.create("volume", size=1, volume_type="ceph", imageRef=image_id)
    until(lambda: _is_in_the_middle(running, copying))
    ceph.kill(daemon)
    try:
        asked: list[Callable[[], Any]] = [
            lambda: running.create("volume", size=1, volume_type="ceph", source_volid=source),
            lambda: running.create("snapshot", volume_id=source),
            lambda: running.client.call("DELETE", f"/volumes/{doomed}"),
        ]
        with ThreadPoolExecutor(len(asked)) as threads:
            clone, snapshot, _ = threads.map(lambda ask: ask(), asked)
            make(running, volume_type="plain")  # another backend is not held up, nor is the API
        assert show(running, copying)["status"] == "downloading"
    finally:
        ceph.start(daemon)
        ceph.wait_for_osd()
    until(lambda: all(show(running, one)["status"] == "available" for one in (copying, clone)), seconds=300)
    until(lambda: _status(running, "snapshots", snapshot) == "available", seconds=300)
    until(lambda: f"volume-{doomed}" not in ceph.images("volumes"), seconds=300)
    copy = make(running, snapshot_id=snapshot)
    for one in (source, copying, clone, copy):
        assert digest(ceph, one, IMAGE_MIB) == wanted, one
    assert doctor(running)[1]["findings"] == []


def _is_in_the_middle(running: Service, volume_id: str) -> bool:
    (operation,) = running.client.call("GET", f"/operations?resource_id={volume_id}")["operations"]
    assert operation["state"] != "failed", operation
    return 0 < (operation["bytes_done"] or 0) < IMAGE_MIB * MIB


def _status(running: Service, kind: str, resource_id: str) -> str:
    return str(running.client.call("GET", f"/{kind}/{resource_id}")[kind.removesuffix("s")]["status"])
