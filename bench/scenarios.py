"""What is measured. A scenario prepares what it needs, takes its times, and removes what it made."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from bench.client import ApiError, Client
from bench.crowd import at_once, together
from bench.processes import ServerProcesses

LISTED = 1000
BATCH = 100
BATCH_CLIENTS = 8
IDLE_SECONDS = 5.0
CONNECTOR = {"host": "bench", "ip": "127.0.0.1", "initiator": "iqn.2026-01.org.example:bench", "os_type": "linux"}


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A server to measure. `listing` sees the project that has the volumes to list, by default the same one."""

    name: str
    client: Client
    listing: Client
    processes: ServerProcesses
    image_file: Path | None = None
    """A qcow2 file to upload afresh each round; without it, or without an image endpoint, `image_id` is used."""
    image_id: str | None = None
    repeat: int = 10
    settle: Callable[[], None] = lambda: None
    """Waits until the server has done what it does behind its answers."""


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One scenario's figures in one round."""

    wall_ms: float | None = None
    """Median over the operations."""
    p95_ms: float | None = None
    """95 of 100 operations took no longer; the longest one of fewer than 20."""
    p99_ms: float | None = None
    """99 of 100 operations took no longer."""
    per_second: float | None = None
    """Operations that many clients at once had answered in a second."""
    cpu_ms: float | None = None
    """Of the server's processes, for one operation."""
    memory_mib: float | None = None
    idle_percent: float | None = None
    operations: int = 1


class Watch:
    """Takes the wall time of single operations and the server's processor time over all of them."""

    def __init__(self, processes: ServerProcesses) -> None:
        self._processes = processes
        self._walls: list[float] = []
        self._cpu = processes.cpu_seconds() if processes.known else None

    @contextmanager
    def operation(self) -> Iterator[None]:
        """Time what happens in the block."""
        started = time.perf_counter()
        yield
        self._walls.append(time.perf_counter() - started)

    def crowd(self, client: Client, each: int, call: Callable[[Client], object]) -> Sample:
        """The figures of so many calls by each of many clients at once."""
        took = at_once(client, each, call)
        self._walls += took.walls
        return msgspec.structs.replace(self.sample(), per_second=len(took.walls) / took.seconds)

    def sample(self, operations: int | None = None) -> Sample:
        """The figures so far; `operations` where one block held several."""
        count = operations or len(self._walls)
        cpu = None if self._cpu is None else (self._processes.cpu_seconds() - self._cpu) * 1000 / count
        walls = sorted(self._walls)
        p95, p99 = (walls[math.ceil(share * len(walls)) - 1] * 1000 for share in (0.95, 0.99))
        return Sample(wall_ms=walls[len(walls) // 2] * 1000, p95_ms=p95, p99_ms=p99, cpu_ms=cpu, operations=count)


def list_detail(target: Target) -> Sample:
    """GET of 1000 volumes in detail."""
    _require_listed(target)
    watch = Watch(target.processes)
    for _ in range(target.repeat):
        with watch.operation():
            target.listing.get_bytes(f"/volumes/detail?limit={LISTED}")
    return watch.sample()


def show(target: Target) -> Sample:
    """GET of one volume."""
    with _volumes(target.client, 1) as (volume_id,):
        watch = Watch(target.processes)
        for _ in range(5 * target.repeat):
            with watch.operation():
                target.client.get_bytes(f"/volumes/{volume_id}")
        return watch.sample()


def crowd_list(target: Target) -> Sample:
    """GET of 1000 volumes in detail, by many clients at once."""
    _require_listed(target)
    watch = Watch(target.processes)
    return watch.crowd(
        target.listing, max(1, target.repeat // 2), lambda client: client.get_bytes(f"/volumes/detail?limit={LISTED}")
    )


def crowd_show(target: Target) -> Sample:
    """GET of one volume, by many clients at once."""
    with _volumes(target.client, 1) as (volume_id,):
        watch = Watch(target.processes)
        return watch.crowd(target.client, 4 * target.repeat, lambda client: client.get_bytes(f"/volumes/{volume_id}"))


def crowd_post(target: Target) -> Sample:
    """POST of raw volumes until the 202, by many clients at once; processor time says nothing, as of `post`."""
    made: list[str] = []
    watch = Watch(ServerProcesses())
    sample = watch.crowd(target.client, max(1, target.repeat // 2), lambda client: made.append(client.create_volume()))
    for volume_id in made:
        target.client.wait_available("volume", volume_id)
    _delete(target.client, made)
    return sample


def post(target: Target) -> Sample:
    """POST of a raw volume until the 202; what the server then does goes on meanwhile, so processor time says nothing."""
    watch = Watch(ServerProcesses())
    made: list[str] = []
    for _ in range(2 * target.repeat):
        with watch.operation():
            made.append(target.client.create_volume())
    for volume_id in made:
        target.client.wait_available("volume", volume_id)
    _delete(target.client, made)
    return watch.sample()


def raw(target: Target) -> Sample:
    """A raw volume of 1 GiB from POST to available."""
    return _make_volumes(target)


def batch(target: Target) -> Sample:
    """100 raw volumes asked for by 8 clients at once, until the last one is available."""
    made: list[str] = []

    def work(client: Client, count: int) -> None:
        mine = [client.create_volume() for _ in range(count)]
        made.extend(mine)
        for volume_id in mine:
            client.wait_available("volume", volume_id)

    shares = [len(range(first, BATCH, BATCH_CLIENTS)) for first in range(BATCH_CLIENTS)]
    watch = Watch(target.processes)
    with watch.operation():
        together(target.client, [partial(work, count=share) for share in shares])
    sample = watch.sample(BATCH)
    _delete(target.client, made)
    return sample


def snapshot(target: Target) -> Sample:
    """A snapshot of a raw volume from POST to available."""
    made: list[str] = []
    with _volumes(target.client, 1) as (volume_id,):
        watch = Watch(target.processes)
        for _ in range(target.repeat):
            with watch.operation():
                made.append(target.client.create("snapshot", volume_id=volume_id, name="bench"))
                target.client.wait_available("snapshot", made[-1])
        sample = watch.sample()
        _delete(target.client, made, "snapshot")
    return sample


def volume_from_snapshot(target: Target) -> Sample:
    """A volume from a snapshot, from POST to available."""
    with _volumes(target.client, 1) as (volume_id,):
        snapshot_id = target.client.create("snapshot", volume_id=volume_id, name="bench")
        target.client.wait_available("snapshot", snapshot_id)
        sample = _make_volumes(target, snapshot_id=snapshot_id)
        _delete(target.client, [snapshot_id], "snapshot")
    return sample


def clone(target: Target) -> Sample:
    """A clone of a raw volume, from POST to available."""
    with _volumes(target.client, 1) as (volume_id,):
        return _make_volumes(target, source_volid=volume_id)


def delete(target: Target) -> Sample:
    """A raw volume from DELETE until it is gone."""
    made = [target.client.create_volume() for _ in range(target.repeat)]
    for volume_id in made:
        target.client.wait_available("volume", volume_id)
    watch = Watch(target.processes)
    for volume_id in made:
        with watch.operation():
            target.client.delete("volume", volume_id)
            target.client.wait_gone("volume", volume_id)
    target.settle()  # what it costs to delete counts, also behind the answer
    return watch.sample()


def image_volumes(target: Target) -> dict[str, Sample]:
    """The first volume of an image, further ones, and clones of one: the same image for all three."""
    client = target.client
    uploaded = None
    if target.image_file and client.endpoint.images:
        uploaded = client.upload_image(target.image_file, "qcow2")
    image_id = uploaded or target.image_id
    if image_id is None:
        return {}
    first = Watch(target.processes)
    with first.operation():
        volume_id = client.create_volume(imageRef=image_id)
        client.wait_available("volume", volume_id)
    figures = {"image_first": first.sample()} if uploaded else {}  # another image may be in the server's cache already
    figures["image_then"] = _make_volumes(target, imageRef=image_id)
    figures["clone_of_image"] = _make_volumes(target, source_volid=volume_id)
    _delete(client, [volume_id])
    if uploaded:
        client.delete_image(uploaded)
    return figures


def idle(target: Target) -> Sample:
    """Memory and processor time of a server that does nothing, with one volume attached."""
    if not target.processes.known:
        return Sample()
    with _volumes(target.client, 1) as (volume_id,):
        attachment_id = target.client.create("attachment", volume_uuid=volume_id, connector=CONNECTOR)
        time.sleep(1)  # the work before this goes to rest
        before = target.processes.cpu_seconds()
        time.sleep(IDLE_SECONDS)
        usage = target.processes.usage()
        target.client.delete("attachment", attachment_id)
        target.client.wait_available("volume", volume_id)
    percent = (usage.cpu_seconds - before) * 100 / IDLE_SECONDS
    return Sample(memory_mib=usage.memory_bytes / 2**20, idle_percent=percent)


def seed_listing(target: Target) -> list[str]:
    """Make what is missing to 1000 volumes in the listed project; returns the ids of what it made."""
    body = target.listing.get(f"/volumes?limit={LISTED}")
    missing = range(LISTED - len(body["volumes"]))
    made = [target.listing.create_volume(metadata={"tier": "gold", "n": str(number)}) for number in missing]
    for volume_id in made:
        target.listing.wait_available("volume", volume_id)
    return made


def unseed_listing(target: Target, made: list[str]) -> None:
    """Remove what `seed_listing` made."""
    _delete(target.listing, made)


SINGLE: dict[str, Callable[[Target], Sample]] = {
    "list": list_detail,
    "show": show,
    "crowd_list": crowd_list,
    "crowd_show": crowd_show,
    "crowd_post": crowd_post,
    "post": post,
    "raw": raw,
    "batch": batch,
    "snapshot": snapshot,
    "from_snapshot": volume_from_snapshot,
    "clone": clone,
    "delete": delete,
    "idle": idle,
}
NAMES = (*SINGLE, "image")


def run(name: str, target: Target) -> dict[str, Sample]:
    """Run one scenario of `NAMES` once; the figures by their names. Raises `ApiError` or what the connection raises."""
    if name != "image" and name not in SINGLE:
        raise ApiError(f"There is no scenario {name}; there are {', '.join(NAMES)}.")
    figures = image_volumes(target) if name == "image" else {name: SINGLE[name](target)}
    target.settle()
    return figures


def _require_listed(target: Target) -> None:
    listed = len(target.listing.get(f"/volumes/detail?limit={LISTED}")["volumes"])
    if listed != LISTED:
        raise ApiError(f"{LISTED} volumes were asked for and {listed} listed.")


def _make_volumes(target: Target, **source: Any) -> Sample:
    made: list[str] = []
    watch = Watch(target.processes)
    for _ in range(target.repeat):
        with watch.operation():
            made.append(target.client.create_volume(**source))
            target.client.wait_available("volume", made[-1])
    sample = watch.sample()
    _delete(target.client, made)
    target.settle()
    return sample


@contextmanager
def _volumes(client: Client, count: int) -> Iterator[list[str]]:
    made = [client.create_volume() for _ in range(count)]
    for volume_id in made:
        client.wait_available("volume", volume_id)
    yield made
    _delete(client, made)


def _delete(client: Client, resource_ids: list[str], kind: str = "volume") -> None:
    for resource_id in resource_ids:
        client.delete(kind, resource_id)
    for resource_id in resource_ids:
        client.wait_gone(kind, resource_id)
