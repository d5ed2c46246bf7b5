"""A copy ends amid its bytes, whoever makes it, this service or the driver: cancelled it leaves nothing, stopped it is
made by the next owner.
"""

import random
import threading
import time

import pytest

from breezeblock.backups import manifest
from breezeblock.db import operations, volume_types
from breezeblock.drivers.directory import content
from breezeblock.exports.nbd import NbdExports
from breezeblock.flows import replicas
from breezeblock.flows.engine import Flow
from breezeblock.model import clock
from breezeblock.model.image import Image
from breezeblock.model.volume_type import VolumeType
from breezeblock.services import attachments, backups, snapshots
from breezeblock.services.doctor.examine import examine
from tests.cloud import MEMBER, Cloud
from tests.drivers.directory_storage import write

CONF = """
[DEFAULT]
enabled_backends = one
[one]
volume_driver = directory
directory_reflink = never
directory_max_chain_depth = 1
replication_device = {replicas}
image_volume_cache_enabled = false
"""
PIECE = 64 << 10
PIECES = 200
DATA = random.Random(1).randbytes(PIECE * PIECES)


@pytest.fixture
def cloud(tmp_path, monkeypatch):
    monkeypatch.setattr(content, "COPY_BYTES", PIECE)
    monkeypatch.setattr(manifest, "CHUNK_BYTES", PIECE)
    cloud = Cloud(tmp_path / "data", CONF.format(replicas=tmp_path / "replicas"))
    with cloud.database.begin() as connection:
        spec = {"replication_enabled": "<is> True"}
        kind = VolumeType(id="replicated", name="replicated", extra_specs=spec, created_at=clock.now())
        volume_types.insert(connection, kind)
    yield cloud
    cloud.driver.close()
    exports = NbdExports(cloud.settings.run_dir / "nbd" / "one")
    exports.adopt()
    exports.shutdown()
    cloud.close()


def filled(cloud, **wanted):
    volume = cloud.made(size=1, **wanted)
    cloud.driver.copy_image_to_volume(volume, "test:1", lambda target: target.pwrite(DATA, 0))
    return volume


def of_image(cloud):
    image = Image(id="image", name="image", disk_format="raw", container_format="bare", size=len(DATA), owner="project")
    cloud.images.add(image, DATA)
    return {"image_ref": "image", "size": 1}


def of_backup(cloud):
    volume = filled(cloud)
    backup = backups.create_backup(cloud.database, cloud.settings, MEMBER, backups.CreateBackup(volume_id=volume.id))
    assert cloud.settled(backup.id).state == "succeeded"
    return {"backup_id": backup.id}


def of_replica(cloud):
    volume = filled(cloud, volume_type="replicated")
    replicas.request_due(cloud.backend)
    assert cloud.settled(volume.id).state == "succeeded"
    return {"source_replica": volume.id}


def of_volume(cloud):
    """One that stands on as many others as may be, so that it is copied into one before it is cloned."""
    clone = cloud.made(source_volid=filled(cloud).id)
    write(cloud.driver, clone, 1, 0)
    return {"source_volid": clone.id}


def of_snapshot(cloud):
    """One of a volume in use, which went on in one overlay after the other, so that it has to be copied."""
    volume = filled(cloud)
    attached = attachments.create_attachment(cloud.database, MEMBER, volume_id=volume.id, connector={"host": "here"})
    attachments.complete(cloud.database, MEMBER, attached.id)
    for _ in range(3):
        snapshot = snapshots.create_snapshot(cloud.database, cloud.settings, MEMBER, volume_id=volume.id, force=True)
        assert cloud.settled(snapshot.id).state == "succeeded"
    return {"snapshot_id": snapshot.id}


EACH_SOURCE = pytest.mark.parametrize("source", [of_image, of_backup, of_replica, of_volume, of_snapshot])


@EACH_SOURCE
def test_a_cancelled_copy_ends_amid_its_bytes_and_leaves_nothing(cloud, monkeypatch, source):
    progress, reached = Flow.progress, []

    def slow(flow, done, total):
        """Each piece takes a moment; at the first one somebody cancels."""
        if not reached:
            with cloud.database.begin() as connection:
                operations.update(connection, flow.id, cancel_requested=True)
        reached.append(done)
        time.sleep(0.02)
        progress(flow, done, total)

    with cloud.running():
        wanted = source(cloud)
        before = sorted(cloud.driver.list_objects())
        monkeypatch.setattr(Flow, "progress", slow)
        volume = cloud.made(**wanted)
    assert cloud.settled(volume.id).state == "cancelled"
    assert volume.status == "error"
    assert max(reached) < len(DATA)
    assert sorted(cloud.driver.list_objects()) == before
    assert examine(cloud.settings, cloud.database) == []


@EACH_SOURCE
def test_a_copy_that_a_worker_leaves_is_made_by_the_next_one(cloud, monkeypatch, source):
    progress, begun = Flow.progress, threading.Event()

    def slow(flow, done, total):
        begun.set()
        time.sleep(0.02)
        progress(flow, done, total)

    with cloud.running():
        wanted = source(cloud)
        monkeypatch.setattr(Flow, "progress", slow)
        volume = cloud.create(**wanted)
        assert begun.wait(60)
    assert cloud.volume(volume.id).status in {"creating", "downloading"}
    monkeypatch.setattr(Flow, "progress", progress)
    cloud.driver.check_for_setup_error()
    with cloud.running():
        operation = cloud.settled(volume.id)
    assert (operation.state, operation.attempts) == ("succeeded", 2)
    with cloud.driver.open_volume(cloud.volume(volume.id)) as made:
        assert made.pread(len(DATA), 0)[PIECE:] == DATA[PIECE:]
    assert examine(cloud.settings, cloud.database) == []
