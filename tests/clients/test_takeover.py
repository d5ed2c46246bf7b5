"""Two workers of one backend on PostgreSQL: whatever happens to the owner, the other one ends its work, once.

Copies are held in the middle by stopping the qemu-img that makes them, of an image that takes one; those that the worker
makes itself are slow enough to be met.
"""

import contextlib
import hashlib
import json
import os
import signal
import struct
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from breezeblock import config
from breezeblock.cli.client import Client
from breezeblock.drivers.registry import open_driver
from breezeblock.model.volume import Volume
from tests.processes import Server, files_of, free_port, is_alive

PROGRAM = Path(sys.executable).with_name("breezeblock")
SECONDS = 90
IMAGE_MIB = 384
CONF = """
[DEFAULT]
enabled_backends = one
osapi_volume_listen_port = {port}
[database]
connection = {url}
[one]
volume_driver = simulated
image_volume_cache_enabled = false
volume_copy_bps_limit = 200000000
"""


def eventually(look, what):
    """What `look` answers, once that is true."""
    deadline = time.monotonic() + SECONDS
    while not (found := look()):
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.005)
    return found


class Site:
    """An API process and any number of workers, on one database and one storage."""

    def __init__(self, directory: Path, url: str) -> None:
        self.directory = directory
        self.data_dir = directory / "data"
        self.url = url.replace("+psycopg", "")
        self.port = sa.make_url(url).port
        self.running: list[Server] = []
        self.data_dir.mkdir(mode=0o700)
        port = free_port()
        (self.data_dir / "breezeblock.conf").write_text(CONF.format(port=port, url=url))
        subprocess.run([PROGRAM, "db", "upgrade", "--data-dir", self.data_dir], check=True)
        self.api = self.start("api")
        self.address = f"http://127.0.0.1:{port}"
        self.api.wait_for(f"{self.address}/healthcheck")
        self.client = Client(self.data_dir)

    def start(self, *command: str) -> Server:
        log = self.directory / f"{len(self.running)}-{command[0]}.log"
        server = Server([PROGRAM, *command, "--data-dir", self.data_dir], log)
        self.running.append(server)
        return server

    def owner(self) -> Server:
        """A worker that owns the slot and has reported its pool."""
        worker = self.start("worker", "--backend", "one")
        eventually(lambda: self.holder() == worker.pid, "owning the slot")
        eventually(lambda: self.client.call("GET", "/scheduler-stats/get_pools")["pools"], "a report")
        return worker

    def standby(self) -> Server:
        """A worker that waits for the slot."""
        worker = self.start("worker", "--backend", "one")
        eventually(lambda: "standing by" in worker.log.read_text(), "standing by")
        return worker

    def query(self, statement: str):
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(statement).fetchall()

    def holder(self) -> int | None:
        """The process that the table names as the slot's owner."""
        return dict(self.query("SELECT slot, pid FROM slots")).get(self.slot)

    @property
    def slot(self) -> str:
        return f"{config.load(self.data_dir).backends[0].backend}#0"

    def epoch(self) -> int:
        return int(self.query("SELECT epoch FROM slots")[0][0])

    def end_lock_session(self) -> None:
        """Have the server end the session that holds the slot's lock."""
        holders = "pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' AND granted"
        name = f"application_name = 'breezeblock slot {self.slot}'"
        ended = self.query(f"SELECT pg_terminate_backend(pid) FROM {holders} AND {name}")
        assert ended == [(True,)]

    def image(self, *, entangled: bool = True) -> tuple[str, str]:
        """A qcow2 image of the site's store, long enough to be met while it is copied; its id and its disk's hash."""
        path = self.directory / "image.qcow2"
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, f"{IMAGE_MIB}M"], check=True)
        writes = [part for at in range(0, IMAGE_MIB, 64) for part in ("-c", f"write -q -P {at // 64 + 1} {at}M 64M")]
        subprocess.run(["qemu-io", "-f", "qcow2", *writes, path], check=True)
        if entangled:
            entangle(path)
        digest = hashlib.sha256()
        for at in range(0, IMAGE_MIB, 64):
            digest.update(bytes([at // 64 + 1]) * (64 << 20))
        wanted = {"name": "disk", "disk_format": "qcow2", "container_format": "bare"}
        image = self.send("POST", "/image/v2/images", json.dumps(wanted).encode(), "application/json")["id"]
        self.send("PUT", f"/image/v2/images/{image}/file", path.read_bytes(), "application/octet-stream")
        return image, digest.hexdigest()

    def send(self, method, path, body, kind):
        request = urllib.request.Request(self.address + path, body, {"Content-Type": kind}, method=method)
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            content = answer.read()
        return json.loads(content) if content else None

    def create(self, **wanted) -> str:
        return str(self.client.call("POST", "/volumes", {"volume": {"size": 1, **wanted}})["volume"]["id"])

    def copying(self, worker: Server, **wanted) -> tuple[str, int]:
        """A volume whose copy is held in the middle, and the pid of the qemu-img that was stopped."""
        volume = self.create(**wanted)
        copier = eventually(lambda: copier_of(worker.pid), "a copy")
        os.kill(copier, signal.SIGSTOP)
        return volume, copier

    def available(self, volume: str):
        """The volume's one operation, once it is available."""

        def look():
            status = self.client.call("GET", f"/volumes/{volume}")["volume"]["status"]
            assert status != "error", self.operation(volume)
            return status == "available"

        eventually(look, f"{volume} available")
        return self.operation(volume)

    def operation(self, volume: str):
        (operation,) = self.client.call("GET", f"/operations?resource_id={volume}")["operations"]
        return operation

    def assert_whole(self, volumes: dict[str, str | None]) -> None:
        """The storage holds these volumes and nothing else; those with a hash begin with that content."""
        driver = open_driver(config.load(self.data_dir).backends[0])
        assert sorted(driver.list_objects()) == sorted(f"volume-{one}" for one in volumes)
        for volume, wanted in volumes.items():
            if wanted is not None:
                row = Volume(id=volume, project_id="", user_id="", size=1, status="available", created_at="")
                digest = hashlib.sha256()
                with driver.open_volume(row) as content:
                    for at in range(IMAGE_MIB):
                        digest.update(content.pread(1 << 20, at << 20))
                assert digest.hexdigest() == wanted
        assert self.query("SELECT count(*) FROM flow_requests") == [(0,)]
        pairs = "SELECT resource_id, type, count(*) FROM events GROUP BY resource_id, type HAVING count(*) > 1"
        assert self.query(pairs) == []

    def stop(self) -> None:
        for server in self.running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(server.pid, signal.SIGCONT)
            server.stop()


@pytest.fixture
def site(tmp_path, postgres_url):
    site = Site(tmp_path, postgres_url)
    yield site
    site.stop()


def entangle(path: Path) -> None:
    """Let two clusters of the disk, which are alike, be one of the file: that is for qemu-img, no pass can follow it."""
    with path.open("r+b") as file:
        (l1,) = struct.unpack(">Q", os.pread(file.fileno(), 8, 40))
        (l2,) = struct.unpack(">Q", os.pread(file.fileno(), 8, l1))
        l2 &= 0x00FFFFFFFFFFFE00
        os.pwrite(file.fileno(), os.pread(file.fileno(), 8, l2), l2 + 8)


def copier_of(pid: int) -> int | None:
    """The qemu-img that converts for a process; it lies below the programs that wrap it, if any."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for child in (task / "children").read_text().split():
                argv = Path(f"/proc/{child}/cmdline").read_text().split("\0")
                if Path(argv[0]).name == "qemu-img" and argv[1] == "convert":
                    return int(child)
    return None


def test_a_standby_ends_what_a_killed_owner_began(site):
    owner = site.owner()
    standby = site.standby()
    image, digest = site.image()
    volume, copier = site.copying(owner, imageRef=image)
    raw = site.create()
    owner.kill()
    operation = site.available(volume)
    site.available(raw)
    assert site.holder() == standby.pid
    assert site.epoch() == 2
    assert not is_alive(copier)
    assert operation["attempts"] == 2
    site.assert_whole({volume: digest, raw: None})


@pytest.mark.parametrize("stopped", [False, True], ids=["killed", "stopped and woken"])
def test_a_standby_goes_on_with_a_copy_that_the_owner_made_itself(site, stopped):
    """An image that is read in one pass is copied by threads of the owner: nothing is left to write when that ends."""
    owner = site.owner()
    standby = site.standby()
    image, digest = site.image(entangled=False)
    volume = site.create(imageRef=image)
    eventually(lambda: 0 < (site.operation(volume)["bytes_done"] or 0) < IMAGE_MIB << 20, "a copy")
    if stopped:
        os.kill(owner.pid, signal.SIGSTOP)
        site.end_lock_session()
        eventually(lambda: f"waiting for the end of process {owner.pid}" in standby.log.read_text(), "waiting")
        os.kill(owner.pid, signal.SIGCONT)
        assert owner.wait() == 75
    else:
        owner.kill()
    assert site.available(volume)["attempts"] == 2
    assert site.holder() == standby.pid
    site.assert_whole({volume: digest})


def test_no_child_has_the_lock(site):
    owner = site.owner()
    image, _ = site.image()
    volume, copier = site.copying(owner, imageRef=image)
    remote = f":{site.port:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    database = {f"socket:[{row[9]}]" for row in rows if row[2].endswith(remote)}
    assert database & files_of(owner.pid)
    assert not database & files_of(copier)
    os.kill(copier, signal.SIGCONT)
    site.available(volume)


def test_an_owner_without_its_lock_ends_and_a_standby_takes_over(site):
    owner = site.owner()
    site.standby()
    image, digest = site.image()
    volume, copier = site.copying(owner, imageRef=image)
    site.end_lock_session()
    assert owner.wait() == 75
    assert site.available(volume)["attempts"] == 2
    assert not is_alive(copier)
    site.assert_whole({volume: digest})


@pytest.mark.parametrize("wakes", [True, False], ids=["woken", "stopped for good"])
def test_a_stopped_owner_ends_before_another_one_touches_anything(site, wakes):
    """It holds the storage until it is seen to have ended: when it wakes, or when the kernel ends its lease."""
    owner = site.owner()
    standby = site.standby()
    image, digest = site.image()
    volume, copier = site.copying(owner, imageRef=image)
    os.kill(owner.pid, signal.SIGSTOP)
    site.end_lock_session()
    waiting = f"waiting for the end of process {owner.pid}"
    eventually(lambda: waiting in standby.log.read_text(), "waiting for the owner's end")
    assert site.holder() == owner.pid
    assert site.epoch() == 1
    if wakes:
        os.kill(owner.pid, signal.SIGCONT)
        assert owner.wait() == 75
    else:
        assert owner.wait() == -signal.SIGKILL
    assert site.available(volume)["attempts"] == 2
    assert site.holder() == standby.pid
    assert not is_alive(copier)
    site.assert_whole({volume: digest})


def test_postgresql_restarted_in_the_middle_loses_nothing(site, postgres_cluster):
    owner = site.owner()
    site.standby()
    image, digest = site.image()
    volume, _ = site.copying(owner, imageRef=image)
    others = [site.create() for _ in range(5)]
    postgres_cluster.restart()
    assert owner.wait() == 75
    site.start("worker", "--backend", "one")
    for one in (volume, *others):
        site.available(one)
    site.assert_whole({volume: digest, **dict.fromkeys(others)})


def test_a_stop_leaves_a_long_copy_to_the_next_owner(site):
    owner = site.owner()
    image, digest = site.image()
    volume, copier = site.copying(owner, imageRef=image)
    owner.stop(seconds=10)
    assert not is_alive(copier)
    assert site.holder() is None
    assert site.operation(volume)["state"] == "running"
    site.owner()
    assert site.available(volume)["attempts"] == 2
    site.assert_whole({volume: digest})


def test_an_owner_that_cannot_use_the_storage_gives_way_to_one_that_can(site):
    """As where a directory is not mounted on the one machine."""
    here = site.data_dir / "breezeblock.conf"
    unwell = site.directory / "unwell.conf"
    (site.directory / "file").touch()
    unwell.write_text(here.read_text() + f"simulated_path = {site.directory / 'file'}\n")
    first = site.start("worker", "--config-file", str(unwell))
    eventually(lambda: "cannot be used" in first.log.read_text(), "a vain attempt")
    second = site.owner()
    assert not first.has_ended
    site.available(site.create())
    assert site.holder() == second.pid


def test_two_slots_work_side_by_side(site):
    """Each volume is one slot's; one that is stopped holds up its own volumes only, and nothing is done twice."""
    with (site.data_dir / "breezeblock.conf").open("a") as file:
        file.write("backend_slots = 2\n")
    first = site.start("worker", "--backend", "one", "--slot", "0")
    second = site.start("worker", "--backend", "one", "--slot", "1")
    eventually(lambda: {pid for (pid,) in site.query("SELECT pid FROM slots")} == {first.pid, second.pid}, "two owners")
    eventually(lambda: site.client.call("GET", "/scheduler-stats/get_pools")["pools"], "a report")
    os.kill(first.pid, signal.SIGSTOP)
    volumes = [site.create() for _ in range(16)]
    mine = "SELECT resource_id FROM flow_requests JOIN operations USING (id) WHERE slot LIKE '%%#0'"
    held = eventually(lambda: {one for (one,) in site.query(mine)}, "volumes of the first slot")
    others = [one for one in volumes if one not in held]
    assert others
    for volume in others:
        site.available(volume)
    assert {one for (one,) in site.query(mine)} == held
    os.kill(first.pid, signal.SIGCONT)
    for volume in held:
        site.available(volume)
    standby = site.start("worker", "--backend", "one")
    waiting = [f"slot {name} belongs to another worker" for name in (site.slot, site.slot.replace("#0", "#1"))]
    eventually(lambda: all(line in standby.log.read_text() for line in waiting), "standing by for both")
    second.kill()
    more = [site.create() for _ in range(8)]
    for volume in more:
        site.available(volume)
    owners = dict(site.query("SELECT slot, pid FROM slots WHERE slot LIKE '%%one#_'"))
    assert owners == {site.slot: first.pid, site.slot.replace("#0", "#1"): standby.pid}
    site.assert_whole(dict.fromkeys([*volumes, *more]))


@pytest.mark.parametrize(
    ("options", "slot", "says"),
    [
        ("backend_slots = 2\n", "2", "has no slot 2"),
        ("volume_driver = directory\nbackend_slots = 2\n", "1", "lets one process work on its storage"),
    ],
)
def test_a_slot_that_cannot_be_is_told(site, options, slot, says):
    conf = site.data_dir / "breezeblock.conf"
    conf.write_text(conf.read_text().replace("volume_driver = simulated\n", "") + options)
    worker = site.start("worker", "--backend", "one", "--slot", slot)
    assert worker.wait() == 78
    assert says in worker.log.read_text()


def test_a_standby_stops_at_once(site):
    site.owner()
    site.standby().stop(seconds=10)


def test_sqlite_has_one_worker(tmp_path):
    with Server([PROGRAM, "worker", "--upgrade", "--data-dir", tmp_path], tmp_path / "log") as first:
        lock = tmp_path / "run" / "worker.lock"
        eventually(lambda: lock.exists() and lock.read_text() == str(first.pid), "the first worker's lock")
        second = subprocess.run(
            [PROGRAM, "worker", "--data-dir", tmp_path], capture_output=True, text=True, check=False
        )
        assert second.returncode == 1
        assert "SQLite has one worker process, enforced" in second.stderr
        assert f"held by process {first.pid}" in second.stderr
