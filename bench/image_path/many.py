"""Several volumes of one image on a running service: the first one, the next ones, sixteen at once, and a lazy one."""

import hashlib
import os
import statistics
import subprocess
import tempfile
import threading
import time
import uuid
from collections import defaultdict
from pathlib import Path
from typing import Any

from bench.client import ApiError, Client
from bench.embedded import Embedded
from bench.image_path.server import fetch, running
from bench.report import row
from bench.scenarios import CONNECTOR

CONFIGURATION = """[DEFAULT]
image_service = glance
quota_volumes = -1
quota_gigabytes = -1
[directory]
max_over_subscription_ratio = 1000
[glance]
endpoint_override = {url}
"""
AT_ONCE = 16
NEXT = 10
LABEL = "qcow2"
"""The image that it is."""
SIZE = 5
"""GiB of a volume."""
LOOK_SECONDS = 0.005
LONG_LOOK_SECONDS = 0.02
"""Where an image is fetched, which takes a second: to be asked more often took a third of a processor."""
SENT = f"{AT_ONCE} at once: times the image was sent"

GOALS = {
    "second volume": 0.050,
    "lazy: first byte": 0.300,
    SENT: 1.05,
}
"""Seconds, and what one download is at most: header and tables are read twice."""
MOST_AT_ONCE = 1.2
"""How much longer sixteen may take than one."""

Figures = dict[str, float]


def measure(directory: Path, name: str, rounds: int) -> Figures:
    """Medians in seconds, from POST; of the qcow2 file `name`, which an image service has under a new id each time."""
    taken: dict[str, list[float]] = defaultdict(list)
    with (directory / name).open("rb") as file:
        value = hashlib.file_digest(file, "sha512").hexdigest()
    record: dict[str, Any] = {
        "name": name,
        "status": "active",
        "visibility": "public",
        "disk_format": "qcow2",
        "container_format": "bare",
        "size": (directory / name).stat().st_size,
        "os_hash_algo": "sha512",
        "os_hash_value": value,
        "updated_at": "2026-01-31T12:00:01Z",
    }
    with (
        running(directory, image=record) as url,
        tempfile.TemporaryDirectory(prefix="breezeblock-bench-", dir=os.environ.get("BENCH_DIR")) as made,
        Embedded(Path(made, "data"), directory / name, 1, CONFIGURATION.format(url=url)) as service,
    ):
        client = service.begin_round()[0].client
        lazy = client.create_type("lazy", {"image_hydration": "lazy"})
        for _ in range(rounds):
            _one_after_another(client, taken)
            fetch(f"{url}/sent")
            _at_once(client, taken)
            taken[SENT].append(int(fetch(f"{url}/sent")) / record["size"])
            _lazily(client, lazy, taken)
    return {name: statistics.median(values) for name, values in taken.items()}


def _one_after_another(client: Client, taken: dict[str, list[float]]) -> None:
    image_id = str(uuid.uuid4())
    made = []
    for number in range(1 + NEXT):
        began = time.perf_counter()
        made.append(_volume(client, image_id, LOOK_SECONDS if number else LONG_LOOK_SECONDS))
        taken["second volume" if number else "first volume"].append(time.perf_counter() - began)
    _remove(client, made)


def _at_once(client: Client, taken: dict[str, list[float]]) -> None:
    image_id = str(uuid.uuid4())
    made: list[str] = []

    def make() -> None:
        own = client.another()
        made.append(own.create_volume(SIZE, imageRef=image_id))
        own.close()

    threads = [threading.Thread(target=make) for _ in range(AT_ONCE)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for volume_id in made:  # one looks for all: to be asked all the time by sixteen would be what is measured
        client.wait_available("volume", volume_id, LONG_LOOK_SECONDS)
    taken[f"{AT_ONCE} at once"].append(time.perf_counter() - began)
    if len(made) != AT_ONCE:
        raise ApiError(f"{len(made)} of {AT_ONCE} volumes were made.")
    _remove(client, made)


def _lazily(client: Client, type_id: str, taken: dict[str, list[float]]) -> None:
    began = time.perf_counter()
    volume_id = _volume(client, str(uuid.uuid4()), LOOK_SECONDS, volume_type=type_id)
    taken["lazy: available"].append(time.perf_counter() - began)
    attachment_id, info = client.attach(volume_id, CONNECTOR)
    read = ["qemu-io", "-r", "-f", "raw", "-c", "read 0 4k", str(info["uri"])]
    subprocess.run(read, check=True, stdout=subprocess.DEVNULL)
    taken["lazy: first byte"].append(time.perf_counter() - began)
    client.delete("attachment", attachment_id)
    client.wait_until_idle(volume_id)
    _remove(client, [volume_id])


def _volume(client: Client, image_id: str, look_seconds: float, **more: str) -> str:
    volume_id = client.create_volume(SIZE, imageRef=image_id, **more)
    client.wait_available("volume", volume_id, look_seconds)
    return volume_id


def _remove(client: Client, volume_ids: list[str]) -> None:
    for volume_id in volume_ids:
        client.delete("volume", volume_id)
    for volume_id in volume_ids:
        client.wait_gone("volume", volume_id)


def table(figures: Figures) -> str:
    """Markdown."""
    lines = [row(["from POST until", "s", "goal", ""]), row(["---", "---:", "---", "---"])]
    for name, figure in figures.items():
        goal = _goals(figures).get(name)
        judged = ["", ""] if goal is None else [f"{goal:.3f}", "met" if figure <= goal else "missed"]
        lines.append(row([name, f"{figure:.3f}", *judged]))
    return "\n".join(lines)


def missed(figures: Figures) -> list[str]:
    """The goals that were not met."""
    return [name for name, goal in _goals(figures).items() if figures[name] > goal]


def _goals(figures: Figures) -> Figures:
    return {**GOALS, f"{AT_ONCE} at once": MOST_AT_ONCE * figures["first volume"]}
