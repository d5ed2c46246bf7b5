"""Volumes over iSCSI on a running service: attached as Nova attaches them, while it works and while it is killed."""

import contextlib
import json
import os
import signal
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from breezeblock.cli.client import Client
from breezeblock.errors import BreezeblockError, ServiceUnavailable
from breezeblock.exports.iscsi import IscsiTargets
from breezeblock.exports.nbd import NbdExports
from tests.clients.test_processes import PROGRAM, child
from tests.initiator import OURS, io, said, session
from tests.processes import Server, free_port

CONF = """
[DEFAULT]
enabled_backends = one
[one]
volume_driver = directory
directory_reflink = never
target_protocol = iscsi
target_port = {port}
"""
CONNECTOR = {"host": "compute-1", "ip": "127.0.0.1", "initiator": OURS, "multipath": False, "os_type": "linux"}


class Site:
    """A service that may be killed and started again, and what it leaves running."""

    def __init__(self, directory: Path) -> None:
        self.data_dir = directory / "data"
        self.data_dir.mkdir(mode=0o700)
        (self.data_dir / "breezeblock.conf").write_text(CONF.format(port=free_port()))
        self.log = directory / "log"
        self.targets = IscsiTargets(self.data_dir / "run" / "iscsi", "")
        self.start()

    def start(self) -> None:
        """Start it, and wait until it has a pool."""
        address = f"127.0.0.1:{free_port()}"
        self.server = Server([PROGRAM, "serve", "--data-dir", self.data_dir, "--listen", address], self.log)
        self.server.wait_for(f"http://{address}/healthcheck")
        self.client = Client(self.data_dir)
        until(lambda: bool(self.client.call("GET", "/scheduler-stats/get_pools")["pools"]))

    def close(self) -> None:
        """End everything."""
        self.server.stop()
        for iqn in self.targets.iqns():
            self.targets.withdraw(iqn)
        exports = NbdExports(self.data_dir / "run" / "nbd" / "one")
        exports.adopt()
        exports.shutdown()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.close()


def until(true: Callable[[], bool], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def answers(client: Client) -> bool:
    with contextlib.suppress(ServiceUnavailable):
        return bool(client.call("GET", "/limits"))
    return False


def status(client: Client, volume_id: str) -> str:
    return str(client.call("GET", f"/volumes/{volume_id}")["volume"]["status"])


def made(client: Client, **wanted: Any) -> str:
    volume_id = str(client.call("POST", "/volumes", {"volume": {"size": 1, **wanted}})["volume"]["id"])
    until(lambda: status(client, volume_id) == "available")
    return volume_id


def attach(client: Client, volume_id: str, connector: dict[str, Any]) -> dict[str, Any]:
    """As Nova does from microversion 3.44 on."""
    body: dict[str, Any] = {"attachment": {"volume_uuid": volume_id}}
    attachment: dict[str, Any] = client.call("POST", "/attachments", body)["attachment"]
    body = {"attachment": {"connector": connector}}
    attachment = client.call("PUT", f"/attachments/{attachment['id']}", body)["attachment"]
    client.call("POST", f"/attachments/{attachment['id']}/action", {"os-complete": {}})
    assert status(client, volume_id) == "in-use"
    return attachment


def test_the_life_of_an_attached_volume(site: Site) -> None:
    client, volume_id = site.client, made(site.client)
    attachment = attach(client, volume_id, CONNECTOR)
    told = attachment["connection_info"]
    assert told["driver_volume_type"] == "iscsi"
    assert told["target_iqn"] == f"iqn.2010-10.org.openstack:volume-{volume_id}"
    assert told["auth_method"] == "CHAP"
    pool = client.call("GET", "/scheduler-stats/get_pools?detail=true")["pools"][0]
    assert pool["capabilities"]["storage_protocol"] == "iSCSI"

    with session(told) as guest:
        said(guest, "write -P 1 0 64k", "wrote 65536/65536")
        body = {"snapshot": {"volume_id": volume_id, "force": True}}
        snapshot_id = client.call("POST", "/snapshots", body)["snapshot"]["id"]
        until(lambda: client.call("GET", f"/snapshots/{snapshot_id}")["snapshot"]["status"] == "available")
        said(guest, "write -P 2 0 64k", "wrote 65536/65536")
        client.call("POST", f"/volumes/{volume_id}/action", {"os-extend": {"new_size": 2}})
        until(lambda: status(client, volume_id) == "in-use")
        said(guest, "read -P 2 0 64k", "read 65536/65536")
    assert "2 GiB" in io(told, "length")

    copy_id = made(client, snapshot_id=snapshot_id)
    copy = attach(client, copy_id, CONNECTOR)
    assert "read 65536/65536" in io(copy["connection_info"], "read -P 1 0 64k")
    client.call("DELETE", f"/attachments/{copy['id']}")
    assert "Failed to log in" in io(copy["connection_info"], "read 0 512")
    client.call("DELETE", f"/attachments/{attachment['id']}")
    until(lambda: status(client, volume_id) == "available")
    host, _, port = told["target_portal"].rpartition(":")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)))


@pytest.mark.parametrize("connector", [{"host": "compute-1"}, {"host": "compute-1", "initiator": "compute-1"}], ids=str)
def test_who_is_no_initiator_is_told_and_nothing_is_changed(site: Site, connector: dict[str, Any]) -> None:
    client, volume_id = site.client, made(site.client)
    reserved = made(site.client)
    attachment = client.call("POST", "/attachments", {"attachment": {"volume_uuid": reserved}})["attachment"]
    calls: dict[str, dict[str, Any]] = {
        "POST /attachments": {"attachment": {"volume_uuid": volume_id, "connector": connector}},
        f"PUT /attachments/{attachment['id']}": {"attachment": {"connector": connector}},
        f"POST /volumes/{volume_id}/action": {"os-initialize_connection": {"connector": connector}},
    }
    for call, body in calls.items():
        method, path = call.split()
        with pytest.raises(BreezeblockError, match=r"/etc/iscsi/initiatorname\.iscsi") as refused:
            client.call(method, path, body)
        assert isinstance(refused.value.__cause__, HTTPError)
        assert refused.value.__cause__.code == 400
    assert [one["id"] for one in client.call("GET", "/attachments")["attachments"]] == [attachment["id"]]
    assert status(client, volume_id) == "available"
    assert client.call("GET", f"/operations?resource_id={reserved}")["operations"][0]["kind"] == "create_volume"


def test_a_volume_that_initiators_have_open_is_not_served_over_nbd_too(site: Site) -> None:
    client, volume_id = site.client, made(site.client)
    body = {"attachment": {"volume_uuid": volume_id, "connector": {"host": "here", "driver_volume_type": "nbd"}}}
    attachment = client.call("POST", "/attachments", body)["attachment"]
    assert attachment["connection_info"]["driver_volume_type"] == "nbd"
    client.call("DELETE", f"/attachments/{attachment['id']}")
    attach(client, volume_id, CONNECTOR)
    client.call("POST", f"/volumes/{volume_id}/action", {"os-reset_status": {"status": "available"}})
    with pytest.raises(BreezeblockError, match="connected over iSCSI"):
        client.call("POST", "/attachments", body)


@pytest.mark.parametrize("role", ["api", "worker", "serve"])
def test_an_initiator_does_not_notice_that_the_service_is_killed(site: Site, role: str) -> None:
    client, volume_id = site.client, made(site.client)
    attachment = attach(client, volume_id, CONNECTOR)
    with session(attachment["connection_info"]) as guest:
        said(guest, "write -P 1 0 64k", "wrote 65536/65536")
        if role == "serve":
            site.server.kill()
            site.start()
        else:
            killed = child(site.server, role)
            os.kill(killed, signal.SIGKILL)
            until(lambda: child(site.server, role) != killed and answers(site.client))
        said(guest, "read -P 1 0 64k", "read 65536/65536")
        said(guest, "write -P 2 0 64k", "wrote 65536/65536")
        made(site.client)
        again = site.client.call("GET", f"/attachments/{attachment['id']}")["attachment"]
        assert again["connection_info"] == attachment["connection_info"]
        said(guest, "read -P 2 0 64k", "read 65536/65536")


def test_the_password_is_told_to_who_attaches_and_to_nobody_else(site: Site) -> None:
    client, volume_id = site.client, made(site.client)
    password = attach(client, volume_id, CONNECTOR)["connection_info"]["auth_password"]
    for path in (f"/operations?resource_id={volume_id}", f"/volumes/{volume_id}", "/attachments/detail"):
        told = json.dumps(client.call("GET", path))
        assert (password in told) == (path == "/attachments/detail"), path
    assert password not in site.log.read_text()
    with sqlite3.connect(site.data_dir / "breezeblock.db") as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        holding = [name for name in tables if password in str(database.execute(f"SELECT * FROM {name}").fetchall())]
    assert holding == ["attachments"]
    for file in site.data_dir.rglob("*"):
        if file.is_file() and "nbd/one/files" not in str(file) and password.encode() in file.read_bytes():
            assert file.stat().st_mode & 0o077 == 0, file
