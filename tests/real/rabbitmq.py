"""A RabbitMQ of the tests' own: Debian's server as a private node, on free loopback ports, below one directory.

It shares nothing with a RabbitMQ of the machine: node name, port mapper, cookie, data and password are made for it.
"""

import os
import secrets
import shutil
import subprocess
import time
from pathlib import Path
from typing import Self

import amqp

from tests.processes import Server, free_port

PROGRAM = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""The one that runs as anybody; the one in PATH insists on the user `rabbitmq` and the machine's own directories."""

USER = "breezeblock"
START_SECONDS = 120
CONFIGURATION = """
listeners.tcp.1 = 127.0.0.1:{port}
default_user = {user}
default_pass = {password}
disk_free_limit.absolute = 50MB
"""


class RabbitFailed(Exception):
    """RabbitMQ could not be installed, or does not answer."""


class Rabbit:
    """A node that can be killed and started again with the same data; a context manager that ends it."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self.port = free_port()
        self.password = secrets.token_hex(16)
        self._epmd_port, self._distribution_port = free_port(), free_port()
        self._server: Server | None = None
        home.mkdir(mode=0o700)
        (home / "enabled_plugins").write_text("[].\n")
        (home / "env.conf").touch()
        configuration = CONFIGURATION.format(port=self.port, user=USER, password=self.password)
        (home / "rabbitmq.conf").write_text(configuration)
        mapper = ["epmd", "-port", str(self._epmd_port), "-address", "127.0.0.1"]
        self._epmd = Server(mapper, home / "epmd.log")  # one that the node started would outlive it

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self._server is not None:
                self._server.stop()
        finally:
            self._epmd.stop()

    @property
    def url(self) -> str:
        """As oslo.messaging takes it."""
        return f"rabbit://{USER}:{self.password}@127.0.0.1:{self.port}/"

    def start(self) -> None:
        """Start the node and wait until it takes connections. Raises `RabbitFailed`."""
        self._server = server = Server([PROGRAM], self._home / "log", env=self._environment(), cwd=self._home)
        deadline = time.monotonic() + START_SECONDS
        while not server.has_ended and time.monotonic() < deadline:
            try:
                self.connect().close()
            except (OSError, amqp.AMQPError):
                time.sleep(0.1)
            else:
                return
        raise RabbitFailed(f"RabbitMQ does not answer:\n{server.log.read_text(errors='replace')[-4000:]}")

    def kill(self) -> None:
        """End the node by SIGKILL; what it had not synced is lost."""
        assert self._server is not None
        self._server.kill()
        self._server = None

    def connect(self) -> amqp.Connection:
        """An open connection."""
        connection = amqp.Connection(host=f"127.0.0.1:{self.port}", userid=USER, password=self.password)
        connection.connect()
        return connection

    def _environment(self) -> dict[str, str]:
        return {
            "HOME": str(self._home),  # of the cookie
            "RABBITMQ_NODENAME": f"breezeblock-{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_MNESIA_BASE": str(self._home / "data"),
            "RABBITMQ_LOG_BASE": str(self._home),
            "RABBITMQ_CONF_ENV_FILE": str(self._home / "env.conf"),
            "RABBITMQ_CONFIG_FILE": str(self._home / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._home / "enabled_plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RUNNING_UNDER_SYSTEMD": "1",  # the script becomes the node: a kill hits that, and no shell before it
        }


def install() -> None:
    """Have Debian's package on this machine; a service that came with it is switched off. Raises `RabbitFailed`."""
    if PROGRAM.exists():
        return
    root = [] if os.geteuid() == 0 else ["sudo"]
    apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=600", "-o", "Dpkg::Use-Pty=0"]
    commands = [
        [*root, *apt, "update"],
        [*root, "env", "DEBIAN_FRONTEND=noninteractive", *apt, "install", "-y", "--no-install-recommends", PACKAGE],
    ]
    if shutil.which("systemctl") and Path("/run/systemd/system").exists():
        commands.append([*root, "systemctl", "disable", "--now", PACKAGE])
    for argv in commands:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RabbitFailed(f"{' '.join(argv)} failed:\n{done.stderr[-4000:]}")


PACKAGE = "rabbitmq-server"
