"""Lazy hydration on a running service: an image service over HTTP, and each process killed while the image comes."""

import contextlib
import hashlib
import os
import random
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.service import Service
from tests.clients.test_processes import child
from tests.drivers.nbd_client import NbdClient
from tests.range_service import RangeService

CONF = """
[DEFAULT]
enabled_backends = one
image_service = glance
[glance]
endpoint_override = {url}
[one]
volume_driver = directory
directory_reflink = never
"""
SIZE = 48 << 20


@pytest.fixture
def images() -> Iterator[RangeService]:
    with RangeService() as service:
        yield service


@pytest.fixture
def service(tmp_path: Path, images: RangeService) -> Iterator[Service]:
    """A running service, with the type `lazy`."""
    data_dir = tmp_path / "data"
    data_dir.mkdir(mode=0o700)
    (data_dir / "breezeblock.conf").write_text(CONF.format(url=images.url))
    with Service(data_dir) as running:
        running.wait_until_up()
        running.create("type", name="lazy", extra_specs={"image_hydration": "lazy"})
        yield running


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 MiB, a quarter of it zeros."""
    dice, file = random.Random(6), tmp_path_factory.mktemp("disk") / "disk.raw"
    with file.open("wb") as disk:
        for _ in range(SIZE >> 16):
            disk.write(dice.randbytes(1 << 16) if dice.random() < 0.75 else bytes(1 << 16))
    return file


def add(images: RangeService, disk: Path, beside: Path, **fields: Any) -> str:
    """The disk as a qcow2 image with zlib."""
    image_id, file = str(uuid.uuid4()), beside / "image"
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", disk, file], check=True)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    images.add(image_id, file, "qcow2", os_hash_algo="sha256", os_hash_value=digest, **fields)
    return image_id


def until(true: Callable[[], bool], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def made(service: Service, image_id: str) -> str:
    """An available volume."""
    volume_id = service.create("volume", size=1, imageRef=image_id, volume_type="lazy")
    until(lambda: status(service, volume_id) != "creating")
    assert status(service, volume_id) == "available"
    return volume_id


def status(service: Service, volume_id: str) -> str:
    return str(service.client.call("GET", f"/volumes/{volume_id}")["volume"]["status"])


def hydration(service: Service, volume_id: str) -> dict[str, Any]:
    found = service.client.call("GET", f"/operations?resource_id={volume_id}")["operations"]
    return next(one for one in found if one["kind"] == "hydrate_volume")


def attach(service: Service, volume_id: str) -> str:
    """The NBD URI."""
    body = {"attachment": {"volume_uuid": volume_id, "connector": {"host": "here"}}}
    return str(service.client.call("POST", "/attachments", body)["attachment"]["connection_info"]["uri"])


class Guest:
    """Writes at random and knows what the volume has to hold; connects again when it was cut off."""

    def __init__(self, uri: str, disk: Path, seed: int) -> None:
        self.expected = bytearray(disk.read_bytes())
        self._uri = uri
        self._dice = random.Random(seed)
        self._client = NbdClient(uri)

    def close(self) -> None:
        self._client.close()

    def connect_again(self) -> None:
        """After the storage daemon was killed: the worker exports the volume again."""
        self._client.close()
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError):
                self._client = NbdClient(self._uri)
                return
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def write(self, times: int = 8) -> None:
        for _ in range(times):
            length = self._dice.choice((1, 512, 4096, 70_000))
            offset, data = self._dice.randrange(SIZE - length), self._dice.randbytes(length)
            self._client.write(data, offset)
            self.expected[offset : offset + length] = data
        self._client.flush()

    def look(self, times: int = 8) -> None:
        for _ in range(times):
            offset = self._dice.randrange(SIZE - 70_000)
            assert self._client.read(70_000, offset) == self.expected[offset : offset + 70_000]

    def look_everywhere(self) -> None:
        for offset in range(0, SIZE, 1 << 20):
            assert self._client.read(1 << 20, offset) == self.expected[offset : offset + (1 << 20)]


@pytest.mark.parametrize("seed", range(2))
def test_whatever_is_killed_meanwhile(
    service: Service, images: RangeService, disk: Path, tmp_path: Path, seed: int
) -> None:
    """The worker twice, the storage daemon twice, and the image service away in between; with a guest that writes."""
    image_id = add(images, disk, tmp_path)
    size = images.images[image_id]["size"]
    images.seconds_a_piece, images.hold_at = 0.04, size * 3 // 4
    volume_id = made(service, image_id)
    guest = Guest(attach(service, volume_id), disk, seed)
    until(lambda: hydration(service, volume_id)["bytes_done"] > size * 2 // 3)
    for victim in ("worker", "daemon", "service", "worker", "daemon"):
        guest.write()
        guest.look()
        if victim == "worker":
            os.kill(child(service._process, "worker"), signal.SIGKILL)
        elif victim == "daemon":
            for file in (service.data_dir / "run" / "nbd" / "one").glob("*.pid"):
                os.kill(int(file.read_text()), signal.SIGKILL)
            guest.connect_again()
        else:
            images.status = 503
            until(lambda: hydration(service, volume_id)["state"] == "stalled")
            images.status = 200
        guest.look(2)
    guest.write()
    assert hydration(service, volume_id)["state"] in {"running", "stalled", "queued"}
    images.hold_at = None
    until(lambda: hydration(service, volume_id)["state"] == "succeeded")
    images.status = 503  # it is not needed any more
    guest.write()
    guest.look_everywhere()
    guest.close()
    assert any(start > 0 for start in images.stream_starts), "no pass went on where another one was"


def test_the_first_bytes_do_not_wait_for_the_image(
    service: Service, images: RangeService, disk: Path, tmp_path: Path
) -> None:
    """With the pass held up, little more than what is asked for is fetched."""
    images.streams.clear()
    volume_id = made(service, add(images, disk, tmp_path))
    before = images.range_bytes
    assert before <= 6 << 20, "header, tables and the end of the image"
    with NbdClient(attach(service, volume_id)) as client:
        expected = disk.read_bytes()
        assert client.read(4096, 30 << 20) == expected[30 << 20 : (30 << 20) + 4096]
    assert images.range_bytes - before <= 1 << 20, "fetched for 4 KiB"
    assert hydration(service, volume_id)["state"] in {"queued", "running"}


def test_an_image_that_is_deleted_and_another_that_lies(
    service: Service, images: RangeService, disk: Path, tmp_path: Path
) -> None:
    images.streams.clear()
    gone, liar = add(images, disk, tmp_path), "6f0b2c7a-9a51-4f64-8f5b-0a3a4c1c9a55"
    images.add(liar, images.files[gone], "qcow2", os_hash_algo="sha256", os_hash_value="0" * 64)
    lost, wrong = made(service, gone), made(service, liar)
    kept = images.images.pop(gone)
    images.streams.set()
    until(lambda: hydration(service, lost)["state"] == "stalled")
    assert status(service, lost) == "available"
    until(lambda: status(service, wrong) == "error")
    assert "checksum" in hydration(service, wrong)["message"]
    images.images[gone] = kept
    until(lambda: hydration(service, lost)["state"] == "succeeded")
    for volume_id in (lost, wrong):
        service.client.call("DELETE", f"/volumes/{volume_id}")
    service.wait_until_none("volumes")
    assert not list((service.data_dir / "volumes" / "volumes").iterdir())
    assert not list((service.data_dir / "volumes" / "bases").iterdir())
