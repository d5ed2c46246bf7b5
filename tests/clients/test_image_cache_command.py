"""`breezeblock image-cache` against a running service."""

import io
import json
import subprocess
from typing import Any

import pytest

from scripts.service import BREEZEBLOCK, Service

CONTENT = b"image " * 100_000


def run(service: Service, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv: list[Any] = [BREEZEBLOCK, "image-cache", *arguments, "--data-dir", service.data_dir]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def entries(service: Service, *arguments: str) -> list[dict[str, Any]]:
    ran = run(service, *arguments, "--json")
    assert ran.returncode == 0, ran.stderr
    found: list[dict[str, Any]] = json.loads(ran.stdout)["image_cache"]
    return found


@pytest.fixture
def image(service: Service) -> str:
    image_id = service.image("cirros", "raw")
    service.upload(image_id, io.BytesIO(CONTENT), len(CONTENT))
    return image_id


def test_an_entry_from_prefetch_to_evict(service: Service, image: str) -> None:
    backend = "localhost@directory"
    (entry,) = entries(service, "prefetch", "cirros", "--pin", "--backend", backend)
    assert (entry["image_id"], entry["backend"], entry["pinned"]) == (image, backend, True)
    *_, fill = service.watch(entry["id"])
    assert (fill["kind"], fill["state"]) == ("fill_image_cache", "succeeded")

    (listed,) = entries(service, "list")
    assert (listed["status"], listed["size"], listed["image_name"]) == ("cached", 1, "cirros")
    assert entries(service, "show", "cirros") == entries(service, "show", image, "--backend", backend) == [listed]
    assert entries(service, "list", "--backend", "elsewhere") == []
    table = run(service, "list")
    assert (table.returncode, "cached" in table.stdout) == (0, True)

    refused = run(service, "evict", "cirros")
    assert (refused.returncode, "is pinned; unpin it first" in refused.stderr) == (1, True)
    assert run(service, "unpin", "cirros").returncode == 0
    assert entries(service, "list")[0]["pinned"] is False
    assert run(service, "pin", image).returncode == 0
    assert run(service, "unpin", entry["id"]).returncode == 0
    assert run(service, "evict", "cirros").returncode == 0
    assert entries(service, "list") == []
    gone = run(service, "show", "cirros")
    assert (gone.returncode, gone.stderr) == (1, "breezeblock: cirros is not cached.\n")


def test_several_backends_have_to_be_told_apart(service: Service, image: str) -> None:
    unknown = run(service, "prefetch", image, "--backend", "jenkins@DS01")
    assert (unknown.returncode, "image_volume_cache_enabled is off" in unknown.stderr) == (1, True)
    (entry,) = entries(service, "prefetch", image)
    assert entry["backend"] == "localhost@directory", "the only one with a cache"


def test_help_names_the_commands() -> None:
    ran = subprocess.run([BREEZEBLOCK, "image-cache", "--help"], capture_output=True, text=True, check=True)
    assert all(name in ran.stdout for name in ("list", "show", "pin", "unpin", "prefetch", "evict"))
