"""A running service for the demo and the tests of clients: start it, call its APIs, watch its operations, open its volumes, stop it."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from breezeblock.cli.client import Client

BREEZEBLOCK = Path(sys.executable).with_name("breezeblock")
START_SECONDS = 60.0
STOP_SECONDS = 30.0
WAIT_SECONDS = 600.0
POLL_SECONDS = 0.05
LOG_TAIL = 3000


class ServiceFailed(Exception):
    """The service did not do what was asked of it; the message says what, and what it said."""


class Service:
    """A `breezeblock serve` of our own on a free port, its state in `data_dir`; a context manager that stops it."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.log = data_dir.with_name(f"{data_dir.name}.log")
        self.address = f"127.0.0.1:{_free_port()}"
        serve: list[str | Path] = [BREEZEBLOCK, "serve", "--data-dir", data_dir, "--listen", self.address]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", *serve],  # it ends with this process, however that ends
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for this process, which then ends the service in order
            )

    def __enter__(self) -> "Service":
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop()
        finally:
            self._end_exports()

    def wait_until_up(self) -> None:
        """Wait until the API answers and a worker reports its pools. Raises `ServiceFailed`."""
        deadline = time.monotonic() + START_SECONDS
        while not self._is_up():
            if self._process.poll() is not None:
                raise ServiceFailed(f"breezeblock serve ended with {self._process.returncode}:\n{self.tail()}")
            if time.monotonic() > deadline:
                raise ServiceFailed(f"The service does not answer after {START_SECONDS:.0f} s:\n{self.tail()}")
            time.sleep(POLL_SECONDS)
        self.client = Client(self.data_dir)

    def stop(self) -> None:
        """End the service. Raises `ServiceFailed` where it has to be killed, or ended by itself before."""
        if self._process.poll() is not None:
            raise ServiceFailed(f"breezeblock serve ended by itself with {self._process.returncode}:\n{self.tail()}")
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise ServiceFailed(f"breezeblock serve did not end within {STOP_SECONDS:.0f} s:\n{self.tail()}") from None

    def tail(self) -> str:
        """The end of what the service logged."""
        return self.log.read_text(errors="replace")[-LOG_TAIL:]

    def create(self, kind: str, **fields: Any) -> str:
        """Make a resource (`volume`, `snapshot`, `backup`, `type`) and return its id."""
        path, key = ("/types", "volume_type") if kind == "type" else (f"/{kind}s", kind)
        answer = self.client.call("POST", path, {key: fields})
        return str(answer[key]["id"])

    def watch(self, resource_id: str) -> Iterator[dict[str, Any]]:
        """The newest operation of a resource, again and again until it has ended. Raises `ServiceFailed` if it fails."""
        for _ in _looks(f"The operation of {resource_id}"):
            found = self.client.call("GET", f"/operations?resource_id={resource_id}")["operations"]
            if not found:
                raise ServiceFailed(f"No operation is known of {resource_id}.")
            operation: dict[str, Any] = found[0]
            yield operation
            if operation["state"] == "succeeded":
                return
            if operation["state"] in {"failed", "cancelled"}:
                raise ServiceFailed(
                    f"{operation['kind']} of {resource_id} {operation['state']}: {operation['message']}"
                )

    def wait_for_replica(self, volume_id: str) -> str:
        """Wait until the volume's replica was in step once, and return when that was."""
        in_step_at = ""
        for _ in _looks(f"The replica of {volume_id}"):
            found = self.client.call("GET", f"/volumes/{volume_id}/replication")["replication"]
            in_step_at = found["last_in_step_at"]
            if in_step_at:
                break
        return in_step_at

    def wait_until_none(self, kind: str) -> None:
        """Wait until no `volumes`, `snapshots` or `backups` are left. Raises `ServiceFailed` on an error state."""
        for _ in _looks(f"The deletion of {kind}"):
            listed = self.client.call("GET", f"/{kind}/detail?all_tenants=1")[kind]
            if not listed:
                return
            for one in listed:
                if one["status"].startswith("error"):
                    raise ServiceFailed(f"{one['id']} ({one['name']}) is in status {one['status']}:\n{self.tail()}")

    def image(self, name: str, disk_format: str, **properties: str) -> str:
        """Register an image at the Glance v2 API, without its data yet, and return its id."""
        body = {"name": name, "disk_format": disk_format, "container_format": "bare", **properties}
        answer = self._images("POST", "", json.dumps(body).encode(), "application/json")
        return str(json.loads(answer)["id"])

    def upload(self, image_id: str, content: IO[bytes], size: int) -> None:
        """Give an image its data."""
        self._images("PUT", f"/{image_id}/file", content, "application/octet-stream", size)

    def image_ids(self) -> list[str]:
        """The ids of all images, as far as one page of the list goes."""
        return [
            str(one["id"]) for one in json.loads(self._images("GET", "?limit=1000", None, "application/json"))["images"]
        ]

    def delete_image(self, image_id: str) -> None:
        """Remove an image."""
        self._images("DELETE", f"/{image_id}", None, "application/json")

    @contextmanager
    def connected(self, volume: str) -> Iterator[str]:
        """The NBD URI of a volume, by `breezeblock connect --json`, as long as the block runs."""
        printed = self._command("connect", volume, "--json")
        try:
            yield str(json.loads(printed)["uri"])
        finally:
            self._command("disconnect", volume)

    def _end_exports(self) -> None:
        """End the export daemons that are left: they outlive a service by design, and this one does not come back."""
        for pid in export_daemons(self.data_dir):
            os.kill(pid, signal.SIGTERM)

    def _command(self, *arguments: str) -> str:
        argv: list[str | Path] = [BREEZEBLOCK, *arguments, "--data-dir", self.data_dir]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ServiceFailed(
                f"breezeblock {' '.join(arguments)} ended with {done.returncode}: {done.stderr.strip()}"
            )
        return done.stdout

    def _images(
        self, method: str, path: str, body: bytes | IO[bytes] | None, kind: str, size: int | None = None
    ) -> bytes:
        headers = {"Content-Type": kind} | ({} if size is None else {"Content-Length": str(size)})
        connection = http.client.HTTPConnection(self.address, timeout=WAIT_SECONDS)
        try:
            connection.request(method, f"/image/v2/images{path}", body, headers)
            response = connection.getresponse()
            answer = response.read()
        finally:
            connection.close()
        if response.status >= 300:
            raise ServiceFailed(f"{method} /image/v2/images{path}: {response.status} {answer.decode(errors='replace')}")
        return answer

    def _is_up(self) -> bool:
        url = f"http://{self.address}/v3/scheduler-stats/get_pools?detail=true"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                pools = json.load(answer)["pools"]
        except urllib.error.HTTPError:
            raise
        except OSError:
            return False  # it is not listening yet
        return bool(pools) and all(pool["capabilities"]["backend_state"] == "up" for pool in pools)


def _looks(what: str) -> Iterator[None]:
    """A turn for each look at something that takes its time. Raises `ServiceFailed` after ten minutes."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        yield
        time.sleep(POLL_SECONDS)
    raise ServiceFailed(f"{what} took longer than {WAIT_SECONDS:.0f} s.")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def export_daemons(data_dir: Path) -> list[int]:
    """The process ids of the export daemons that run."""
    pids = []
    for file in (data_dir / "run" / "nbd").rglob("*.pid"):
        try:
            pid = int(file.read_text())
            ours = str(file) in Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
        except (FileNotFoundError, ProcessLookupError, ValueError):
            continue  # it has ended meanwhile, or only just begins
        if ours:
            pids.append(pid)
    return pids


def files_left(data_dir: Path) -> list[Path]:
    """What lies in a data directory and belongs to a volume, snapshot, backup, replica or image: none, hopefully."""
    own = {"run", "breezeblock.conf", ".owner", ".lock"}
    return sorted(
        path
        for path in data_dir.rglob("*")
        if not path.is_dir() and not own & set(path.relative_to(data_dir).parts) and "breezeblock.db" not in path.name
    )
