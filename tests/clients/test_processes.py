"""The processes of `breezeblock serve`: one a data directory, killed and started again without losing a request."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from breezeblock import config
from breezeblock.cli.client import Client
from breezeblock.errors import ServiceUnavailable
from breezeblock.exports.nbd import NbdExports
from tests.processes import Server, free_port

PROGRAM = Path(sys.executable).with_name("breezeblock")
CONF = """
[DEFAULT]
enabled_backends = one
[one]
volume_driver = {driver}
{options}
"""


@pytest.fixture
def start(tmp_path):
    """Starts the service on a data directory of the test's own: `start(driver, **options)` gives server and client."""
    running = []
    data_dir = tmp_path / "data"

    def begin(driver="directory", **options):
        data_dir.mkdir(exist_ok=True)
        lines = "\n".join(f"{name} = {value}" for name, value in options.items())
        (data_dir / "breezeblock.conf").write_text(CONF.format(driver=driver, options=lines))
        address = f"127.0.0.1:{free_port()}"
        server = Server([PROGRAM, "serve", "--data-dir", data_dir, "--listen", address], tmp_path / "log")
        running.append(server)
        server.wait_for(f"http://{address}/healthcheck")
        return server, Client(data_dir)

    yield begin
    for server in running:
        server.stop()
    exports = NbdExports(data_dir / "run" / "nbd" / "one")
    exports.adopt()
    exports.shutdown()


def create(client, **wanted):
    """A volume's id, once a worker has reported a pool to place it in."""
    deadline = time.monotonic() + 30
    while not client.call("GET", "/scheduler-stats/get_pools")["pools"]:
        assert time.monotonic() < deadline, "the worker has not reported"
        time.sleep(0.05)
    return client.call("POST", "/volumes", {"volume": {"size": 1, **wanted}})["volume"]["id"]


def status_of(client, volume_id, wanted, seconds=60):
    """Wait for a status; the volume."""
    deadline = time.monotonic() + seconds
    while True:
        volume = client.call("GET", f"/volumes/{volume_id}")["volume"]
        if volume["status"] == wanted:
            return volume
        assert time.monotonic() < deadline, f"{volume_id} is {volume['status']}, not {wanted}"
        time.sleep(0.05)


def child(server, role):
    """The pid of a child of the supervisor by its role."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for pid in Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended just now
                argv = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
                if role in argv and "breezeblock" in argv:
                    return int(pid)
        time.sleep(0.05)
    raise AssertionError(f"the supervisor has no {role}")


def test_a_second_serve_names_the_first(start, tmp_path):
    server, _ = start()
    second = subprocess.run(
        [PROGRAM, "serve", "--data-dir", tmp_path / "data", "--listen", f"127.0.0.1:{free_port()}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert second.returncode != 0
    assert f"held by process {server.pid}" in second.stderr


def test_a_wrong_configuration_ends_at_once_and_says_why(tmp_path):
    (tmp_path / "breezeblock.conf").write_text("[DEFAULT]\nenabled_backends = one\n[one]\nvolume_drivr = directory\n")
    ended = subprocess.run(
        [PROGRAM, "serve", "--data-dir", tmp_path, "--listen", f"127.0.0.1:{free_port()}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 78
    assert "volume_drivr" in ended.stderr
    assert "volume_driver" in ended.stderr


def test_a_port_in_use_is_told_at_once(start, tmp_path):
    _, client = start()
    other = tmp_path / "other"
    taken = client.root.removeprefix("http://")
    ended = subprocess.run(
        [PROGRAM, "serve", "--data-dir", other, "--listen", taken],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 78
    assert f"Cannot listen on {taken}: Address already in use." in ended.stderr


def test_a_misspelt_option_is_told(tmp_path, caplog):
    (tmp_path / "breezeblock.conf").write_text("[DEFAULT]\nquota_volume = 3\n")
    config.load(tmp_path)
    assert "[DEFAULT] quota_volume means nothing here; did you mean quota_volumes?" in caplog.text


def test_no_network_without_authentication(tmp_path):
    ended = subprocess.run(
        [PROGRAM, "serve", "--data-dir", tmp_path, "--listen", f"0.0.0.0:{free_port()}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 78
    assert "not a loopback address" in ended.stderr


def test_a_worker_killed_in_a_create_is_followed_by_one_that_ends_it(start):
    """The driver kills its process when the volume is made and before anybody was told."""
    server, client = start("simulated", simulated_kill_points="create_volume:after")
    before = child(server, "worker")
    volume_id = create(client, name="survivor")
    volume = status_of(client, volume_id, "available")
    assert volume["name"] == "survivor"
    assert child(server, "worker") != before
    (operation,) = client.call("GET", f"/operations?resource_id={volume_id}")["operations"]
    assert operation["state"] == "succeeded"
    assert operation["attempts"] > 1


def test_a_flow_that_is_killed_twelve_times_is_given_up(start, tmp_path):
    """Each create kills its worker, and then the undo does: an end comes all the same, and leaves nothing."""
    kills = ["create_volume:after"] * 11 + ["delete_volume:before"]
    _, client = start("simulated", simulated_kill_points=",".join(kills))
    volume_id = create(client)
    status_of(client, volume_id, "error", seconds=240)
    (operation,) = client.call("GET", f"/operations?resource_id={volume_id}")["operations"]
    assert operation["state"] == "failed"
    assert operation["message"] == "The operation was interrupted too often and has been given up."
    struck = [path.name for path in (tmp_path / "data").rglob("kill-*")]
    assert len(struck) == 12
    doctor = subprocess.run(
        [PROGRAM, "doctor", "--data-dir", tmp_path / "data"], capture_output=True, text=True, check=False
    )
    assert doctor.returncode == 0, doctor.stdout


def test_everything_killed_is_taken_up_by_the_next_start(start):
    server, client = start("simulated", simulated_latency="3")
    volume_id = create(client)
    roles = [child(server, role) for role in ("worker", "api")]
    for pid in [server.pid, *roles]:
        os.kill(pid, signal.SIGKILL)
    server.kill()
    _, client = start("simulated")
    status_of(client, volume_id, "available")


def test_an_api_killed_amid_a_request_leaves_its_address_to_the_next(start, tmp_path):
    """Its process of threads would serve a request that waits for the worker to the end, with the socket in its hands."""
    server, client = start("simulated")
    volume_id = create(client)
    status_of(client, volume_id, "available")
    worker, api = child(server, "worker"), child(server, "api")
    os.kill(worker, signal.SIGSTOP)
    connector = {"host": "h", "ip": "127.0.0.1", "initiator": "iqn.2026-01.org.example:h"}
    wanted = {"attachment": {"volume_uuid": volume_id, "connector": connector}}
    lost = []

    def attach():
        try:
            Client(tmp_path / "data").call("POST", "/attachments", wanted)
        except ServiceUnavailable as error:
            lost.append(error)

    asking = threading.Thread(target=attach)
    asking.start()
    while client.call("GET", f"/volumes/{volume_id}")["volume"]["status"] == "available":
        time.sleep(0.02)
    os.kill(api, signal.SIGKILL)
    asking.join(30)
    assert lost, "the request went on without its server"
    os.kill(worker, signal.SIGCONT)
    while child(server, "api") == api:
        time.sleep(0.02)
    server.wait_for(client.root + "/healthcheck")
    assert not server.has_ended


def test_a_killed_supervisor_is_followed_at_once(tmp_path):
    """On the same address, amid its start and amid a create: what the last one left running is waited for."""
    data_dir, address, log = tmp_path / "data", f"127.0.0.1:{free_port()}", tmp_path / "log"
    data_dir.mkdir()
    (data_dir / "breezeblock.conf").write_text(CONF.format(driver="simulated", options="simulated_latency = 1"))
    argv = [PROGRAM, "serve", "--data-dir", data_dir, "--listen", address]
    for seconds_of_life in (0.5, 1.5):
        server = Server(argv, log)
        time.sleep(seconds_of_life)
        server.kill()
    asked, left = [], None
    for _ in range(3):
        server = Server(argv, log)
        if left is not None:
            while f"held by process {left} (worker)" not in log.read_text():
                assert not server.has_ended, log.read_text()
                time.sleep(0.02)
            os.kill(left, signal.SIGCONT)
        left = child(server, "worker")
        server.wait_for(f"http://{address}/healthcheck")
        asked.append(create(Client(data_dir)))
        os.kill(left, signal.SIGSTOP)
        server.kill()
    os.kill(left, signal.SIGCONT)
    with Server(argv, log) as server:
        child(server, "api")  # till then the last API may answer
        server.wait_for(f"http://{address}/healthcheck")
        for volume_id in asked:
            status_of(Client(data_dir), volume_id, "available")


def test_a_stop_with_a_create_under_way_ends_it_or_leaves_it_to_the_next_start(start):
    """A SIGTERM is obeyed; what the create had not done is done by the next worker."""
    server, client = start("simulated", simulated_latency="1")
    volume_id = create(client)
    server.stop()
    _, client = start("simulated")
    status_of(client, volume_id, "available")


def test_connect_prints_a_uri_that_qemu_img_opens(start, tmp_path):
    _, client = start()
    volume_id = create(client, name="disk")
    status_of(client, volume_id, "available")
    run = [PROGRAM, "connect", "disk", "--json", "--data-dir", tmp_path / "data"]
    answer = json.loads(subprocess.run(run, check=True, capture_output=True).stdout)
    again = json.loads(subprocess.run(run, check=True, capture_output=True).stdout)
    assert again["uri"] == answer["uri"]
    told = subprocess.run(["qemu-img", "info", "--output=json", answer["uri"]], check=True, capture_output=True).stdout
    assert json.loads(told)["virtual-size"] == 1 << 30
    assert status_of(client, volume_id, "in-use")["attachments"]
    subprocess.run([PROGRAM, "disconnect", "disk", "--data-dir", tmp_path / "data"], check=True)
    status_of(client, volume_id, "available")


def test_an_export_survives_the_worker_and_is_adopted(start, tmp_path):
    """A client stays connected while the worker dies; the next worker knows the export."""
    server, client = start()
    volume_id = create(client, name="disk")
    status_of(client, volume_id, "available")
    run = [PROGRAM, "connect", "disk", "--data-dir", tmp_path / "data"]
    uri = subprocess.run(run, check=True, capture_output=True, text=True).stdout.strip()
    writer = subprocess.Popen(
        ["qemu-io", "-f", "raw", uri],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        writer.stdin.write("write -P 1 0 64k\nflush\n")
        writer.stdin.flush()
        assert re.search("wrote 65536/65536", writer.stdout.readline())
        worker = child(server, "worker")
        os.kill(worker, signal.SIGKILL)
        while child(server, "worker") == worker:
            time.sleep(0.05)
        writer.stdin.write("write -P 2 64k 64k\nflush\n")
        writer.stdin.close()
        assert "wrote 65536/65536" in writer.stdout.read()
    snapshot = client.call("POST", "/snapshots", {"snapshot": {"volume_id": volume_id, "force": True}})["snapshot"]
    deadline = time.monotonic() + 30
    while client.call("GET", f"/snapshots/{snapshot['id']}")["snapshot"]["status"] != "available":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    copy = client.call("POST", "/volumes", {"volume": {"snapshot_id": snapshot["id"], "name": "copy"}})["volume"]["id"]
    status_of(client, copy, "available")
    run = [PROGRAM, "connect", "copy", "--data-dir", tmp_path / "data"]
    uri = subprocess.run(run, check=True, capture_output=True, text=True).stdout.strip()
    reads = ["-c", "read -P 1 0 64k", "-c", "read -P 2 64k 64k", "-c", "read -P 0 128k 64k"]
    told = subprocess.run(["qemu-io", "-f", "raw", *reads, uri], check=True, capture_output=True, text=True).stdout
    assert "Pattern verification failed" not in told


def test_nothing_it_writes_is_for_others(start, tmp_path):
    _, client = start()
    status_of(client, create(client), "available")
    open_to_others = [path for path in (tmp_path / "data").rglob("*") if path.lstat().st_mode & 0o077]
    assert [path for path in open_to_others if path.name != "breezeblock.conf"] == []
