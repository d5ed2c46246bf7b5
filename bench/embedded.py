"""This project's server on its embedded default, in a temporary data directory, restarted for every round."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from bench.client import ApiError, Client, Endpoint
from bench.processes import ServerProcesses
from bench.scenarios import Sample, Target
from tests.processes import Server, free_port

READY_SECONDS = 60.0
CONFIGURATION = """[DEFAULT]
quota_volumes = -1
quota_snapshots = -1
quota_gigabytes = -1
[directory]
max_over_subscription_ratio = 1000
"""


def open_endpoint(address: str) -> Endpoint:
    """The API and the local images of a server without authentication."""
    return Endpoint(volumes=f"http://{address}/v3", images=f"http://{address}/image/v2")


class Embedded:
    """A subject of the rounds, and a context manager that stops the server.

    `endpoint_at` tells how to be let in there, `settle` waits for what it does behind its answers.
    """

    name = "Breezeblock"

    def __init__(
        self,
        data_dir: Path,
        image_file: Path,
        repeat: int,
        configuration: str = CONFIGURATION,
        endpoint_at: Callable[[str], Endpoint] = open_endpoint,
        settle: Callable[[], None] = lambda: None,
    ) -> None:
        self._settle = settle
        self._data_dir = data_dir
        self._endpoint_at = endpoint_at
        self._image_file = image_file
        self._repeat = repeat
        self._server: Server | None = None
        data_dir.mkdir(mode=0o700)
        (data_dir / "breezeblock.conf").write_text(configuration)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the server, and its export daemons too: those outlive a server that only restarts."""
        if self._server is not None:
            self._server.stop()
        end_leftovers(self._processes())

    def begin_round(self) -> tuple[Target, dict[str, Sample]]:
        """Stop the server if it runs, start it, and time until it answers and until it has made a volume."""
        if self._server is not None:
            self._server.stop()
        address = f"127.0.0.1:{free_port()}"
        program = Path(sys.executable).with_name("breezeblock")
        started = time.perf_counter()
        argv: list[str | Path] = [program, "serve", "--data-dir", self._data_dir, "--listen", address]
        self._server = Server(argv, self._data_dir.with_name("breezeblock.log"))
        self._server.wait_for(f"http://{address}/v3/volumes")
        figures = {"start": Sample(wall_ms=(time.perf_counter() - started) * 1000)}
        client = Client(self._endpoint_at(address))
        first = first_volume(client)
        figures["start_to_volume"] = Sample(wall_ms=(time.perf_counter() - started) * 1000)
        client.delete("volume", first)
        client.wait_gone("volume", first)
        target = Target(
            name=self.name,
            client=client,
            listing=client,
            processes=self._processes(),
            image_file=self._image_file,
            repeat=self._repeat,
            settle=self._settle,
        )
        return target, figures

    def _processes(self) -> ServerProcesses:
        """All of them name the data directory on their command lines."""
        return ServerProcesses(matching=str(self._data_dir))


def end_leftovers(processes: ServerProcesses) -> None:
    """End what a stopped server leaves running, its export daemons."""
    for pid in processes.pids():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


def first_volume(client: Client) -> str:
    """A volume, made as soon as the API accepts it: it refuses while no worker has reported a pool."""
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            volume_id = client.create_volume()
        except ApiError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            client.wait_available("volume", volume_id)
            return volume_id


def make_image(directory: Path) -> Path:
    """A qcow2 image of a 200 MiB ext4 file system with 128 MiB of data that does not compress."""
    tree, raw, image = directory / "tree", directory / "disk.raw", directory / "disk.qcow2"
    tree.mkdir()
    with Path("/dev/urandom").open("rb") as noise:
        (tree / "noise").write_bytes(noise.read(128 << 20))
    raw.touch()
    os.truncate(raw, 200 << 20)
    subprocess.run(["/sbin/mke2fs", "-q", "-t", "ext4", "-d", tree, raw], check=True)
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, image], check=True)
    raw.unlink()
    (tree / "noise").unlink()
    return image
