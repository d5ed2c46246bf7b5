"""Volumes on a real Ceph with replicas in another one: kept in step, failed over to when the first is gone, and back."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from breezeblock.drivers import copying
from breezeblock.drivers.conformance import Storage, settings_for
from breezeblock.drivers.conformance.failing_over import FailoverRules
from breezeblock.drivers.conformance.optional import ReplicaRules
from breezeblock.drivers.conformance.storage import FIRST, SECOND
from breezeblock.drivers.contract import Driver
from breezeblock.drivers.rbd.driver import RbdDriver, open_driver
from breezeblock.errors import BackendInUse
from scripts.service import Service
from tests.ceph import Ceph
from tests.clients.test_lazy_hydration import until
from tests.real.test_rbd_service import attach, doctor, holds, make, show, uri, write

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

CONF = """
[DEFAULT]
enabled_backends = ceph
replica_refresh_interval = 1
backend_stats_polling_interval = 5
[ceph]
volume_driver = rbd
rbd_pool = volumes
rbd_user = cinder
rbd_ceph_conf = {here}
rbd_operation_timeout = 5
rados_connection_retries = 1
replication_device = backend_id:secondary,conf:{there},user:cinder,pool:others
"""


@pytest.fixture(scope="module")
def other() -> Iterator[Ceph]:
    """A second cluster beside the one of the session."""
    with Ceph() as running:
        yield running


@pytest.fixture
def clusters(ceph: Ceph, other: Ceph) -> tuple[Ceph, Ceph]:
    """Both, empty: the pool `volumes` of the first and `others` of the second are used."""
    ceph.wipe("volumes")
    other.wipe("others")
    return ceph, other


class TestRbdReplicas(ReplicaRules, FailoverRules):
    """The rules of the contract, with two clusters."""

    @pytest.fixture
    def storage(self, clusters: tuple[Ceph, Ceph], tmp_path: Path) -> Iterator[Storage]:
        self.here, self.there = clusters
        directory = tmp_path / "storage"
        directory.mkdir()
        storage = Storage(self.open_driver, directory, self.close_driver)
        yield storage
        storage.clean()
        self.close_driver(storage.driver)
        self.here.wait_for_images("volumes")
        self.there.wait_for_images("others")

    def open_driver(self, directory: Path) -> Driver:
        return open_driver(
            settings_for(
                "rbd",
                directory,
                rbd_pool="volumes",
                rbd_user="cinder",
                rbd_ceph_conf=str(self.here.conf),
                replication_device=f"backend_id:secondary,conf:{self.there.conf},pool:others",
            )
        )

    def close_driver(self, driver: Driver) -> None:
        assert isinstance(driver, RbdDriver)
        driver.close()

    def _of(self, storage: Storage) -> RbdDriver:
        assert isinstance(storage.driver, RbdDriver)
        return storage.driver

    def test_only_what_changed_is_sent(self, storage: Storage) -> None:
        """After a few KiB were written, and 4 MiB discarded, no more than that is read, and the replica has it."""
        driver = self._of(storage)
        volume = storage.volume({at << 20: b"x" * (1 << 20) for at in range(0, 64, 2)})
        driver.update_replica(volume)
        self._write(volume.storage_name, "write -P 0x7a 33M 4k", "write -z 2M 64k", "discard 8M 4M")
        sent: list[int] = []
        with copying.told_to(lambda done, total: sent.append(done)):
            driver.update_replica(volume)
        assert sent[-1] <= 5 << 20
        name = f"others/{volume.storage_name}.replica"
        assert self._hash(self.here, f"volumes/{volume.storage_name}") == self._hash(self.there, name)
        (moment,) = self.there.told("rbd", "snap", "ls", name)
        assert moment["name"].startswith("replica-")
        assert len(self.here.told("rbd", "snap", "ls", f"volumes/{volume.storage_name}")) == 1

    def test_what_was_half_sent_is_undone(self, storage: Storage) -> None:
        """A replica that has more than its moment is as it was then when it becomes the volume."""
        driver = self._of(storage)
        volume = storage.volume(FIRST)
        driver.update_replica(volume)
        name = f"others/{volume.storage_name}.replica"
        for command in ("write -P 0x11 0 64k", "write -P 0x12 512M 1M", "discard 1M 4M"):
            subprocess.run(["qemu-io", "-f", "raw", "-c", command, uri(self.there, name)], check=True)
        self.there.run("rbd", "resize", "--size", "3G", name)
        driver.use_backend("secondary")
        driver.check_for_setup_error()
        driver.promote_replica(volume)
        storage.require_content(volume, FIRST)
        driver.update_replica(volume)
        driver.use_backend(None)
        driver.check_for_setup_error()
        driver.promote_replica(volume)
        storage.require_content(volume, FIRST)

    def test_snapshots_come_along_and_go(self, storage: Storage) -> None:
        """With their content and names, in order; those that were deleted go with the next pass."""
        driver = self._of(storage)
        volume = storage.volume(FIRST)
        first = storage.snapshot(volume)
        driver.update_replica(volume)
        self._write(volume.storage_name, "write -P 0x21 0 64k")
        second = storage.snapshot(volume)
        driver.update_replica(volume)
        driver.delete_snapshot(first)
        driver.update_replica(volume)
        driver.use_backend("secondary")
        driver.check_for_setup_error()
        driver.promote_replica(volume)
        storage.require_objects(volume, second)
        with driver.open_volume(second) as source:
            assert source.pread(4096, 0) == b"\x21" * 4096
        driver.update_replica(volume)
        driver.use_backend(None)
        driver.check_for_setup_error()
        driver.promote_replica(volume)
        storage.require_objects(volume, second)

    def test_the_old_volume_is_not_touched_while_it_is_open(self, storage: Storage) -> None:
        """A client that still writes to what was failed over from has to end before the failback."""
        driver = self._of(storage)
        volume = storage.volume(FIRST)
        driver.update_replica(volume)
        driver.use_backend("secondary")
        driver.check_for_setup_error()
        driver.promote_replica(volume)
        address = uri(self.here, f"volumes/{volume.storage_name}")
        with subprocess.Popen(
            ["qemu-io", "-f", "raw", address], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as client:
            assert client.stdin is not None
            client.stdin.write(b"write -P 0x31 0 4k\n")
            client.stdin.flush()
            until(lambda: bool(self.here.told("rbd", "status", f"volumes/{volume.storage_name}")["watchers"]))
            with pytest.raises(BackendInUse):
                driver.update_replica(volume)
            client.stdin.close()
        driver.update_replica(volume)
        driver.use_backend(None)
        driver.check_for_setup_error()
        driver.promote_replica(volume)
        storage.require_content(volume, FIRST)

    def test_a_volume_that_was_filled_anew(self, storage: Storage) -> None:
        """It is another image: the replica is made anew, and the old one stays until it is whole."""
        driver = self._of(storage)
        volume = storage.volume(FIRST)
        snapshot = storage.snapshot(volume)
        driver.update_replica(volume)
        driver.delete_snapshot(snapshot)
        storage.write(volume, SECOND)
        driver.update_replica(volume)
        self.there.wait_for_images("others", f"{volume.storage_name}.replica")
        copy = storage.volume_record()
        driver.create_replica_test_volume(copy, volume)
        storage.require_content(copy, SECOND)

    def _write(self, name: str, *commands: str) -> None:
        for command in commands:
            argv = ["qemu-io", "-f", "raw", "-d", "unmap", "-c", command, uri(self.here, f"volumes/{name}")]
            subprocess.run(argv, check=True)

    def _hash(self, cluster: Ceph, name: str) -> str:
        argv = f"rbd -c {cluster.conf} export --no-progress {name} - | sha256sum"
        return subprocess.run(["sh", "-c", argv], check=True, capture_output=True, text=True).stdout


@contextmanager
def serving(directory: Path, here: Ceph, there: Ceph) -> Iterator[Service]:
    """A service with the backend `ceph`; started again it goes on in the same directory."""
    data_dir = directory / "data"
    data_dir.mkdir(mode=0o700, exist_ok=True)
    (data_dir / "breezeblock.conf").write_text(CONF.format(here=here.conf, there=there.conf))
    with Service(data_dir) as running:
        yield running


def service_of(running: Service) -> dict[str, Any]:
    """The backend, as the API shows it."""
    shown: list[dict[str, Any]] = running.client.call("GET", "/os-services?binary=cinder-volume")["services"]
    return shown[0]


def fail_over(running: Service, backend_id: str, seconds: int = 120) -> dict[str, Any]:
    """Order it and wait for its end; the service then."""
    body = {"host": service_of(running)["host"], "backend_id": backend_id}
    running.client.call("PUT", "/os-services/failover_host", body)
    until(lambda: service_of(running)["replication_status"] != "failing-over", seconds=seconds)
    return service_of(running)


def in_step_at(running: Service, volume_id: str) -> str:
    """When a replica was last in step; empty for never."""
    told = running.client.call("GET", f"/volumes/{volume_id}/replication")["replication"]
    return str(told["last_in_step_at"] or "")


def use(running: Service, volume_id: str) -> dict[str, Any]:
    """Attach a volume, to the end: it is in-use; its connection_info."""
    info = attach(running, volume_id)
    (one,) = running.client.call("GET", f"/attachments?volume_id={volume_id}")["attachments"]
    running.client.call("POST", f"/attachments/{one['id']}/action", {"os-complete": {}})
    return info


def wait_until_in_step(running: Service, volume_id: str) -> None:
    """Until a pass that began after this is over: the next one may have begun already."""
    for _ in range(2):
        before = in_step_at(running, volume_id)
        until(lambda before=before: in_step_at(running, volume_id) > before, seconds=60)  # type: ignore[misc]


def test_the_first_cluster_is_lost(clusters: tuple[Ceph, Ceph], tmp_path: Path) -> None:
    """Written, in step, the monitor and the OSD killed, failed over, read, written, the worker restarted; and back."""
    here, there = clusters
    with serving(tmp_path, here, there) as running:
        running.wait_until_up()
        running.create("type", name="ceph", extra_specs={"replication_enabled": "<is> True"})
        running.create("type", name="single", extra_specs={"volume_backend_name": "ceph"})
        (pool,) = running.client.call("GET", "/scheduler-stats/get_pools?detail=true")["pools"]
        told = pool["capabilities"]
        assert (told["replication_enabled"], told["replication_targets"]) == (True, ["secondary"])
        assert service_of(running)["replication_status"] == "enabled"

        volume_id, single = make(running), make(running, volume_type="single")
        assert show(running, volume_id)["replication_status"] == "enabled"
        name = use(running, volume_id)["name"]
        write(here, name, 0x41)
        snapshot_id = running.create("snapshot", volume_id=volume_id, force=True)
        wait_until_in_step(running, volume_id)
        copy = make(running, source_replica=volume_id)
        holds(here, f"volumes/volume-{copy}", 0x41)
        assert doctor(running)[0] == 0
        running.client.call("DELETE", f"/volumes/{copy}")
        until(lambda: f"volume-{copy}.replica" not in there.images("others") and _gone(running, copy))

        for daemon in ("osd", "mon"):
            here.kill(daemon)
        try:
            service = fail_over(running, "secondary")
            assert (service["replication_status"], service["active_backend_id"]) == ("failed-over", "secondary"), (
                service
            )
            assert (service["status"], service["disabled_reason"]) == ("disabled", "failed-over")
            shown = show(running, volume_id)
            assert (shown["status"], shown["replication_status"]) == ("in-use", "failed-over")
            assert show(running, single)["status"] == "error"
            snapshot = running.client.call("GET", f"/snapshots/{snapshot_id}")["snapshot"]
            assert snapshot["status"] == "available"
            for one in running.client.call("GET", "/attachments")["attachments"]:
                running.client.call("DELETE", f"/attachments/{one['id']}")
            until(lambda: show(running, volume_id)["status"] == "available")
            connection = use(running, volume_id)
            assert connection["name"] == f"others/volume-{volume_id}"
            holds(there, connection["name"], 0x41)
            write(there, connection["name"], 0x42)
            assert doctor(running)[0] == 0
        except BaseException:
            for daemon in ("mon", "osd"):
                here.start(daemon)
            raise

    with serving(tmp_path, here, there) as running:  # started with the first cluster gone
        running.wait_until_up()
        assert service_of(running)["active_backend_id"] == "secondary"
        running.client.call("POST", f"/volumes/{volume_id}/action", {"os-extend": {"new_size": 2}})
        until(lambda: show(running, volume_id)["size"] == 2 and show(running, volume_id)["status"] == "in-use")
        for daemon in ("mon", "osd"):
            here.start(daemon)
        here.wait_for_osd()
        here.images("volumes")  # answered when the OSD is really there: the map of before has it up all the time
        assert fail_over(running, "default")["replication_status"] == "failed-over", "a volume is attached"
        for one in running.client.call("GET", "/attachments")["attachments"]:
            running.client.call("DELETE", f"/attachments/{one['id']}")
        until(lambda: show(running, volume_id)["status"] == "available")
        service = fail_over(running, "default")
        assert (service["replication_status"], service["active_backend_id"], service["status"]) == (
            "enabled",
            None,
            "enabled",
        )
        holds(here, f"volumes/volume-{volume_id}", 0x42)
        assert here.told("rbd", "info", f"volumes/volume-{volume_id}")["size"] == 2 << 30
        assert [show(running, one)["status"] for one in (volume_id, single)] == ["available", "available"]
        wait_until_in_step(running, volume_id)
        assert doctor(running)[0] == 0
        running.client.call("DELETE", f"/snapshots/{snapshot_id}")
        running.wait_until_none("snapshots")
        for one in (volume_id, single):
            running.client.call("DELETE", f"/volumes/{one}")
        running.wait_until_none("volumes")
        here.wait_for_images("volumes")
        there.wait_for_images("others")


def _gone(running: Service, volume_id: str) -> bool:
    return volume_id not in [one["id"] for one in running.client.call("GET", "/volumes")["volumes"]]
