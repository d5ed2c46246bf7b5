"""A site on PostgreSQL: a private cluster (fsync on), an API process, the worker that owns the backend, and a standby."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import psycopg
import sqlalchemy as sa

from bench.client import ApiError, Client, Endpoint
from bench.embedded import CONFIGURATION, end_leftovers, first_volume
from bench.processes import ServerProcesses
from bench.scenarios import Sample, Target
from tests import postgres
from tests.processes import Server, free_port

PROGRAM = Path(sys.executable).with_name("breezeblock")
READY_SECONDS = 60.0
LOOK_SECONDS = 0.002
ROLES = ("api", "worker")
"""Each process has a database user of its own, so that the server's statistics tell who sent what."""


class Site:
    """A subject of the rounds, and a context manager that stops everything. Its processes run until it ends."""

    name = "Breezeblock"

    def __init__(self, directory: Path, image_file: Path, repeat: int) -> None:
        self.data_dir = directory / "data"
        self._directory = directory
        self._image_file = image_file
        self._repeat = repeat
        self._started = 0
        self.workers: list[Server] = []

    def __enter__(self) -> Self:
        """Start everything, and wait until a volume can be made and the standby stands by."""
        self.data_dir.mkdir(mode=0o700, parents=True)
        self._cluster = postgres.start()
        try:
            self._open()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop everything, export daemons too."""
        for server in [*self.workers, *([self.api] if hasattr(self, "api") else [])]:
            server.stop()
        end_leftovers(ServerProcesses(matching=str(self.data_dir)))
        self._cluster.stop()

    def begin_round(self) -> tuple[Target, dict[str, Sample]]:
        """Where to measure; nothing is started anew."""
        client = self.client()
        return Target(
            name=self.name,
            client=client,
            listing=client,
            processes=ServerProcesses([self.postmaster], str(self.data_dir)),
            image_file=self._image_file,
            repeat=self._repeat,
        ), {}

    def client(self) -> Client:
        """A new client of the API."""
        return Client(Endpoint(volumes=f"http://{self._address}/v3", images=f"http://{self._address}/image/v2"))

    def query(self, statement: str) -> list[tuple[object, ...]]:
        """The rows that a statement answers, asked as the bench's own database user."""
        return self._connection.execute(statement.encode()).fetchall()

    def groups(self) -> dict[str, ServerProcesses]:
        """The processes by what they are for; those of the worker are the standby and the programs it runs, too."""
        return {
            "api": ServerProcesses([self.api.pid]),
            "worker": ServerProcesses(matching=str(self.data_dir), without=[self.api.pid]),
            "postgresql": ServerProcesses([self.postmaster]),
        }

    def settle(self) -> None:
        """Wait until no flow is left to run, by the database, so that waiting costs the API nothing."""
        wait_until(lambda: self.query("SELECT count(*) FROM flow_requests") == [(0,)], LOOK_SECONDS)

    def start_worker(self) -> Server:
        """A worker that owns the backend or stands by for it."""
        self._started += 1
        log = self._directory / f"worker-{self._started}.log"
        arguments: list[str | Path] = ["--data-dir", self.data_dir, "--config-file", self._file("worker")]
        worker = Server([PROGRAM, "worker", *arguments], log)
        self.workers.append(worker)
        return worker

    def owner(self) -> Server:
        """The worker that the database names as the owner of the backend."""
        (pid,) = [pid for (pid,) in self.query("SELECT pid FROM slots WHERE slot LIKE '%@%'")]
        (owner,) = [worker for worker in self.workers if worker.pid == pid]
        return owner

    def stand_by(self) -> Server:
        """A new worker, once it stands by."""
        worker = self.start_worker()
        wait_until(lambda: "@directory#0 belongs to another worker; standing by" in worker.log.read_text())
        return worker

    def _open(self) -> None:
        superuser = self._cluster.url("postgres", driver="")
        with psycopg.connect(superuser, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'")
            password = str(sa.make_url(superuser).password)
            for role in ROLES:
                connection.execute(f"CREATE ROLE {role} SUPERUSER LOGIN PASSWORD '{password}'".encode())
        self._cluster.restart()
        name = self._cluster.new_database("bench")
        self._connection = psycopg.connect(self._cluster.url(name, driver=""), autocommit=True)
        self._connection.execute("CREATE EXTENSION pg_stat_statements")
        ((directory,),) = self.query("SHOW data_directory")
        self.database_files = str(directory)
        self.postmaster = int((Path(self.database_files) / "postmaster.pid").read_text().split()[0])
        self._address = f"127.0.0.1:{free_port()}"
        for role in ROLES:
            url = sa.make_url(self._cluster.url(name)).set(username=role).render_as_string(hide_password=False)
            self._file(role).write_text(f"{CONFIGURATION}[database]\nconnection = {url}\n")
        arguments: list[str | Path] = ["--data-dir", self.data_dir, "--config-file", self._file("api")]
        subprocess.run([PROGRAM, "db", "upgrade", *arguments], check=True)
        self.api = Server([PROGRAM, "api", *arguments, "--listen", self._address], self._directory / "api.log")
        self.api.wait_for(f"http://{self._address}/healthcheck")
        self.start_worker()
        client = self.client()
        volume_id = first_volume(client)
        client.delete("volume", volume_id)
        client.wait_gone("volume", volume_id)
        self.stand_by()

    def _file(self, role: str) -> Path:
        return self.data_dir / f"{role}.conf"


def wait_until(done: Callable[[], bool], pause: float = 0.02) -> None:
    """Look until `done`. Raises `ApiError` when it does not come to be."""
    deadline = time.monotonic() + READY_SECONDS
    while not done():
        if time.monotonic() > deadline:
            raise ApiError(f"What was waited for did not happen within {READY_SECONDS:.0f} s.")
        time.sleep(pause)
