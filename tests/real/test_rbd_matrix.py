"""The kill matrix on a real Ceph: a worker killed between two side effects of what users ask of it, and what is left of that."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from breezeblock.config import BackendSettings
from breezeblock.db import tables
from breezeblock.drivers.contract import Driver
from breezeblock.drivers.rbd.driver import RbdDriver
from breezeblock.drivers.registry import make_driver
from breezeblock.exports.nbd import NbdExports
from tests.ceph import Ceph
from tests.kill.attached import LiveExtend, LiveSnapshot, PurgeOrphan, ReconcileExport, Restart
from tests.kill.backups import IncrementalBackup
from tests.kill.base import fresh
from tests.kill.creates import Create
from tests.kill.images import Together, UploadImage
from tests.kill.moving import Retype
from tests.kill.test_matrix import killed_everywhere
from tests.kill.verbs import (
    Connect,
    CreateBackup,
    CreateSnapshot,
    Delete,
    DeleteSnapshot,
    Disconnect,
    Extend,
    Reimage,
    RestoreBackup,
    Revert,
    Verb,
)
from tests.kill.world import EMPTY_SHA, PAYLOAD, PAYLOAD_SHA, World

pytestmark = [pytest.mark.real, pytest.mark.timeout(1800)]

CONF = """
[ceph]
volume_driver = rbd
rbd_pool = volumes
rbd_user = cinder
rbd_ceph_conf = {conf}
[bare]
volume_driver = rbd
rbd_pool = others
rbd_user = cinder
rbd_ceph_conf = {conf}
rbd_nbd_hosts = client
image_volume_cache_enabled = false
backup_changed_blocks = true
"""
KILLED: set[str] = set()


class CephWorld(World):
    """Two pools, one with the image cache, one without, whose hosts have no Ceph; and a storage beside them."""

    backends: tuple[str, ...] = ("ceph", "bare", "plain")
    directories: tuple[str, ...] = ()
    types: dict[str, dict[str, str]] = {name: {"volume_backend_name": name} for name in backends}

    def __init__(self, directory: Path, ceph: Ceph):
        self.ceph = ceph
        super().__init__(directory)

    def sections(self) -> str:
        return CONF.format(conf=self.ceph.conf)

    def reader(self, settings: BackendSettings) -> Driver:
        # one that is checked for setup errors takes the pool from the worker
        return make_driver(settings) if settings.volume_driver == "rbd" else super().reader(settings)

    def stop(self) -> None:
        super().stop()
        for driver in self.drivers.values():
            if isinstance(driver, RbdDriver):
                driver.close()
        exports = NbdExports(self.data_dir / "run" / "nbd" / "bare")
        exports.adopt()
        exports.shutdown()


class CephBase:
    """What stands ready for all scenarios."""

    def __init__(self, world: CephWorld):
        self.image, self.qcow2 = world.image(), world.image("qcow2")
        self.volumes = {
            name: world.made("volumes", size=1, name=f"base-{name}", imageRef=self.image, volume_type=name)
            for name in world.backends
        }
        self.snapshots = {"ceph": world.made("snapshots", volume_id=self.volumes["ceph"], name="base")}
        self.backup = world.made("backups", volume_id=self.volumes["ceph"], name="base")
        self.image_volume = world.image(location=f"cinder://{self.volumes['ceph']}")
        with world.database.begin() as connection:  # the project that images belong to
            owner = sa.select(tables.images.c.owner).where(tables.images.c.id == self.image_volume)
            changed = sa.update(tables.volumes).where(tables.volumes.c.id == self.volumes["ceph"])
            connection.execute(changed.values(metadata={"image_owner": connection.execute(owner).scalar_one()}))
        self.ceph_image = world.image(location=_in_ceph(world))


def _in_ceph(world: CephWorld) -> str:
    """The location of the payload as Glance keeps it in the cluster."""
    file = world.data_dir.parent / "payload"
    file.write_bytes(PAYLOAD)
    world.ceph.run("rbd", "import", file, "images/payload", user="glance")
    world.ceph.run("rbd", "snap", "create", "images/payload@snap", user="glance")
    world.ceph.run("rbd", "snap", "protect", "images/payload@snap", user="glance")
    return f"rbd://{world.ceph.fsid}/images/payload/snap"


def _cached(world: CephWorld, base: CephBase) -> dict[str, Any]:
    image = world.image()
    world.remove("volumes", world.made("volumes", size=1, name=fresh(), imageRef=image, volume_type="ceph"))
    return {"imageRef": image}


class DeleteTree(Delete):
    """A volume with its snapshot, and a clone that stands on it and lives on."""

    def prepare(self, world, base):
        state = {"volume": self.clone(world, base)}
        state["snapshot"] = world.made("snapshots", volume_id=state["volume"], name=fresh())
        state["clone"] = world.made(
            "volumes", size=1, name=fresh(), snapshot_id=state["snapshot"], volume_type=self.backend
        )
        return state

    def clean(self, world, base, state):
        assert world.content(state["clone"]) == PAYLOAD_SHA
        world.remove("volumes", state["clone"])


class CephTogether(Together):
    volume_type = "ceph"


SCENARIOS: list[Create | Verb | Together] = [
    Create("raw", "ceph", EMPTY_SHA, lambda w, b: {}),
    Create("snap", "ceph", PAYLOAD_SHA, lambda w, b: {"snapshot_id": b.snapshots["ceph"]}),
    Create("source_vol", "ceph", PAYLOAD_SHA, lambda w, b: {"source_volid": b.volumes["ceph"]}),
    Create("backup", "ceph", PAYLOAD_SHA, lambda w, b: {"backup_id": b.backup}),
    Create("driver_clone", "ceph", PAYLOAD_SHA, lambda w, b: {"imageRef": b.ceph_image}),
    Create("image_volume", "ceph", PAYLOAD_SHA, lambda w, b: {"imageRef": b.image_volume}),
    Create("cached-fill", "ceph", PAYLOAD_SHA, lambda w, b: {"imageRef": w.image()}),
    Create("cached-hit", "ceph", PAYLOAD_SHA, _cached),
    CephTogether(),
    Create("download", "bare", PAYLOAD_SHA, lambda w, b: {"imageRef": b.image}, size=2),
    Create("download-qcow2", "bare", PAYLOAD_SHA, lambda w, b: {"imageRef": b.qcow2}),
    DeleteTree("delete", "ceph"),
    Extend("extend", "ceph"),
    CreateSnapshot("snapshot", "ceph"),
    DeleteSnapshot("delete_snapshot", "ceph"),
    Revert("revert", "ceph"),
    Reimage("reimage", "ceph"),
    CreateBackup("create_backup", "ceph"),
    RestoreBackup("restore_backup", "ceph"),
    IncrementalBackup("create_backup-changes", "bare"),
    UploadImage("upload_image", "ceph"),
    Connect("connect", "ceph"),
    Connect("connect-nbd", "bare"),
    Disconnect("disconnect", "ceph"),
    Disconnect("disconnect-nbd", "bare"),
    LiveSnapshot("snapshot-attached", "bare"),
    LiveExtend("extend-attached", "bare"),
    Restart("restart", "bare"),
    ReconcileExport("reconcile_export", "bare"),
    PurgeOrphan("purge_orphan", "ceph"),
    Retype("retype", "ceph", "bare"),
    Retype("retype-away", "bare", "plain"),
]


@pytest.fixture(scope="module")
def world(ceph: Ceph, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[CephWorld, CephBase]]:
    for pool in ("volumes", "others"):
        ceph.wipe(pool)
    world = CephWorld(tmp_path_factory.mktemp("world"), ceph)
    world.start()
    yield world, CephBase(world)
    world.stop()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.name)
def test_killed_between_any_two_side_effects(world, scenario, capsys):
    """Each point is killed at once, in the first scenario that passes it; the doctor finds nothing after each."""
    killed_everywhere(*world, scenario, "ceph", KILLED, capsys)
