"""A worker that is killed in the middle of a download goes on where it was, not from zero; the image service counts."""

import hashlib
import os
import random
import signal
import threading
import time
from http.server import ThreadingHTTPServer

import pytest

from bench.image_path.server import Handler, Pace
from breezeblock.cli.client import Client
from scripts.service import BREEZEBLOCK
from tests.clients.test_processes import child, create, status_of
from tests.processes import Server, free_port
from tests.unit import image_files

MiB = 1 << 20
DATA = 160 * MiB
RATE = 24_000_000
IMAGE = "5ca1ab1e-0000-4000-8000-000000000001"
CONF = """
[DEFAULT]
enabled_backends = one
image_service = glance
[one]
volume_driver = directory
image_volume_cache_enabled = false
[glance]
endpoint_override = {endpoint}
"""


class Glance(Handler):
    """One image, by its record and by its data, at a rate at which it can be met."""


@pytest.fixture(params=["raw", "qcow2"])
def glance(request, tmp_path):
    """The image service's address; the disk lies in `source`."""
    content = random.Random(3)
    with (tmp_path / "source").open("wb") as file:
        for _ in range(DATA // MiB):
            file.write(content.randbytes(MiB))
    path = image_files.make(tmp_path / "source", tmp_path / IMAGE, request.param)
    data = path.read_bytes()
    Glance.directory, Glance.pace = tmp_path, Pace(RATE)
    Glance.image = {
        "name": IMAGE,
        "status": "active",
        "visibility": "public",
        "disk_format": request.param,
        "container_format": "bare",
        "size": len(data),
        "os_hash_algo": "sha512",
        "os_hash_value": hashlib.sha512(data).hexdigest(),
        "updated_at": "2026-01-31T12:00:01Z",
    }
    server = ThreadingHTTPServer(("127.0.0.1", 0), Glance)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_killed_download_goes_on(glance, tmp_path):
    data_dir = tmp_path / "data"
    data_dir.mkdir(mode=0o700)
    (data_dir / "breezeblock.conf").write_text(CONF.format(endpoint=glance))
    address = f"127.0.0.1:{free_port()}"
    with Server([BREEZEBLOCK, "serve", "--data-dir", data_dir, "--listen", address], tmp_path / "log") as server:
        server.wait_for(f"http://{address}/healthcheck")
        client = Client(data_dir)
        volume = create(client, imageRef=IMAGE)
        deadline = time.monotonic() + 120
        while (operation_of(client, volume)["bytes_done"] or 0) < DATA * 6 // 10:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.kill(child(server, "worker"), signal.SIGKILL)
        status_of(client, volume, "available", seconds=120)
        assert operation_of(client, volume)["attempts"] == 2
    # from zero it would be 1.6 times the image; notes are made every two seconds, which are a third of it
    sent = Glance.pace.counted()
    assert DATA < sent < DATA * 15 // 10
    (disk,) = (data_dir / "volumes" / "volumes").glob(f"volume-{volume}/disk")
    with disk.open("rb") as made, (tmp_path / "source").open("rb") as source:
        for _ in range(DATA // MiB):
            assert made.read(MiB) == source.read(MiB)


def operation_of(client, volume):
    (operation,) = client.call("GET", f"/operations?resource_id={volume}")["operations"]
    return operation
