"""The service as it is run: `serve` on SQLite, or two APIs, a worker and its standby on PostgreSQL; what dies is started again."""

import contextlib
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from breezeblock import config
from breezeblock.config import Settings
from breezeblock.drivers.registry import make_driver
from breezeblock.lockfile import EXIT_LOST_SLOT
from breezeblock.model import clock
from breezeblock.model.snapshot import Snapshot
from breezeblock.model.volume import Volume
from scripts.chaos.api import Api, NoAnswer
from scripts.chaos.content import digest_of
from scripts.chaos.ledger import Item
from scripts.service import BREEZEBLOCK, export_daemons
from tests.postgres import Cluster
from tests.processes import Server, free_port

CONFIGURATION = """
[DEFAULT]
enabled_backends = dir, sim
replica_refresh_interval = 5
backend_stats_polling_interval = 5
{database}
[dir]
volume_driver = directory
directory_path = {volumes}
[sim]
volume_driver = simulated
simulated_replication = true
image_volume_cache_max_count = 2
"""
BACKENDS = ("dir", "sim")
TYPES = {"dir": {}, "sim": {}, "replicated": {"replication_enabled": "<is> True"}}
START_SECONDS = 60.0
LOOK_SECONDS = 0.05


class Site:
    """The processes of one service, and its data directory."""

    def __init__(self, directory: Path, cluster: Cluster | None) -> None:
        self.cluster = cluster
        self.data_dir = directory / "data"
        self.data_dir.mkdir(mode=0o700)
        self.log = directory / "log"
        database = f"[database]\nconnection = {cluster.url(cluster.new_database())}" if cluster else ""
        (self.data_dir / "breezeblock.conf").write_text(
            CONFIGURATION.format(database=database, volumes=self.data_dir / "volumes")
        )
        addresses = [f"127.0.0.1:{free_port()}" for _ in ("a", "b")[: 2 if cluster else 1]]
        own: list[str | Path] = ["--data-dir", self.data_dir]
        self._argv: dict[str, list[str | Path]] = {"serve": ["serve", *own, "--listen", addresses[0]]}
        if cluster:
            self._argv = {f"api {one}": ["api", *own, "--listen", one] for one in addresses}
            self._argv |= {f"worker {one}": ["worker", *own, "--upgrade"] for one in ("a", "b")}
        self.servers: dict[str, Server] = {}
        self.ends: Counter[str] = Counter()
        """How processes ended, those that were killed apart."""
        self.api = Api(addresses)
        self._keeping = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="keeper")

    @property
    def settings(self) -> Settings:
        """The service's own configuration."""
        return config.load(self.data_dir)

    def start(self) -> None:
        """Start everything, and wait until all backends have reported."""
        for name, argv in self._argv.items():
            self.servers[name] = Server([BREEZEBLOCK, *argv], self.log)
        self._keeper.start()
        deadline = time.monotonic() + START_SECONDS
        while not self._is_up():
            if time.monotonic() > deadline:
                raise SystemExit(f"The service does not start:\n{self.tail()}")
            time.sleep(LOOK_SECONDS)
        for name, specs in TYPES.items():
            backend = {"volume_backend_name": "sim" if name == "replicated" else name}
            self.api.once("POST", "/types", {"volume_type": {"name": name, "extra_specs": backend | specs}})

    def _is_up(self) -> bool:
        with contextlib.suppress(NoAnswer):
            return len(self.api.once("GET", "/scheduler-stats/get_pools")["pools"]) == len(BACKENDS)
        return False

    def _keep(self) -> None:
        while not self._keeping.wait(LOOK_SECONDS):
            for name, server in self.servers.items():
                if server.has_ended:
                    self._count_end(name, server.wait())
                    self.servers[name] = Server([BREEZEBLOCK, *self._argv[name]], self.log)

    def _count_end(self, name: str, code: int) -> None:
        if code == EXIT_LOST_SLOT and self.cluster:
            self.ends[f"{name.partition(' ')[0]} lost its slot"] += 1
        elif code == 1 and self.tail().rstrip().endswith("; stop it first."):
            self.ends[f"{name} found a stopped worker of the one before it"] += 1
        elif code != -signal.SIGKILL:
            self.ends[f"{name} ended by itself with {code}"] += 1

    def stop(self) -> None:
        """End everything in order."""
        self._keeping.set()
        self._keeper.join()
        for server in self.servers.values():
            server.stop()

    def abort(self) -> None:
        """End what is left, also of a run that broke, export daemons included."""
        self._keeping.set()
        if self._keeper.is_alive():
            self._keeper.join()
        for server in self.servers.values():
            server.kill()
        for pid in export_daemons(self.data_dir):
            os.kill(pid, signal.SIGTERM)

    def tail(self) -> str:
        """The end of what the service logged."""
        return self.log.read_text(errors="replace")[-3000:]

    def processes(self) -> Iterator[tuple[str, int]]:
        """What may die, by kind."""
        for name, server in list(self.servers.items()):
            if name == "serve":
                yield "everything", server.pid
                members = [(role_of(pid), pid) for pid in children(server.pid)]
            else:
                members = [(name.partition(" ")[0], server.pid)]
            for role, pid in members:
                if role in ("api", "worker"):
                    yield role, pid
                if role == "api":
                    yield from (("api process", child) for child in children(pid))
        for pid in export_daemons(self.data_dir):
            yield "storage daemon", pid

    def digest(self, item: Item) -> str:
        """The hash of what a volume or snapshot that nobody has open holds, and its size; read by its driver."""
        own = msgspec.structs.replace(self.settings.backend(item.backend), data_dir=self.data_dir.parent / "reader")
        if item.backend == "sim":
            own = self.settings.backend(item.backend)
        driver = make_driver(own)  # a reader: it owns nothing and mends nothing
        with driver.open_volume(_record(item)) as source:
            if source.size != item.size << 30:
                return f"{source.size} bytes instead of {item.size} GiB"
            return digest_of(source)


def _record(item: Item) -> Volume | Snapshot:
    own: dict[str, Any] = {
        "id": item.id,
        "project_id": "",
        "user_id": "",
        "status": "available",
        "created_at": clock.now(),
    }
    if item.kind == "volumes":
        return Volume(size=item.size, **own)
    return Snapshot(volume_id=item.volume or "", volume_size=item.size, **own)


def children(pid: int) -> list[int]:
    """The child processes of a process; none when it has ended."""
    try:
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def command_of(pid: int) -> list[str]:
    """The command line of a process; empty when it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


def role_of(pid: int) -> str:
    """worker, api or nothing."""
    return next((one for one in ("worker", "api") if one in command_of(pid)), "")
