"""A worker with volumes on a real Ceph is killed between two side effects: what it began is ended, and nothing is left."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.service import Service
from tests.ceph import Ceph
from tests.clients.test_lazy_hydration import until
from tests.real.test_rbd_service import attach, doctor, make, serving, show

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

ACTS = {
    "create_volume.raw": ("before_create_volume", "before_publish", "after_publish", "before_commit"),
    "create_volume.snap": ("before_publish", "after_publish", "after_create_volume_from_snapshot"),
    "create_volume.source_vol": ("before_publish", "after_publish"),
    "create_snapshot": ("before_create_snapshot", "after_create_snapshot"),
    "extend_volume": ("before_extend_volume", "after_extend_volume"),
    "revert_to_snapshot": ("before_publish", "after_publish"),
    "connect_volume": ("before_initialize_connection", "after_initialize_connection"),
    "delete_snapshot": ("between_removals", "after_delete_snapshot"),
    "delete_volume": ("before_publish", "after_publish", "between_removals", "after_delete_volume"),
}


class Points:
    """The kill points of a service that is started after this."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._number = 0
        directory.mkdir(mode=0o700)

    def arm(self, point: str) -> str:
        """Have the next process that passes the point die there; what tells this arming from others."""
        self._number += 1
        armed = f"{point}:1:1:{self._number}"
        (self._directory / "armed").write_text(armed)
        return armed

    def fired(self, armed: str) -> bool:
        """Whether somebody died of it."""
        file = self._directory / "fired"
        return file.exists() and armed in file.read_text().splitlines()


@pytest.fixture
def points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Points:
    monkeypatch.setenv("BREEZEBLOCK_KILL_DIR", str(tmp_path / "kill"))
    return Points(tmp_path / "kill")


@pytest.fixture
def running(points: Points, ceph: Ceph, tmp_path: Path) -> Iterator[Service]:
    with serving(tmp_path, ceph) as service:
        yield service


def test_a_worker_that_is_killed(running: Service, points: Points, ceph: Ceph) -> None:
    """At each point: the act ends well by the next worker, and the doctor finds nothing in rows and pool."""
    for act, events in ACTS.items():
        for event in events:
            volume_id = make(running)
            snapshot_id = running.create("snapshot", volume_id=volume_id)
            _ended(running, snapshot_id)
            armed = points.arm(f"{act}.{event}")
            left = _do(running, act, volume_id, snapshot_id)
            assert points.fired(armed), f"{act} does not pass {event}"
            for one in left:
                assert f"volume-{one}" in ceph.images("volumes"), f"{act} was killed at {event}"
            _clear(running)
            ceph.wait_for_images("volumes")
    assert doctor(running) == (0, {"clean": True, "findings": [], "draining": [], "done": []})


def _do(running: Service, act: str, volume_id: str, snapshot_id: str) -> list[str]:
    """Do what passes the point, to its end; the volumes that are there then."""
    call, action = running.client.call, f"/volumes/{volume_id}/action"
    if act.startswith("create_volume"):
        source = {"raw": {}, "snap": {"snapshot_id": snapshot_id}, "source_vol": {"source_volid": volume_id}}
        return [volume_id, make(running, **source[act.rpartition(".")[2]])]
    if act == "create_snapshot":
        _ended(running, running.create("snapshot", volume_id=volume_id))
    elif act == "extend_volume":
        call("POST", action, {"os-extend": {"new_size": 2}})
        until(lambda: _is(running, volume_id, size=2, status="available"))
    elif act == "revert_to_snapshot":
        call("POST", action, {"revert": {"snapshot_id": snapshot_id}})
        until(lambda: _is(running, volume_id, status="available"))
    elif act == "connect_volume":
        attach(running, volume_id)
    else:
        call("DELETE", f"/snapshots/{snapshot_id}")
        running.wait_until_none("snapshots")
        if act == "delete_volume":
            call("DELETE", f"/volumes/{volume_id}")
            running.wait_until_none("volumes")
            return []
    return [volume_id]


def _is(running: Service, volume_id: str, **fields: Any) -> bool:
    shown = show(running, volume_id)
    assert not shown["status"].startswith("error"), shown
    return all(shown[name] == value for name, value in fields.items())


def _ended(running: Service, resource_id: str) -> None:
    for _ in running.watch(resource_id):
        time.sleep(0.05)


def _clear(running: Service) -> None:
    for one in running.client.call("GET", "/attachments?all_tenants=1")["attachments"]:
        running.client.call("DELETE", f"/attachments/{one['id']}")
    for kind in ("snapshots", "volumes"):
        for one in running.client.call("GET", f"/{kind}/detail?all_tenants=1")[kind]:
            running.client.call("DELETE", f"/{kind}/{one['id']}")
        running.wait_until_none(kind)
