"""A PostgreSQL of the tests' own: one throwaway cluster for a run, a fresh database for each test that asks.

The cluster is a real one with fsync on. It runs as the user `postgres` where the tests run as root, listens on a
free loopback port with a password made for it, and dies with the test run, however that ends.
"""

import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from tests.processes import free_port

START_SECONDS = 60
SETTINGS = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{directory}'
max_connections = 200
shared_buffers = 32MB
fsync = on
"""


class PostgresError(Exception):
    """The tests' PostgreSQL is not installed or does not start."""


class Cluster:
    """A running cluster. `new_database` makes databases, `stop` ends it and removes every file."""

    def __init__(self, directory: Path, password: str, port: int, server: subprocess.Popen[bytes]) -> None:
        self._directory = directory
        self._password = password
        self._port = port
        self._server = server

    def url(self, database: str, driver: str = "+psycopg") -> str:
        """The SQLAlchemy URL of a database; with an empty `driver` the one that libpq and psycopg take."""
        return f"postgresql{driver}://postgres:{self._password}@127.0.0.1:{self._port}/{database}"

    def new_database(self, prefix: str = "test") -> str:
        """Make an empty database and return its name."""
        name = f"{prefix}_{secrets.token_hex(6)}"
        self._execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return name

    def drop_database(self, name: str) -> None:
        """Drop a database, whoever is still connected to it."""
        self._execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def restart(self, how: signal.Signals = signal.SIGINT, seconds_down: float = 0.0) -> None:
        """End the server, every session with it, and start it again. Raises `PostgresError`.

        SIGINT ends it in order, SIGQUIT at once, SIGKILL the postmaster alone, whose children follow when they notice.
        """
        self._server.send_signal(how)
        self._server.wait(timeout=START_SECONDS)
        time.sleep(seconds_down)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:  # a killed postmaster's children may have the shared memory still
            self._server = _serve(self._directory, self._port)
            if _answers(self.url("postgres", driver=""), self._server):
                return
        raise PostgresError("PostgreSQL does not start again: " + (self._directory / "log").read_text()[-2000:])

    def stop(self) -> None:
        """End the server at once (SIGQUIT: nobody needs its data again) and remove its directory."""
        self._server.send_signal(signal.SIGQUIT)
        self._server.wait(timeout=START_SECONDS)
        shutil.rmtree(self._directory)

    def _execute(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.url("postgres", driver=""), autocommit=True) as connection:
            connection.execute(statement)


def programs() -> Path:
    """The directory of the newest PostgreSQL's programs, which Debian keeps out of PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(re.sub(r"\D", "", str(path))))
    if found:
        return found[-1].parent
    in_path = shutil.which("initdb")
    if in_path is None:
        raise PostgresError("PostgreSQL's server is not installed; run make setup, or apt-get install postgresql.")
    return Path(in_path).resolve().parent


def start() -> Cluster:
    """Make a cluster in a temporary directory and start it. Raises `PostgresError` with the server's log."""
    directory = Path(tempfile.mkdtemp(prefix="breezeblock-postgres-"))
    if os.geteuid() == 0:
        owner = pwd.getpwnam("postgres")
        os.chown(directory, owner.pw_uid, owner.pw_gid)
    password = secrets.token_hex(16)
    try:
        _initialise(directory, password)
        for _ in range(3):  # another program may take the free port before the server does
            port = free_port()
            server = _serve(directory, port)
            if _answers(f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres", server):
                return Cluster(directory, password, port, server)
        raise PostgresError("PostgreSQL does not start: " + (directory / "log").read_text()[-2000:])
    except BaseException:
        shutil.rmtree(directory)
        raise


@contextmanager
def fresh_database(cluster: Cluster) -> Iterator[str]:
    """The SQLAlchemy URL of a database that exists for as long as the block runs."""
    name = cluster.new_database()
    try:
        yield cluster.url(name)
    finally:
        cluster.drop_database(name)


def _initialise(directory: Path, password: str) -> None:
    secret = directory / "password"
    secret.write_text(password)
    if os.geteuid() == 0:
        owner = pwd.getpwnam("postgres")
        os.chown(secret, owner.pw_uid, owner.pw_gid)
    argv = [str(programs() / "initdb"), "--pgdata", str(directory / "data"), "--pwfile", str(secret), "--no-sync"]
    argv += ["--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8"]
    done = subprocess.run(_as_postgres(argv), cwd=directory, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PostgresError(f"initdb failed: {done.stderr}")


def _serve(directory: Path, port: int) -> subprocess.Popen[bytes]:
    (directory / "data" / "postgresql.conf").write_text(SETTINGS.format(port=port, directory=directory))
    argv = _as_postgres([str(programs() / "postgres"), "-D", str(directory / "data")])
    with (directory / "log").open("wb") as log:
        return subprocess.Popen(argv, cwd=directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def _answers(url: str, server: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            time.sleep(0.02)
        else:
            return True
    server.kill()
    server.wait()
    return False


def _as_postgres(argv: list[str]) -> list[str]:
    """The command, dying with this process, and not as root: PostgreSQL refuses to run so."""
    user = ["--reuid", "postgres", "--regid", "postgres", "--init-groups"] if os.geteuid() == 0 else []
    return ["setpriv", *user, "--pdeathsig", "INT", *argv]
