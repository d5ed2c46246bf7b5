"""A backend that is unwell takes nothing else down, is told, and recovers by itself; with real processes."""

import os
import signal
import time
from pathlib import Path

import pytest

from breezeblock.cli.client import Client
from breezeblock.exports.nbd import NbdExports
from tests.clients.test_doctor import doctor
from tests.clients.test_processes import PROGRAM, child, status_of
from tests.clients.test_takeover import eventually
from tests.processes import Server, free_port

CONF = """
[DEFAULT]
enabled_backends = well, unwell
[database]
connection = {url}
[well]
volume_driver = directory
volume_backend_name = well
directory_path = {data_dir}/well
[unwell]
volume_driver = directory
volume_backend_name = unwell
directory_path = {data_dir}/unwell
directory_reflink = never
"""


class Site:
    """A service with two backends."""

    def __init__(self, data_dir: Path, url: str) -> None:
        self.data_dir = data_dir
        self.address = f"127.0.0.1:{free_port()}"
        data_dir.mkdir()
        (data_dir / "breezeblock.conf").write_text(CONF.format(data_dir=data_dir, url=url))

    def start(self) -> Server:
        self.server = Server(
            [PROGRAM, "serve", "--data-dir", self.data_dir, "--listen", self.address], self.data_dir / "log"
        )
        self.server.wait_for(f"http://{self.address}/healthcheck")
        self.client = Client(self.data_dir)
        for name in ("well", "unwell"):
            spec = {"name": name, "extra_specs": {"volume_backend_name": name}}
            self.client.call("POST", "/types", {"volume_type": spec})
        return self.server

    def create(self, backend: str) -> str:
        asked = {"volume": {"size": 1, "volume_type": backend}}
        return str(self.client.call("POST", "/volumes", asked)["volume"]["id"])

    def state(self, backend: str) -> tuple[str, str | None]:
        """What os-services says of a backend: state and reason."""
        for one in self.client.call("GET", "/os-services?binary=cinder-volume")["services"]:
            if one["host"].endswith(f"@{backend}"):
                return one["state"], one["disabled_reason"]
        return "unknown", None

    def stop(self) -> None:
        self.server.stop()
        for name in ("well", "unwell"):
            exports = NbdExports(self.data_dir / "run" / "nbd" / name)
            exports.adopt()
            exports.shutdown()


@pytest.fixture
def site(tmp_path, database_url):
    site = Site(tmp_path / "data", database_url)
    yield site
    site.stop()


@pytest.fixture
def embedded(tmp_path):
    site = Site(tmp_path / "data", f"sqlite:///{tmp_path / 'breezeblock.db'}")
    yield site
    site.stop()


def test_a_storage_that_cannot_be_used_is_down_until_it_can(site):
    """A file stands where the directory should be."""
    (site.data_dir / "unwell").touch()
    server = site.start()
    worker = child(server, "worker")
    eventually(lambda: site.state("well")[0] == "up", "one backend up")
    status_of(site.client, site.create("well"), "available")
    state, reason = eventually(lambda: site.state("unwell") if site.state("unwell")[1] else None, "a report")
    assert state == "down"
    assert "is not usable" in reason
    code, told = doctor(site.data_dir)
    assert code == 1
    assert {one["kind"]: one["wrong"] for one in told["findings"]}["down"].endswith(reason)

    (site.data_dir / "unwell").unlink()
    eventually(lambda: site.state("unwell") == ("up", None), "its recovery")
    status_of(site.client, site.create("unwell"), "available")
    assert child(server, "worker") == worker, "it was the same worker all the time"
    assert doctor(site.data_dir)[0] == 0


def test_a_daemon_that_stands_still_holds_up_its_own_volumes_only(embedded):
    """The worker is killed meanwhile, so that the next one has to start beside it."""
    site = embedded
    server = site.start()
    eventually(lambda: site.state("unwell")[0] == site.state("well")[0] == "up", "both backends up")
    volume = site.create("unwell")
    status_of(site.client, volume, "available")
    asked = {"attachment": {"volume_uuid": volume, "connector": {"host": "here"}}}
    attachment = site.client.call("POST", "/attachments", asked)["attachment"]["id"]
    site.client.call("POST", f"/attachments/{attachment}/action", {"os-complete": None})
    status_of(site.client, volume, "in-use")
    (pidfile,) = (site.data_dir / "run" / "nbd" / "unwell").glob("*.pid")
    daemon, worker = int(pidfile.read_text()), child(server, "worker")
    os.kill(daemon, signal.SIGSTOP)
    try:
        os.kill(worker, signal.SIGKILL)
        eventually(lambda: child(server, "worker") != worker, "the next worker")
        for backend in ("well", "unwell"):
            status_of(site.client, site.create(backend), "available")
        code, told = doctor(site.data_dir)
        assert code == 1
        assert [one["kind"] for one in told["findings"]] == ["unreachable"]
        assert "what it exports cannot be looked at" in told["findings"][0]["wrong"]
    finally:
        os.kill(daemon, signal.SIGCONT)
    snapshot = {"snapshot": {"volume_id": volume, "force": True}}

    def taken():
        made = site.client.call("POST", "/snapshots", snapshot)["snapshot"]["id"]
        while (status := site.client.call("GET", f"/snapshots/{made}")["snapshot"]["status"]) == "creating":
            time.sleep(0.05)
        return status == "available"

    eventually(taken, "a snapshot of the attached volume")
    assert doctor(site.data_dir)[0] == 0
