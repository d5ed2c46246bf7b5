"""Volumes that are available before their image is fetched: real storage daemons, an image service in memory."""

import hashlib
import os
import random
import signal
import subprocess
import threading
import time
import uuid
from contextlib import contextmanager

import msgspec
import pytest

from breezeblock.errors import BackendInUse, InvalidState, NotFound, ServiceUnavailable
from breezeblock.flows import hydrate
from breezeblock.flows.engine import message_for_user
from breezeblock.images import lazy_disk
from breezeblock.images.catalog import RangesUnsupported
from breezeblock.model.image import Image
from breezeblock.services import backups, extend, operations, snapshots, volume_types, volumes
from breezeblock.services.doctor.examine import examine
from tests.cloud import ADMIN, MEMBER, Cloud, Images
from tests.drivers.nbd_client import NbdClient

CONF = """
[DEFAULT]
enabled_backends = one
[one]
volume_driver = directory
directory_reflink = never
"""
SIZE = 12 << 20


class Service(Images):
    """An image service whose images can be away, and whose streams (not ranges) can be held up."""

    def __init__(self):
        super().__init__()
        self.error = None
        self.streams = threading.Event()
        self.streams.set()
        self.ranges = 0
        self.asked = 0

    @contextmanager
    def open(self, image_id, offset=0):
        with super().open(image_id, offset) as pieces:
            yield self._held(pieces)

    def _held(self, pieces):
        for piece in pieces:
            while not self.streams.wait(0.05):
                self._answer()
            self._answer()
            yield piece

    def read(self, image_id, length, offset):
        self._answer()
        self.ranges += length
        return super().read(image_id, length, offset)

    def get(self, context, image_id):
        self._answer()
        return super().get(context, image_id)

    def _answer(self):
        self.asked += 1
        if self.error is not None:
            raise self.error


@pytest.fixture(scope="module")
def disk():
    """12 MiB, a third of it zeros."""
    dice = random.Random(2)
    return b"".join(dice.choice((dice.randbytes(65536), dice.randbytes(65536), bytes(65536))) for _ in range(192))


@pytest.fixture(params=["raw", "qcow2", "qcow2 zlib", "qcow2 zstd"])
def kind(request):
    return request.param


@pytest.fixture
def cloud(tmp_path, monkeypatch):
    monkeypatch.setattr(hydrate, "LONGEST_WAIT_SECONDS", 0.5)
    cloud = Cloud(tmp_path / "data", CONF, images=Service())
    cloud.driver.check_for_setup_error()
    volume_types.create_type(
        cloud.database, name="lazy", description=None, is_public=True, extra_specs={"image_hydration": "lazy"}
    )
    yield cloud
    cloud.images.error = None
    cloud.images.streams.set()
    cloud.driver._exporting._exports.shutdown()
    cloud.close()


def add(cloud, disk, kind, tmp_path, **changes):
    """An image of `disk` in a format."""
    raw, image = tmp_path / "disk.raw", tmp_path / "disk.image"
    raw.write_bytes(disk)
    name, _, packed = kind.partition(" ")
    options = ["-c", "-o", f"compression_type={packed}"] if packed else []
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", name, *options, raw, image], check=True)
    content = image.read_bytes()
    fields = {
        "id": str(uuid.uuid4()),
        "disk_format": name,
        "container_format": "bare",
        "size": len(content),
        "owner": "project",
        "os_hash_algo": "sha256",
        "os_hash_value": hashlib.sha256(content).hexdigest(),
        "updated_at": "2026-01-01T00:00:00.000000",
    }
    return cloud.images.add(Image(**fields | changes), content)


def create(cloud, image, **wanted):
    """A volume of the lazy type, once it is available."""
    volume = cloud.create(**{"size": 1, "image_ref": image.id, "volume_type": "lazy"} | wanted)
    until(lambda: cloud.volume(volume.id).status not in {"creating", "downloading"})
    return cloud.volume(volume.id)


def until(true, seconds=30):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def operation(cloud, volume, kind="hydrate_volume"):
    return next(one for one in cloud.operations(volume.id) if one.kind == kind)


def hydrated(cloud, volume):
    until(lambda: operation(cloud, volume).state in {"succeeded", "failed", "cancelled"})
    return operation(cloud, volume)


def client(cloud, volume):
    return NbdClient(cloud.driver.initialize_connection(volume, {})["data"]["uri"])


def content(cloud, volume, length=SIZE):
    cloud.driver.terminate_connection(volume, None)
    with cloud.driver.open_volume(volume) as source:
        return source.pread(length, 0)


def scribble(client, expected, dice, times=10):
    for _ in range(times):
        offset, data = dice.randrange(len(expected) - 70_000), dice.randbytes(dice.choice((1, 512, 4096, 70_000)))
        client.write(data, offset)
        expected[offset : offset + len(data)] = data


def test_available_before_it_is_fetched_and_whole_in_the_end(cloud, disk, kind, tmp_path):
    image, expected, dice = add(cloud, disk, kind, tmp_path), bytearray(disk), random.Random(1)
    cloud.images.streams.clear()
    with cloud.running():
        volume = create(cloud, image)
        assert (volume.status, volume.bootable) == ("available", True)
        with client(cloud, volume) as guest:
            assert guest.read(4096, 5 << 20) == disk[5 << 20 : (5 << 20) + 4096]
            scribble(guest, expected, dice)
            assert guest.read(SIZE, 0) == expected
            assert operation(cloud, volume).state in {"queued", "running"}
            cloud.images.streams.set()
            done = hydrated(cloud, volume)
            assert (done.state, done.bytes_done, done.message) == ("succeeded", image.size, None)
            fetched = cloud.images.ranges
            scribble(guest, expected, dice)
            assert guest.read(SIZE, 0) == expected
            assert cloud.images.ranges == fetched
            guest.flush()
        assert content(cloud, volume) == expected
        assert cloud.backend.sources.find(volume.storage_name) is None
        snapshot = snapshots.create_snapshot(cloud.database, cloud.settings, MEMBER, volume_id=volume.id)
        assert cloud.settled(snapshot.id).state == "succeeded"
    cloud.check_pairs()
    (create_operation,) = [one for one in cloud.operations(volume.id) if one.kind == "create_volume"]
    answers = {one.step: one.outcome for one in create_operation.answers}
    assert answers["lazy"] == "made"
    assert "download" not in answers


def test_the_default_is_eager_and_other_formats_say_why(cloud, disk, tmp_path):
    raw = add(cloud, disk, "raw", tmp_path)
    with cloud.running():
        eager = cloud.made(size=1, image_ref=raw.id)
        assert all(one.kind == "create_volume" for one in cloud.operations(eager.id))
        assert content(cloud, eager) == disk
        vmdk = add(cloud, disk, "vmdk", tmp_path)
        volume = cloud.made(size=1, image_ref=vmdk.id, volume_type="lazy")
        (made,) = cloud.operations(volume.id)
        (answer,) = [one for one in made.answers if one.step == "lazy"]
        assert (answer.outcome, answer.reason) == (
            "declined",
            "only raw and qcow2 images are read while they come; this one is vmdk",
        )
        assert content(cloud, volume) == disk


def test_a_service_without_ranges_is_declined(cloud, disk, tmp_path, monkeypatch):
    image = add(cloud, disk, "qcow2", tmp_path)

    def read(image_id, length, offset):
        raise RangesUnsupported

    monkeypatch.setattr(cloud.images, "read", read)
    with cloud.running():
        volume = cloud.made(size=1, image_ref=image.id, volume_type="lazy")
        (made,) = cloud.operations(volume.id)
        (answer,) = [one for one in made.answers if one.step == "lazy"]
        assert (answer.outcome, answer.reason) == ("declined", "The image service sends images as a whole only.")
        assert content(cloud, volume) == disk


def test_what_the_cache_has_is_cloned(cloud, disk, tmp_path):
    image = add(cloud, disk, "qcow2", tmp_path)
    with cloud.running():
        cloud.made(size=1, image_ref=image.id)
        volume = create(cloud, image)
        (made,) = cloud.operations(volume.id)
        assert [(one.step, one.outcome) for one in made.answers if one.step in {"lazy", "cached"}] == [
            ("lazy", "declined"),
            ("cached", "made"),
        ]
    assert content(cloud, volume) == disk


def test_a_hostile_image_makes_no_volume(cloud, tmp_path, disk):
    image = add(cloud, disk, "qcow2", tmp_path)
    cloud.images.images[image.id] = msgspec.structs.replace(image, disk_format="raw")
    with cloud.running():
        volume = create(cloud, image)
        assert volume.status == "error"
        assert "claims to be raw" in operation(cloud, volume, "create_volume").message
    assert not list(cloud.driver.list_objects())


def test_the_wrong_hash_cuts_the_clients_off_and_keeps_what_they_wrote(cloud, disk, tmp_path):
    image = add(cloud, disk, "qcow2", tmp_path, os_hash_value="00" * 32)
    cloud.images.streams.clear()
    with cloud.running():
        volume = create(cloud, image)
        with client(cloud, volume) as guest:
            guest.write(b"precious", 4096)
            guest.flush()
            cloud.images.streams.set()
            done = hydrated(cloud, volume)
            with pytest.raises(ConnectionError):
                guest.read(512, 0)
        assert done.state == "failed"
        assert "does not have its checksum" in done.message
        assert cloud.volume(volume.id).status == "error"
        with pytest.raises(Exception, match="not exported any more"):
            cloud.driver.initialize_connection(volume, {})
        overlay = cloud.driver._store.disk(cloud.driver._store.get(volume.storage_name))
        assert b"precious" in overlay.read_bytes()
        volumes.delete_volume(cloud.database, MEMBER, volume.id)
        until(lambda: cloud.count("volumes") == 0)
    assert not list(cloud.driver.list_objects())
    assert {event.type for event in cloud.events()} >= {"volume.hydrate.start", "volume.hydrate.error"}
    cloud.check_pairs()


@pytest.mark.parametrize(
    "error", [ServiceUnavailable("The image service is asleep."), NotFound("No such image."), RuntimeError("a defect")]
)
def test_a_service_that_is_away_stalls_it_and_it_goes_on_by_itself(cloud, disk, tmp_path, monkeypatch, error):
    monkeypatch.setattr(lazy_disk, "WAIT_SECONDS", 1.0)
    image, expected, dice = add(cloud, disk, "qcow2 zlib", tmp_path), bytearray(disk), random.Random(8)
    cloud.images.streams.clear()
    with cloud.running():
        volume = create(cloud, image)
        with client(cloud, volume) as guest:
            assert guest.read(4096, 0) == disk[:4096]
            scribble(guest, expected, dice, 3)
            cloud.images.error = error
            until(lambda: operation(cloud, volume).state == "stalled")
            assert operation(cloud, volume).message == message_for_user(error)
            with pytest.raises(OSError, match="refused"):
                guest.read(1 << 20, 0) + guest.read(11 << 20, 1 << 20)
            guest.write(b"w" * 65536, 9 << 20)
            expected[9 << 20 : (9 << 20) + 65536] = b"w" * 65536
            guest.flush()
            waiting = threading.Timer(0.3, lambda: setattr(cloud.images, "error", None))
            waiting.start()
            assert guest.read(SIZE, 0) == expected
            until(lambda: operation(cloud, volume).state == "running")
            assert operation(cloud, volume).message is None
            cloud.images.streams.set()
            assert hydrated(cloud, volume).state == "succeeded"
            assert guest.read(SIZE, 0) == expected
    assert content(cloud, volume) == expected


def test_another_content_under_the_same_id_is_not_mixed_in(cloud, disk, tmp_path):
    image = add(cloud, disk, "raw", tmp_path)
    cloud.images.streams.clear()
    with cloud.running():
        volume = create(cloud, image)
        until(lambda: operation(cloud, volume).state == "running")
    cloud.images.images[image.id] = msgspec.structs.replace(image, os_hash_value="11" * 32)
    with cloud.running():
        done = hydrated(cloud, volume)
    assert "another content" in done.message
    assert cloud.volume(volume.id).status == "error"


def test_deleted_while_it_comes(cloud, disk, tmp_path):
    image = add(cloud, disk, "qcow2", tmp_path)
    cloud.images.streams.clear()
    with cloud.running():
        volume = create(cloud, image)
        until(lambda: operation(cloud, volume).state == "running")
        volumes.delete_volume(cloud.database, MEMBER, volume.id)
        until(lambda: cloud.count("volumes") == 0)
        done = hydrated(cloud, volume)
        assert done.state == "cancelled"
    assert not list(cloud.driver.list_objects())
    assert not list((cloud.driver._store.root / "tmp").iterdir())
    assert cloud.backend.sources.find(volume.storage_name) is None
    assert cloud.count("flow_requests") == 0
    cloud.check_pairs()


def test_a_delete_that_is_refused_lets_it_go_on(cloud, disk, tmp_path, monkeypatch):
    def busy(volume):
        raise BackendInUse("The storage does not let it go.")

    image = add(cloud, disk, "qcow2", tmp_path)
    cloud.images.streams.clear()
    with cloud.running():
        volume = create(cloud, image)
        monkeypatch.setattr(cloud.driver, "delete_volume", busy)
        volumes.delete_volume(cloud.database, MEMBER, volume.id)
        until(lambda: cloud.volume(volume.id).status == "available")
        cloud.images.streams.set()
        assert hydrated(cloud, volume).state == "succeeded"
    assert content(cloud, volume) == disk


def test_what_cannot_be_done_meanwhile_says_so(cloud, disk, tmp_path):
    image = add(cloud, disk, "raw", tmp_path)
    cloud.images.streams.clear()
    with cloud.running():
        volume = create(cloud, image)
        with pytest.raises(InvalidState, match="still on its way"):
            snapshots.create_snapshot(cloud.database, cloud.settings, MEMBER, volume_id=volume.id)
        with pytest.raises(InvalidState, match="still on its way"):
            cloud.create(source_volid=volume.id)
        with pytest.raises(InvalidState, match="still on its way"):
            backups.create_backup(cloud.database, cloud.settings, MEMBER, backups.CreateBackup(volume_id=volume.id))
        with pytest.raises(InvalidState, match="delete the volume instead"):
            operations.cancel_operation(cloud.database, ADMIN, operation(cloud, volume).id)
        extend.extend_volume(cloud.database, cloud.settings, MEMBER, volume.id, 2)
        until(lambda: cloud.volume(volume.id).status == "available")
        assert cloud.volume(volume.id).size == 2
        cloud.images.streams.set()
        assert hydrated(cloud, volume).state == "succeeded"
        clone = cloud.made(source_volid=volume.id)
        assert clone.status == "available"
    assert content(cloud, clone) == disk
    assert content(cloud, cloud.volume(volume.id)) == disk


def test_a_flow_that_waits_is_none_of_the_others_threads(tmp_path, disk, monkeypatch):
    conf = CONF.replace("[DEFAULT]", "[DEFAULT]\nflow_threads = 1")
    cloud = Cloud(tmp_path / "data", conf, images=Service())
    cloud.driver.check_for_setup_error()
    volume_types.create_type(
        cloud.database, name="lazy", description=None, is_public=True, extra_specs={"image_hydration": "lazy"}
    )
    image = add(cloud, disk, "raw", tmp_path)
    cloud.images.streams.clear()
    with cloud.running():
        made = [create(cloud, image) for _ in range(3)]
        assert cloud.made(size=1).status == "available"
        cloud.images.streams.set()
        assert [hydrated(cloud, volume).state for volume in made] == ["succeeded"] * 3
    cloud.close()


def test_a_storage_daemon_that_is_killed_meanwhile(cloud, disk, tmp_path):
    image, expected, dice = add(cloud, disk, "qcow2 zstd", tmp_path), bytearray(disk), random.Random(9)
    cloud.images.streams.clear()
    with cloud.running():
        volume = create(cloud, image)
        for _ in range(3):
            with client(cloud, volume) as guest:
                scribble(guest, expected, dice, 5)
                guest.flush()
                for pid in cloud.driver._exporting._exports.pids():
                    os.kill(pid, signal.SIGKILL)
                with pytest.raises(ConnectionError):
                    guest.read(4096, 0)
        with client(cloud, volume) as guest:
            assert guest.read(SIZE, 0) == expected
            cloud.images.streams.set()
            assert hydrated(cloud, volume).state == "succeeded"
            assert guest.read(SIZE, 0) == expected
    assert content(cloud, volume) == expected


def findings(cloud):
    return sorted((one.kind, one.id) for one in examine(cloud.settings, cloud.database))


def test_the_doctor_knows_a_volume_whose_content_is_on_its_way(cloud, disk, tmp_path):
    image = add(cloud, disk, "qcow2", tmp_path)
    cloud.images.streams.clear()
    with cloud.running():
        volume = create(cloud, image)
        until(lambda: operation(cloud, volume).state == "running")
        assert findings(cloud) == []
        cloud.driver.initialize_connection(volume, {})
        assert findings(cloud) == [("unwanted_export", volume.id)]
        cloud.driver.terminate_connection(volume, None)
        cloud.images.error = ServiceUnavailable()
        until(lambda: operation(cloud, volume).state == "stalled")
        assert findings(cloud) == []
    with cloud.database.begin() as connection:
        connection.exec_driver_sql("DELETE FROM flow_requests")
    lost = operation(cloud, volume)
    assert findings(cloud) == sorted(
        [
            ("hydration_without_flow", volume.id),
            ("operation_without_flow", lost.id),
            ("unpaired_event", volume.id),
        ]
    )
    with cloud.database.begin() as connection:
        connection.exec_driver_sql("DELETE FROM events")  # of which one has no end, as was found


def attempts(cloud):
    with cloud.database.read() as connection:
        return connection.exec_driver_sql("SELECT attempts FROM flow_requests").scalar_one()


def test_restarts_while_it_is_stalled_do_not_end_it(tmp_path, disk):
    cloud = Cloud(tmp_path / "data", CONF.replace("[DEFAULT]", "[DEFAULT]\nmax_flow_attempts = 1"), images=Service())
    cloud.driver.check_for_setup_error()
    volume_types.create_type(
        cloud.database, name="lazy", description=None, is_public=True, extra_specs={"image_hydration": "lazy"}
    )
    image = add(cloud, disk, "raw", tmp_path)
    cloud.images.streams.clear()
    with cloud.running():
        volume = create(cloud, image)
    cloud.images.error = ServiceUnavailable()
    for _ in range(4):
        before = cloud.images.asked
        with cloud.running():
            until(lambda before=before: cloud.images.asked > before and attempts(cloud) == 0)
            until(lambda: operation(cloud, volume).state == "stalled")  # but for the moment of each new attempt
    cloud.images.error = None
    cloud.images.streams.set()
    with cloud.running():
        assert hydrated(cloud, volume).state == "succeeded"
    assert content(cloud, volume) == disk


def test_volumes_of_one_image_share_one_fetch(cloud, disk, kind, tmp_path):
    image = add(cloud, disk, kind, tmp_path)
    cloud.images.streams.clear()
    with cloud.running():
        made = [create(cloud, image, size=size) for size in (1, 2, 1)]
        until(lambda: [operation(cloud, one).waiting is not None for one in made].count(True) == 2)
        waits = next(one for one in made if operation(cloud, one).waiting is not None)
        assert operation(cloud, waits).waiting == "waits for another volume of this image, which fetches it"
        with NbdClient(cloud.driver.initialize_connection(waits, {})["data"]["uri"]) as client:
            assert client.read(4096, 65536) == disk[65536:69632]
            cloud.images.streams.set()
            for volume in made:
                until(lambda one=volume: operation(cloud, one).state == "succeeded")
            assert client.read(len(disk), 0) == disk
        cloud.driver.terminate_connection(waits, None)
        assert cloud.images.opened == [image.id]
        assert list(cloud.driver.list_hydrating()) == []
        for volume in made:
            with cloud.driver.open_volume(volume) as source:
                assert source.pread(len(disk), 0) == disk
        assert len(list(cloud.driver._store.published("bases"))) == 1
        for volume in made:
            volumes.delete_volume(cloud.database, MEMBER, volume.id)
        until(lambda: not list(cloud.driver.list_objects()))
        assert not list(cloud.driver._store.published("bases"))


def test_where_the_first_volume_is_deleted_another_one_fetches(cloud, disk, tmp_path):
    image = add(cloud, disk, "qcow2", tmp_path)
    cloud.images.streams.clear()
    with cloud.running():
        made = [create(cloud, image) for _ in range(3)]
        until(lambda: [operation(cloud, one).waiting is not None for one in made].count(True) == 2)
        first = next(one for one in made if operation(cloud, one).waiting is None)
        volumes.delete_volume(cloud.database, MEMBER, first.id)
        rest = [one for one in made if one.id != first.id]
        until(lambda: [operation(cloud, one).waiting is not None for one in rest].count(True) == 1)
        until(lambda: operation(cloud, first).state == "cancelled")
        cloud.images.streams.set()
        for volume in rest:
            until(lambda one=volume: operation(cloud, one).state == "succeeded")
            with cloud.driver.open_volume(volume) as source:
                assert source.pread(len(disk), 0) == disk
        assert cloud.images.opened == [image.id] * 2
