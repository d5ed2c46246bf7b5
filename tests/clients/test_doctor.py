"""`breezeblock doctor` as a process of its own, beside a service that runs, was killed, or is stopped."""

import json
import os
import signal
import sqlite3
import subprocess
from contextlib import closing

from tests.clients.test_processes import PROGRAM, child, create, start, status_of

assert start  # the fixture


def doctor(data_dir, *options):
    """Exit code, and what it tells with --json."""
    ran = subprocess.run(
        [PROGRAM, "doctor", "--json", "--data-dir", data_dir, *options], capture_output=True, text=True, check=False
    )
    assert ran.returncode in {0, 1}, ran.stderr
    told = json.loads(ran.stdout)
    assert told["clean"] == (ran.returncode == 0)
    return ran.returncode, told


def forget(data_dir, volume_id):
    """Lose a volume's row."""
    with closing(sqlite3.connect(data_dir / "breezeblock.db")) as database, database:
        database.execute("DELETE FROM volumes WHERE id = ?", (volume_id,))


def test_beside_a_service_that_runs_is_killed_and_stopped(start, tmp_path):
    data_dir = tmp_path / "data"
    server, client = start()
    kept, lost, late = (create(client, name=name) for name in ("kept", "lost", "late"))
    for volume_id in (kept, lost, late):
        status_of(client, volume_id, "available")
    subprocess.run([PROGRAM, "connect", "kept", "--data-dir", data_dir], check=True, capture_output=True)
    assert doctor(data_dir) == (0, {"clean": True, "findings": [], "draining": [], "done": []})

    os.kill(child(server, "worker"), signal.SIGKILL)
    assert doctor(data_dir)[0] == 0, "the export outlives the worker, and flows wait for the next one"

    forget(data_dir, lost)
    code, told = doctor(data_dir)
    assert (code, [(one["kind"], one["id"]) for one in told["findings"]]) == (1, [("orphan", lost)])
    status_of(client, create(client), "available")  # the next worker is there
    code, told = doctor(data_dir, "--fix", "--yes")
    assert (code, told["findings"]) == (0, [])
    assert "asked the worker" in told["done"][0]["done"]
    assert not (data_dir / "volumes" / "volumes" / f"volume-{lost}").exists()

    server.stop()
    forget(data_dir, late)
    shown = subprocess.run([PROGRAM, "doctor", "--data-dir", data_dir], capture_output=True, text=True, check=False)
    assert shown.returncode == 1
    assert "orphan" in shown.stdout
    refused = subprocess.run(
        [PROGRAM, "doctor", "--fix", "--data-dir", data_dir], input="n\n", capture_output=True, text=True, check=False
    )
    assert refused.returncode == 1
    assert (data_dir / "volumes" / "volumes" / f"volume-{late}").exists()
    code, told = doctor(data_dir, "--fix", "--yes")
    assert (code, [one["done"] for one in told["done"]]) == (0, [f"removed volume-{late}"])
