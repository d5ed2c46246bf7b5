"""An upgrade with flows under way: the old release is killed amid its work, the new one ends all of it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from breezeblock.cli.client import Client
from breezeblock.db import migrate
from breezeblock.db.connect import Database
from tests.clients.test_processes import child, create, status_of
from tests.processes import Server, free_port

EARLIER = "f3cd0adbbea39df4782e7f158b1ecf17679b7b2c"
"""A commit whose tables are those of migration 0001."""

ROOT = Path(__file__).parents[2]
PROGRAM = Path(sys.executable).with_name("breezeblock")
CONF = """
[DEFAULT]
enabled_backends = one
[database]
connection = {url}
[one]
volume_driver = simulated
simulated_latency = {latency}
"""


@pytest.fixture(scope="module")
def earlier(tmp_path_factory):
    """The tree of the earlier commit; without the history there is none to upgrade from."""
    tree = tmp_path_factory.mktemp("earlier")
    archive = subprocess.run(["git", "-C", ROOT, "archive", EARLIER, "src"], capture_output=True, check=False)
    if archive.returncode:
        pytest.skip(f"the history of this checkout does not reach back to {EARLIER[:7]}")
    subprocess.run(["tar", "-x", "-C", tree], input=archive.stdout, check=True)
    return tree / "src"


def serve(data_dir, log, source):
    address = f"127.0.0.1:{free_port()}"
    server = Server(
        [PROGRAM, "serve", "--data-dir", data_dir, "--listen", address], log, env={"PYTHONPATH": str(source)}
    )
    server.wait_for(f"http://{address}/healthcheck")
    return server, Client(data_dir)


def configure(data_dir, url, latency):
    (data_dir / "breezeblock.conf").write_text(CONF.format(url=url, latency=latency))


def version(url):
    database = Database(url)
    with database.read() as connection:
        found = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one()
    database.close()
    return found


def test_flows_begun_by_an_earlier_release_are_ended_by_this_one(earlier, tmp_path, database_url):
    data_dir = tmp_path / "data"
    data_dir.mkdir(mode=0o700)
    url = database_url.replace(str(tmp_path), str(data_dir))
    configure(data_dir, url, 0)
    old, client = serve(data_dir, tmp_path / "old.log", earlier)
    kept, doomed = create(client, name="kept"), create(client, name="doomed")
    for volume_id in (kept, doomed):
        status_of(client, volume_id, "available")
    old.stop()
    configure(data_dir, url, 3)
    old, client = serve(data_dir, tmp_path / "old.log", earlier)
    asked = [create(client), create(client, source_volid=kept)]
    client.call("DELETE", f"/volumes/{doomed}")
    snapshot = client.call("POST", "/snapshots", {"snapshot": {"volume_id": kept}})["snapshot"]["id"]
    pids = [child(old, role) for role in ("worker", "api")]
    for pid in [old.pid, *pids]:
        os.kill(pid, signal.SIGKILL)
    old.kill()
    assert version(url) == "0001"

    configure(data_dir, url, 0)
    new, client = serve(data_dir, tmp_path / "new.log", ROOT / "src")
    try:
        assert version(url) == migrate.HEAD
        for volume_id in (kept, *asked):
            status_of(client, volume_id, "available")
        deadline = time.monotonic() + 60
        while True:
            names = {one["id"] for one in client.call("GET", "/volumes")["volumes"]}
            taken = client.call("GET", f"/snapshots/{snapshot}")["snapshot"]["status"]
            if doomed not in names and taken == "available":
                break
            assert time.monotonic() < deadline, (names, taken)
            time.sleep(0.05)
    finally:
        new.stop()
