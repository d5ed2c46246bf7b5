"""A client writes without pause while its volume is snapshotted, cloned and extended, and workers are killed.

Judged is every copy, twice: it holds all writes acknowledged before it was asked for, nothing that was sent after it
was there, and it stays as it was. Which moment a worker dies at is counted in the client's writes, so that a seed
tells it, as far as a running machine can be told anything.
"""

import itertools
import json
import os
import random
import signal
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import msgspec
import pytest

from breezeblock.cli.client import Client
from breezeblock.drivers.directory.content import ChainSource, Link
from breezeblock.drivers.directory.driver import DirectoryDriver, open_driver
from breezeblock.drivers.directory.exporting import NoExports
from breezeblock.model.snapshot import Snapshot
from breezeblock.model.volume import Volume
from tests.clients.sequence_writer import SequenceWriter, survey
from tests.clients.test_processes import PROGRAM, child
from tests.drivers.directory_storage import GIB, _settings, a_snapshot, a_volume, mounted
from tests.processes import Server, free_port, is_alive

ROUNDS = 20
"""One snapshot a round, and a clone."""
EXTEND_IN = 10
KILL_IN = frozenset({2, 7, 10, 16})
CONF = """
[DEFAULT]
enabled_backends = one
[one]
volume_driver = directory
directory_path = {directory}
max_over_subscription_ratio = 100
"""
PATIENCE_SECONDS = 60.0


class Copy(msgspec.Struct, kw_only=True):
    """A snapshot or volume made while the client wrote."""

    kind: str
    """`snapshots` or `volumes`."""
    id: str
    of: "Copy | None" = None
    """The snapshot that a volume was made of; without one it is of what the client writes to."""
    low: int
    """Writes acknowledged before it was asked for."""
    high: int = 0
    """Writes sent when it was seen to be there."""
    found: dict[int, int] = {}


class House:
    """The service on one filesystem, asked as its users ask it."""

    def __init__(self, server: Server, data_dir: Path, directory: Path, seed: int) -> None:
        self.server = server
        self.client = Client(data_dir)
        self.data_dir = data_dir
        self.directory = directory
        self.random = random.Random(seed)
        self._reader: DirectoryDriver = open_driver(
            _settings(data_dir / "reader", (("directory_path", str(directory)),)), lambda _: NoExports()
        )

    def post(self, path: str, body: dict[str, Any], microversion: str = "3.71") -> tuple[int, Any]:
        """The status and the decoded answer of a POST."""
        return self._call("POST", path, body, microversion)

    def delete(self, path: str) -> tuple[int, Any]:
        """The status and the decoded answer of a DELETE."""
        return self._call("DELETE", path, None, "3.71")

    def _call(self, method: str, path: str, body: dict[str, Any] | None, microversion: str) -> tuple[int, Any]:
        request = urllib.request.Request(
            f"{self.client.root}/v3/{self.client._project.rpartition('/')[2]}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "OpenStack-API-Version": f"volume {microversion}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                content = answer.read()
                return answer.status, json.loads(content) if content else None
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def make(self, kind: str, **wanted: Any) -> str:
        """Ask for a snapshot or volume; its id."""
        status, answer = self.post(f"/{kind}", {kind[:-1]: wanted})
        assert status == 202, answer
        return str(answer[kind[:-1]]["id"])

    def status(self, kind: str, id: str) -> str:
        """The status of a snapshot or volume."""
        return str(self.client.call("GET", f"/{kind}/{id}")[kind[:-1]]["status"])

    def wait_for(self, kind: str, id: str, wanted: str, passing: str) -> None:
        """Wait for a status. Any but the `passing` one ends the wait."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (status := self.status(kind, id)) != wanted:
            if status != passing or time.monotonic() > deadline:
                operations = self.client.call("GET", f"/operations?resource_id={id}")
                raise AssertionError(f"{kind} {id} is {status}, not {wanted}: {operations}")
            time.sleep(0.02)

    def kill_worker(self) -> None:
        """End the worker as a crash does; the supervisor starts the next one."""
        os.kill(child(self.server, "worker"), signal.SIGKILL)

    def connect(self, id: str) -> str:
        """Export a volume as an operator does; its NBD URI."""
        run: list[str | Path] = [PROGRAM, "connect", id, "--data-dir", self.data_dir]
        answer: str = subprocess.run(run, check=True, capture_output=True, text=True).stdout
        return answer.strip()

    def disconnect(self, id: str) -> None:
        """Withdraw a volume as an operator does."""
        subprocess.run([PROGRAM, "disconnect", id, "--data-dir", self.data_dir], check=True)

    def read(self, kind: str, id: str) -> dict[int, int]:
        """The survey of what nobody is connected to, from its files."""
        volume = a_volume()
        thing: Volume | Snapshot = volume if kind == "volumes" else a_snapshot(volume)
        with self._reader.open_volume(msgspec.structs.replace(thing, id=id)) as source:
            return survey(source)

    def read_as_client(self, id: str) -> dict[int, int]:
        """The survey of a volume that is connected for it, through the export daemon."""
        connector = {"host": "reader", "ip": "127.0.0.1"}
        wanted = {"attachment": {"volume_uuid": id, "connector": connector}}
        attachment = self.client.call("POST", "/attachments", wanted)["attachment"]
        target = self.data_dir / "copied.raw"
        subprocess.run(["nbdcopy", attachment["connection_info"]["uri"], target], check=True)
        self.client.call("DELETE", f"/attachments/{attachment['id']}")
        with ChainSource([Link(target, "raw")], target.stat().st_size) as source:
            found = survey(source)
        target.unlink()
        return found

    def daemons(self) -> set[int]:
        """The process ids of the export daemons."""
        return {int(file.read_text()) for file in (self.data_dir / "run" / "nbd" / "one").glob("*.pid")}

    def remains(self) -> list[str]:
        """All that lies on the storage, hidden or not."""
        return sorted(
            str(path.relative_to(self.directory))
            for folder in ("volumes", "snapshots", "bases", "tmp")
            for path in (self.directory / folder).iterdir()
        )


@pytest.fixture(params=["ext4", "xfs"])
def house(request, tmp_path):
    """The service with its volumes on a filesystem of its own; none of its processes outlives the test."""
    with mounted(request.param, tmp_path, size=4 * GIB) as mount:
        data_dir = tmp_path / "data"
        data_dir.mkdir()
        (data_dir / "breezeblock.conf").write_text(CONF.format(directory=mount / "volumes"))
        address = f"127.0.0.1:{free_port()}"
        with Server([PROGRAM, "serve", "--data-dir", data_dir, "--listen", address], tmp_path / "log") as server:
            server.wait_for(f"http://{address}/healthcheck")
            house = House(server, data_dir, mount / "volumes", seed=20)
            yield house
        for pid in house.daemons():
            os.kill(pid, signal.SIGKILL)


def test_every_acknowledged_write_survives_and_every_copy_stays_as_it_was(house, tmp_path):
    wait_for_pool(house)
    origin = house.make("volumes", size=1, name="origin")
    house.wait_for("volumes", origin, "available", "creating")
    uri = house.connect(origin)
    with SequenceWriter(uri, seed=7) as writer:
        writer.wait_for(10)
        copies = list(itertools.chain.from_iterable(a_round(house, writer, origin, number) for number in range(ROUNDS)))
        writer.wait_for(10)
        status, answer = house.delete(f"/volumes/{origin}")
        assert status == 400, answer
        writer.stop()
        daemons = house.daemons()
    assert len([copy for copy in copies if copy.kind == "snapshots"]) == ROUNDS
    house.disconnect(origin)
    assert house.status("volumes", origin) == "available"
    writer.judge(house.read("volumes", origin), writer.sent, writer.sent)
    writer.judge(house.read_as_client(origin), writer.sent, writer.sent)
    for copy in copies:
        assert house.read(copy.kind, copy.id) == copy.found, f"{copy.kind} {copy.id} did not stay as it was"
    for copy in copies:
        if copy.kind == "volumes":
            assert house.read_as_client(copy.id) == copy.found, f"{copy.id} reads otherwise over NBD"
    delete_all(house, origin, copies)
    assert house.remains() == []
    assert house.daemons() == set()
    assert not any(is_alive(pid) for pid in daemons)


def test_an_export_daemon_that_dies_is_followed_by_another(house):
    """The URI stays; a client that connects again goes on, and all that it was told is written is there."""
    wait_for_pool(house)
    origin = house.make("volumes", size=1, name="origin")
    house.wait_for("volumes", origin, "available", "creating")
    with SequenceWriter(house.connect(origin), seed=7) as writer:
        writer.wait_for(100)
        (daemon,) = house.daemons()
        os.kill(daemon, signal.SIGKILL)
        writer.wait_for_cut(0)
        writer.wait_for(100)
        assert daemon not in house.daemons()
        writer.stop()
    house.disconnect(origin)
    writer.judge(house.read("volumes", origin), writer.sent, writer.sent)
    assert house.daemons() == set()


def wait_for_pool(house):
    """Wait for the first report of the worker."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not house.client.call("GET", "/scheduler-stats/get_pools")["pools"]:
        assert time.monotonic() < deadline, "the worker has not reported"
        time.sleep(0.02)


def a_round(house, writer, origin, number):
    """A snapshot and a clone of the volume or of a snapshot, at once; in some rounds an extend, and a worker's death."""
    of_snapshot = number % 2
    snapshot = Copy(
        kind="snapshots",
        low=writer.acknowledged,
        id=house.make("snapshots", volume_id=origin, name=f"moment {number}"),
    )
    copies = [snapshot]
    if not of_snapshot:
        low = writer.acknowledged
        copies.append(Copy(kind="volumes", low=low, id=house.make("volumes", source_volid=origin, name="clone")))
    extending = number == EXTEND_IN
    cuts, daemons = len(writer.repeated), house.daemons()
    if extending:
        status, answer = house.post(f"/volumes/{origin}/action", {"os-extend": {"new_size": 2}}, microversion="3.42")
        assert status == 202, answer
    if number in KILL_IN:
        if extending:
            writer.wait_for_cut(cuts)  # the volume is served no more now, or again just now
        else:
            writer.wait_for(house.random.randint(0, 20))
        house.kill_worker()
    yield from settled(house, writer, copies)
    if of_snapshot:
        low = writer.acknowledged
        clone = Copy(
            kind="volumes",
            of=snapshot,
            low=low,
            id=house.make("volumes", snapshot_id=snapshot.id, name="of a snapshot"),
        )
        if number in KILL_IN:
            house.kill_worker()
        yield from settled(house, writer, [clone])
    if extending:
        house.wait_for("volumes", origin, "in-use", "extending")
        writer.wait_for_size(2 * GIB)
    else:
        assert (len(writer.repeated), house.daemons()) == (cuts, daemons), "the client was cut off"


def settled(house, writer, copies):
    """Wait until each is there, and read and judge it for the first time."""
    for copy in copies:
        house.wait_for(copy.kind, copy.id, "available", "creating")
        copy.high = writer.sent
    for copy in copies:
        copy.found = house.read(copy.kind, copy.id)
        if copy.of is None:
            writer.judge(copy.found, copy.low, copy.high)
        else:
            assert copy.found == copy.of.found
    return copies


def delete_all(house, origin, copies):
    """Delete everything in any order, while a worker dies; the volume takes with it those snapshots it still has."""
    things = [(copy.kind, copy.id) for copy in copies] + [("volumes", origin)]
    house.random.shuffle(things)
    dying = []
    for number, (kind, id) in enumerate(things):
        if number == len(things) // 2:
            house.kill_worker()
        if ("volumes", origin) in dying and kind == "snapshots":
            continue
        status, answer = house.delete(f"/{kind}/{id}" + ("?cascade=true" if id == origin else ""))
        assert status == 202, answer
        dying.append((kind, id))
    deadline = time.monotonic() + PATIENCE_SECONDS
    while left := [
        (kind, one["id"], one["status"])
        for kind in ("volumes", "snapshots")
        for one in house.client.call("GET", f"/{kind}/detail")[kind]
    ]:
        assert {status for _, _, status in left} == {"deleting"}, left
        assert time.monotonic() < deadline, f"not deleted: {left}"
        time.sleep(0.02)
