"""A service of real processes that are killed at named points and started again, and looks at everything it leaves."""

import contextlib
import hashlib
import http.client
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from pathlib import Path
from typing import cast

import msgspec
import sqlalchemy as sa

from breezeblock import config
from breezeblock.cli.client import Client
from breezeblock.config import BackendSettings
from breezeblock.context import admin_context
from breezeblock.db import operations, tables, volumes
from breezeblock.db.connect import Database
from breezeblock.drivers.contract import BlockSource, Driver
from breezeblock.drivers.directory.driver import DirectoryDriver
from breezeblock.drivers.registry import open_driver
from breezeblock.errors import ServiceUnavailable
from breezeblock.exports.nbd import NbdExports
from breezeblock.flows import reconcile
from breezeblock.flows.backup_bases import moment_id
from breezeblock.keys.local import LocalKeys
from breezeblock.keys.store import passphrase
from breezeblock.model.states import PASSING
from breezeblock.model.volume import Volume
from breezeblock.services.doctor.examine import examine
from scripts.chaos.content import digest_of
from scripts.service import ServiceFailed, export_daemons
from tests import encrypted
from tests.nursery import Nursery
from tests.processes import Server, free_port

PROGRAM = Path(sys.executable).with_name("breezeblock")
BACKENDS = (
    "sim",
    "plain",
    "slow",
    "cloning",
    "flaky",
    "spare",
    "broken",
    "weak",
    "twin",
    "dir",
    "adopt",
    "adopt-cached",
)
DIRECTORIES = ("dir", "adopt", "adopt-cached")
FAILING = (
    "create_snapshot delete_snapshot extend_volume delete_volume initialize_connection terminate_connection "
    "update_replica copy_image_to_volume open_volume revert_to_snapshot "
    "manage_existing unmanage create_group_snapshot create_cloned_volume"
).split()
"""The verbs that fail on the backend `weak` while a scenario wants them to."""

FAILURES = 20
SECONDS = 180
"""An image of an encrypted volume is a GiB, hashed when it comes and when it is read."""
LOOK_SECONDS = 0.02
BACKGROUND = {"take_slot", "take_up", "restore_exports", "report_pools"}
"""The places that are passed now and then, whatever is asked."""
CONF = """
[DEFAULT]
enabled_backends = {backends}
host = here
osapi_volume_listen_port = {port}
allowed_direct_url_schemes = cinder
backend_stats_polling_interval = 5
replica_refresh_interval = 100000
[database]
connection = {database_url}
[sim]
volume_driver = simulated
simulated_replication = true
simulated_group_snapshots = true
image_volume_cache_max_count = 1
[plain]
volume_driver = simulated
simulated_revert = false
backup_changed_blocks = true
pool_name = DS01, DS02
image_volume_cache_enabled = false
[slow]
volume_driver = simulated
image_volume_cache_enabled = false
volume_copy_bps_limit = 5000000
[cloning]
volume_driver = simulated
simulated_clone_image = true
[flaky]
volume_driver = simulated
volume_backend_name = pair
simulated_capacity_gb = 5000
simulated_failures = create_volume:error:200
[spare]
volume_driver = simulated
volume_backend_name = pair
simulated_capacity_gb = 500
[broken]
volume_driver = simulated
simulated_failures = create_volume:error:200
[weak]
volume_driver = simulated
simulated_replication = true
simulated_group_snapshots = true
simulated_failures = {failures}
[twin]
volume_driver = simulated
simulated_replication = true
simulated_target = secondary
image_volume_cache_enabled = false
[dir]
volume_driver = directory
directory_path = {volumes}
replication_device = {volumes}-replicas
[adopt]
volume_driver = directory
directory_path = {elsewhere}/adopt
image_volume_cache_enabled = false
image_adopt = true
[adopt-cached]
volume_driver = directory
directory_path = {elsewhere}/adopt-cached
image_adopt = true
"""
TYPES = {
    name: {"volume_backend_name": name}
    for name in ("sim", "plain", "slow", "cloning", "broken", "weak", "dir", "pair", "adopt", "adopt-cached")
} | {
    f"replicated-{name}": {"volume_backend_name": name, "replication_enabled": "<is> True"}
    for name in ("sim", "weak", "twin", "dir")
}
SECRET = {
    "secret": "sim",
    "secret-dir": "dir",
    "secret-plain": "plain",
    "secret-weak": "weak",
    "secret-pair": "pair",
    "secret-broken": "broken",
}
"""The types whose volumes are encrypted, and their backends."""

ENCRYPTION = {"provider": "luks", "control_location": "front-end", "cipher": "aes-xts-plain64", "key_size": 256}
TYPES |= {name: {"volume_backend_name": backend} for name, backend in SECRET.items()}
TYPES |= {"replicated-secret": {"volume_backend_name": "sim", "replication_enabled": "<is> True"}}
TYPES |= {
    "secret-long": {"volume_backend_name": "sim"},
    "secret-long-dir": {"volume_backend_name": "dir"},
    "secret-long-weak": {"volume_backend_name": "weak"},
}
"""The same with another size of key, so that a retype puts them under another one."""
TYPES |= {"sim-too": {"volume_backend_name": "sim", "capabilities:pool_name": "sim"}}
TYPES |= {"lazy-dir": {"volume_backend_name": "dir", "image_hydration": "lazy"}}
PAYLOAD = random.Random(3).randbytes((5 << 20) + 4096)  # 6 pieces of an image, 2 chunks of a backup
PAYLOAD_SHA = hashlib.sha256(PAYLOAD).hexdigest()
EMPTY_SHA = hashlib.sha256(b"").hexdigest()
ENDED = {"succeeded", "failed", "cancelled"}


class World:
    """API and worker on one data directory, with kill points enabled. Another set of backends is a subclass's."""

    backends: tuple[str, ...] = BACKENDS
    directories: tuple[str, ...] = DIRECTORIES
    types: dict[str, dict[str, str]] = TYPES

    def __init__(self, directory: Path, database_url: str | None = None):
        self.data_dir = directory / "data"
        self.kill_dir = directory / "kill"
        for path in (self.data_dir, self.kill_dir):
            path.mkdir(parents=True, mode=0o700)
        self.port = free_port()
        # on another filesystem than the images, which could be linked otherwise
        self._elsewhere = tempfile.mkdtemp(dir="/dev/shm")
        url = database_url or f"sqlite:///{self.data_dir / 'breezeblock.db'}"
        conf = CONF.format(
            backends=", ".join(self.backends),
            port=self.port,
            database_url=url,
            volumes=self.data_dir / "volumes",
            elsewhere=self._elsewhere,
            failures=", ".join(f"{verb}:error:{FAILURES}" for verb in FAILING),
        )
        (self.data_dir / "breezeblock.conf").write_text(conf + self.sections())
        self._faults = self.data_dir / "simulated-weak" / "faults"
        self._faults.mkdir(parents=True)
        self.mend()
        self.keys = LocalKeys(self.data_dir / "keys")
        self.log = directory / "log"
        self.stopping = False
        self.kills = 0
        self._nursery = Nursery({"BREEZEBLOCK_KILL_DIR": str(self.kill_dir)})
        self._servers: dict[str, Server] = {}
        self._keeper = threading.Thread(target=self._keep)
        self._lock = threading.Lock()

    def sections(self) -> str:
        """What else stands in the configuration."""
        return ""

    def start(self) -> None:
        for role in ("worker", "api"):
            self._start(role)
        self.wait_for_api()
        self._keeper.start()
        self.settings = config.load(self.data_dir)
        self.database = Database(self.settings.database_url)
        self.client = Client(self.data_dir)
        self.wait(lambda: len(self.client.call("GET", "/scheduler-stats/get_pools")["pools"]) > len(self.backends))
        self.drivers = {name: self.reader(self.settings.backend(name)) for name in self.backends}
        for name, specs in self.types.items():
            made = self.client.call("POST", "/types", {"volume_type": {"name": name, "extra_specs": specs}})
            if "secret" in name:
                path = f"/types/{made['volume_type']['id']}/encryption"
                bits = 512 if "long" in name else ENCRYPTION["key_size"]
                self.client.call("POST", path, {"encryption": {**ENCRYPTION, "key_size": bits}})

    def reader(self, settings: BackendSettings) -> Driver:
        """A driver in this process, to look at what the worker's does; exports belong to that alone."""
        if settings.name in self.directories:
            settings = msgspec.structs.replace(settings, data_dir=self.data_dir.parent / "reader")
        return open_driver(settings)

    def wait_for_api(self) -> None:
        self._servers["api"].wait_for(f"http://127.0.0.1:{self.port}/healthcheck")

    def _start(self, role: str) -> None:
        argv: list[str | Path] = [PROGRAM, role, "--data-dir", self.data_dir, *(["--upgrade"] * (role == "worker"))]
        self._servers[role] = Server(argv, self.log, nursery=self._nursery)

    def _keep(self) -> None:
        """Start again what dies."""
        while not self.stopping:
            with self._lock:
                for role, server in self._servers.items():
                    if server.has_ended and not self.stopping:
                        self._start(role)
            time.sleep(LOOK_SECONDS)

    def stop(self) -> None:
        with self._lock:
            self.stopping = True
        self._keeper.join()
        for server in self._servers.values():
            server.stop()
        self._nursery.close()
        self.database.close()
        for name in self.directories:
            cast(DirectoryDriver, self.drivers[name]).close()
            exports = NbdExports(self.data_dir / "run" / "nbd" / name)
            exports.adopt()
            exports.shutdown()
        shutil.rmtree(self._elsewhere)

    def kill(self, role: str) -> None:
        with self._lock:
            self._servers[role].kill()

    # failing

    def mend(self) -> None:
        """No verb fails on `weak`: all its failures have been."""
        for number in range(len(FAILING)):
            for time_ in range(FAILURES):
                (self._faults / f"failure-{number}-{time_}").touch()

    def fail(self, verb: str) -> None:
        """A verb fails on `weak` from now on."""
        for path in self._faults.glob(f"failure-{FAILING.index(verb)}-*"):
            path.unlink()

    # arming

    def arm(self, *points: str) -> str:
        """Arm points `NAME:N:TIMES`; the token that tells this arming from others."""
        token = uuid.uuid4().hex[:8]
        new = self.kill_dir / "armed.new"
        new.write_text(" ".join(f"{point}:{token}" for point in points))
        new.rename(self.kill_dir / "armed")
        return token

    def disarm(self) -> None:
        (self.kill_dir / "armed").unlink(missing_ok=True)
        # a commit that was killed is never told
        (self.kill_dir / "reached").unlink(missing_ok=True)

    def fired(self, token: str) -> int:
        path = self.kill_dir / "fired"
        return path.read_text().count(token) if path.exists() else 0

    def forget_reached(self) -> None:
        """Forget all points passed so far, those of commits that are seen but not told yet too."""
        self.reached()
        (self.kill_dir / "reached").unlink(missing_ok=True)

    def reached(self) -> list[str]:
        """The points passed, once each commit's end is told: what it wrote is seen a moment before."""
        path = self.kill_dir / "reached"

        def told():
            points = path.read_text().splitlines() if path.exists() else []
            places = [point.rpartition(".") for point in points]
            begun = Counter(place for place, _, event in places if event == "before_commit" and place not in BACKGROUND)
            ended = Counter(place for place, _, event in places if event == "after_commit")
            return None if begun - ended else (points,)

        return cast(tuple[list[str]], self.wait(told, otherwise="a commit's end was not told"))[0]

    # asking

    def wait(self, done, seconds: float = SECONDS, otherwise: str = "took too long"):
        deadline = time.monotonic() + seconds
        while not (found := done()):
            assert time.monotonic() < deadline, f"{otherwise}; {self.tail()}"
            time.sleep(LOOK_SECONDS)
        return found

    def tail(self) -> str:
        return f"requests {self.requests()}\n" + self.log.read_text(errors="replace")[-3000:]

    def call(self, method: str, path: str, body=None):
        """A call by somebody who tries again until the API answers at all."""
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                return self.client.call(method, path, body)
            except ServiceUnavailable:
                assert time.monotonic() < deadline, self.tail()
                time.sleep(LOOK_SECONDS)

    def find(self, kind: str, name: str):
        """The resource of that name, or None."""
        listed = self.call("GET", f"/{kind}/detail?all_tenants=1&limit=1000")[kind]
        found = [one for one in listed if one["name"] == name]
        assert len(found) <= 1, found
        return found[0] if found else None

    def requests(self) -> list[str]:
        with self.database.read() as connection:
            rows = connection.execute(sa.select(tables.flow_requests.c.flow, tables.flow_requests.c.attempts))
            return [f"{row.flow}:{row.attempts}" for row in rows]

    def settle(self) -> None:
        """Wait until no flow is left."""
        self.wait(lambda: not self.requests())

    def made(self, kind: str, **fields):
        """Make a resource and wait until it is available; its id."""
        key = kind.removesuffix("s")
        resource_id = self.call("POST", f"/{kind}", {key: fields})[key]["id"]
        self.settle()
        found = self.call("GET", f"/{kind}/{resource_id}")[key]
        assert found["status"] == "available", (found, self.tail())
        return resource_id

    def remove(self, kind: str, resource_id: str) -> None:
        self.call("DELETE", f"/{kind}/{resource_id}")
        self.settle()

    def image(self, disk_format: str = "raw", location: str | None = None) -> str:
        """An image with the payload; with a location of its own where told."""
        image_id = self.new_image(disk_format)
        self.upload(image_id, PAYLOAD if disk_format == "raw" else self._qcow2())
        if location:
            with self.database.begin() as changing:
                changed = sa.update(tables.images).where(tables.images.c.id == image_id)
                changing.execute(changed.values(locations=[{"url": location, "metadata": {}}]))
        return image_id

    def new_image(self, disk_format: str = "raw") -> str:
        """An image without data."""
        image_id = str(uuid.uuid4())
        body = {"id": image_id, "name": image_id, "disk_format": disk_format, "container_format": "bare"}
        self._images("POST", "", json.dumps(body).encode(), "application/json")
        return image_id

    def upload(self, image_id: str, content: bytes) -> None:
        """Give an image its data. Raises `ServiceUnavailable` when the API dies over it."""
        self._images("PUT", f"/{image_id}/file", content, "application/octet-stream")

    def delete_image(self, image_id: str) -> None:
        """Raises `ServiceUnavailable` when the API dies over it."""
        self._images("DELETE", f"/{image_id}", b"", "application/json")

    def has_image(self, image_id: str) -> bool:
        """Whether its row is there."""
        with self.database.read() as connection:
            return connection.scalar(sa.select(tables.images.c.id).where(tables.images.c.id == image_id)) is not None

    def image_status(self, image_id: str) -> str:
        """The status of an image, from its row."""
        with self.database.read() as connection:
            query = sa.select(tables.images.c.status).where(tables.images.c.id == image_id)
            return str(connection.execute(query).scalar_one())

    def image_of(self, name: str) -> str:
        """The id of the one image of that name that has its data."""
        table = tables.images
        with self.database.read() as connection:
            query = sa.select(table.c.id).where(table.c.name == name, table.c.status == "active")
            return str(connection.execute(query).scalar_one())

    def _images(self, method: str, path: str, sent: bytes, kind: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        try:
            connection.request(method, f"/image/v2/images{path}", sent, {"Content-Type": kind})
            answer = connection.getresponse()
            told = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise ServiceUnavailable(f"The API died: {error!r}") from error
        finally:
            connection.close()
        if answer.status >= 300:
            raise ServiceFailed(told.decode(errors="replace"))

    def _qcow2(self) -> bytes:
        raw, made = self.data_dir.parent / "payload.raw", self.data_dir.parent / "payload.qcow2"
        if not made.exists():
            raw.write_bytes(PAYLOAD)
            subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, made], check=True)
        return made.read_bytes()

    def request_refresh(self, volume_id: str) -> None:
        """What the worker's rounds ask for when a replica is old."""
        self.request_flow("refresh_replica", volume_id)

    def request_purge(self, backend: str, name: str) -> None:
        """What `doctor --fix` asks for when it finds an orphan."""
        with self.database.begin() as connection:
            context, host = admin_context(), self.settings.backend(backend).backend
            reconcile.request_purge(connection, context, str(uuid.uuid4()), host, name, replica=False)

    def request_flow(self, flow: str, volume_id: str, **more: str) -> None:
        """A flow about a volume, as nobody asks for it by the API."""
        with self.database.begin() as connection:
            operations.request_flow(
                connection,
                admin_context(),
                flow,
                operation_id=str(uuid.uuid4()),
                resource=volumes.get(connection, volume_id),
                arguments={"volume_id": volume_id, **more},
            )

    def overwrite(self, volume_id: str) -> None:
        """Let a volume that nobody works on read as zeros."""
        with self.database.read() as connection:
            volume = volumes.get(connection, volume_id)
        self.driver_of(volume).copy_image_to_volume(volume, f"nothing:{uuid.uuid4()}", lambda target: None)

    def driver_of(self, volume: Volume) -> Driver:
        """The driver of the backend that a volume lies on, in this process."""
        return self.drivers[(volume.host or "").partition("@")[2].partition("#")[0]]

    def forget(self, volume_id: str) -> None:
        """Lose the row of a volume that lies on the storage."""
        with self.database.begin() as connection:
            volumes.remove(connection, volume_id)

    # looking

    def count_operations(self) -> int:
        """How many were ever asked for."""
        with self.database.read() as connection:
            return connection.execute(sa.select(sa.func.count()).select_from(tables.operations)).scalar_one()

    def reports(self) -> str:
        """When the worker last said what it has room for."""
        with self.database.read() as connection:
            return str(connection.execute(sa.select(sa.func.min(tables.pools.c.updated_at))).scalar_one())

    def content(self, volume_id: str) -> str:
        """SHA-256 of the volume's bytes up to the last that is not zero, read by its driver."""
        with self.database.read() as connection:
            volume = volumes.get(connection, volume_id)
        with self.driver_of(volume).open_volume(volume) as source:
            assert source.size == volume.size_bytes, (source.size, volume.size)
            return digest_of(source) if volume.encryption_key_id is None else self._inside(volume, source)

    def _inside(self, volume: Volume, source: BlockSource) -> str:
        """SHA-256 of as much as the payload has, which QEMU reads inside the container with the volume's own key."""
        key = passphrase(self.keys.get(str(volume.encryption_key_id)))
        container = encrypted.dump(source, self.data_dir.parent / "container")
        try:
            return hashlib.sha256(encrypted.inside(container, key, 6)[: len(PAYLOAD)]).hexdigest()
        finally:
            container.unlink()

    def complaints(self) -> list[str]:
        """All that is not as it should be when nothing runs: passing states, and storage that no row knows or misses."""
        found = [f"flow request {one} is left" for one in self.requests()]
        with self.database.read() as connection:
            for table in (tables.volumes, tables.snapshots, tables.backups, tables.groups, tables.group_snapshots):
                for row in connection.execute(sa.select(table.c.id, table.c.status)):
                    if row.status in PASSING:
                        found.append(f"{table.name} {row.id} is {row.status}")
            for operation in connection.execute(sa.select(tables.operations)):
                if operation.state not in ENDED:
                    found.append(f"operation {operation.kind} {operation.id} is {operation.state}")
            if connection.execute(sa.select(sa.func.count()).select_from(tables.flow_checkpoints)).scalar_one():
                found.append("checkpoints are left")
            known: dict[str, set[str]] = {name: set() for name in self.backends}
            half_deleted: set[str] = set()
            for table, prefix in ((tables.volumes, "volume"), (tables.snapshots, "snapshot")):
                whole = (table.c.launched_at.is_not(None)) if prefix == "volume" else (table.c.progress == "100%")
                query = sa.select(table.c.id, table.c.host, table.c.status, whole)
                for row_id, host, status, was_made in connection.execute(query):
                    backend = host.partition("@")[2].partition("#")[0]
                    if status not in ("error", "error_managing") or was_made:
                        known[backend].add(f"{prefix}-{row_id}")
                    if status == "error_deleting":
                        half_deleted.add(f"{prefix}-{row_id}")
            bases = sa.select(tables.backups.c.id).where(tables.backups.c.base_kept)
            compared = {f"snapshot-{moment_id(backup_id)}" for backup_id in connection.scalars(bases)}
            kept = {f"volume-{row.volume_id}" for row in connection.execute(sa.select(tables.backups.c.volume_id))}
            held = set()
            for table in (tables.volumes, tables.backups):
                held |= set(connection.scalars(sa.select(table.c.encryption_key_id).where(table.c.status != "error")))
            held |= set(connection.scalars(sa.select(tables.image_keys.c.encryption_key_id)))
        for name, driver in self.drivers.items():
            there = set(driver.list_objects())
            found += [f"{name} has {one}, which no row knows" for one in sorted(there - known[name] - compared)]
            found += [f"{name} misses {one}" for one in sorted(known[name] - there - half_deleted)]
        found += [f"the keys have {one}, which no row knows" for one in sorted(set(self.keys.ids()) - held)]
        found += [f"the keys miss {one}" for one in sorted(held - {None} - set(self.keys.ids()))]
        store = self.data_dir / "backups"
        stored = set(os.listdir(store)) - {".lock"} if store.exists() else set()
        found += [f"the backup store has {one}, which no row knows" for one in sorted(stored - kept)]
        return found

    def examined(self) -> list[str]:
        """What an examination finds, made in this process: it is asked after every kill."""
        return [f"doctor: {one.resource} {one.id} {one.wrong}" for one in examine(self.settings, self.database)]

    def doctor(self) -> list[str]:
        """What `breezeblock doctor` finds."""
        argv: list[str | Path] = [PROGRAM, "doctor", "--data-dir", self.data_dir]
        run = subprocess.run(argv, capture_output=True, text=True, check=False)
        return [f"doctor: {run.stdout}{run.stderr}"] if run.returncode else []

    def kill_export_daemons(self) -> None:
        """All of them."""
        for pid in export_daemons(self.data_dir):
            os.kill(pid, signal.SIGKILL)


def attempt(call) -> bool:
    """Whether somebody got an answer; False when the API died over it."""
    with contextlib.suppress(ServiceUnavailable):
        call()
        return True
    return False
