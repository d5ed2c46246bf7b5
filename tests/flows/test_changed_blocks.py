"""Incremental backups of backends that keep the snapshot of the last one: what they read, what they keep, what they cost."""

import ctypes
import os
import time

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from breezeblock.backups import manifest as manifests
from breezeblock.backups.directory import DirectoryObjects
from breezeblock.backups.repository import Place
from breezeblock.db import volumes
from breezeblock.drivers.conformance.storage import CONNECTOR, GIB, write_through
from breezeblock.errors import DriverError
from breezeblock.exports.nbd import NbdExports
from breezeblock.flows import backup_content
from breezeblock.flows.backup_bases import moment_id
from breezeblock.services import backups, extend, manage
from breezeblock.services import snapshots as snapshot_services
from breezeblock.services import volumes as volume_services
from breezeblock.services.doctor.examine import examine
from tests.cloud import ADMIN, MEMBER, Cloud
from tests.flows.test_backups import CHUNK, backed_up, copied, delete, repository, restore, row
from tests.flows.test_migration import Pair

CONF = """[DEFAULT]
enabled_backends = one
[one]
volume_driver = {driver}
backup_changed_blocks = true
"""


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(manifests, "CHUNK_BYTES", CHUNK)


@pytest.fixture(params=["simulated", "directory"])
def cloud(request, tmp_path):
    cloud = Cloud(tmp_path / "data", CONF.format(driver=request.param))
    with cloud.running():
        yield cloud
    exports = NbdExports(cloud.settings.run_dir / "nbd" / "one")
    exports.adopt()
    exports.shutdown()
    cloud.close()


@pytest.fixture
def simulated(tmp_path):
    cloud = Cloud(tmp_path / "data", CONF.format(driver="simulated"))
    with cloud.running():
        yield cloud
    cloud.close()


def poke(cloud, volume, *pieces):
    """Write as a client does: a whole piece of the grid of one byte at each of these places."""
    connection = cloud.driver.initialize_connection(volume, CONNECTOR)
    write_through(connection, {number * CHUNK: bytes([byte]) * CHUNK for number, byte in pieces})
    cloud.driver.terminate_connection(volume, CONNECTOR)


def content(cloud, volume, pieces=8):
    """The byte that each of the first pieces is filled with."""
    with cloud.driver.open_volume(volume) as source:
        read = [source.pread(CHUNK, number * CHUNK) for number in range(pieces)]
    assert all(len(set(one)) == 1 for one in read)
    return [one[0] for one in read]


def at_rest(cloud):
    """Wait until nothing is left to be run."""
    deadline = time.monotonic() + 30
    while cloud.count("flow_requests"):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def base(backup):
    return f"snapshot-{moment_id(backup.id)}"


def objects(cloud):
    return sorted(cloud.driver.list_objects())


def test_only_what_changed_is_read_and_each_backup_is_whole(cloud):
    volume = cloud.made(size=1)
    poke(cloud, volume, (0, 1), (1, 2), (5, 3))
    full = backed_up(cloud, volume)
    poke(cloud, volume, (1, 7))
    second = backed_up(cloud, volume, incremental=True)
    third = backed_up(cloud, volume, incremental=True)
    assert [copied(cloud, one)["read"] for one in (full, second, third)] == [3 * CHUNK, CHUNK, 0]
    assert [copied(cloud, one)["chunks"] for one in (full, second, third)] == [3, 3, 3]
    assert copied(cloud, full)["reads"] == "all data: a full backup"
    assert copied(cloud, second)["reads"].startswith(f"what has changed since the backup {full.id}: {CHUNK} bytes")
    assert [row(cloud, one).base_kept for one in (full, second, third)] == [False, False, True]
    assert objects(cloud) == sorted([volume.storage_name, base(third)])
    assert list(examine(cloud.settings, cloud.database)) == []
    for backup, wanted in ((full, [1, 2, 0, 0, 0, 3, 0, 0]), (third, [1, 7, 0, 0, 0, 3, 0, 0])):
        assert restore(cloud, backup, volume).state == "succeeded"
        assert content(cloud, volume) == wanted
    poke(cloud, volume, (2, 9))
    fourth = backed_up(cloud, volume, incremental=True)
    assert restore(cloud, fourth, volume).state == "succeeded"
    assert content(cloud, volume) == [1, 7, 9, 0, 0, 3, 0, 0]
    for backup in (fourth, third, second, full):
        assert delete(cloud, backup).state == "succeeded"
    at_rest(cloud)
    assert objects(cloud) == [volume.storage_name]


def test_a_grown_volume_in_use(cloud):
    volume = cloud.made(size=1)
    poke(cloud, volume, (0, 1))
    backed_up(cloud, volume)
    extend.extend_volume(cloud.database, cloud.settings, MEMBER, volume.id, 2)
    cloud.settled(volume.id)
    end = GIB // CHUNK
    poke(cloud, cloud.volume(volume.id), (end + 3, 5))
    grown = backed_up(cloud, volume, incremental=True)
    assert copied(cloud, grown)["read"] == CHUNK
    assert restore(cloud, grown, volume).state == "succeeded"
    assert content(cloud, volume, 1) == [1]
    with cloud.driver.open_volume(volume) as source:
        assert source.pread(CHUNK, (end + 3) * CHUNK) == b"\x05" * CHUNK


def test_snapshots_that_are_kept_anyway_are_compared(simulated):
    cloud = simulated
    volume = cloud.made(size=1)
    snapshots = []
    for pieces in (((0, 1), (1, 2)), ((1, 3),)):
        poke(cloud, volume, *pieces)
        taken = snapshot_services.create_snapshot(cloud.database, cloud.settings, MEMBER, volume_id=volume.id)
        cloud.settled(taken.id)
        snapshots.append(taken)
    first = backed_up(cloud, volume, snapshot_id=snapshots[0].id)
    second = backed_up(cloud, volume, snapshot_id=snapshots[1].id, incremental=True)
    assert (copied(cloud, first)["read"], copied(cloud, second)["read"]) == (2 * CHUNK, CHUNK)
    assert not row(cloud, second).base_kept
    assert restore(cloud, second, volume).state == "succeeded"
    assert content(cloud, volume, 3) == [1, 3, 0]
    assert objects(cloud) == sorted([volume.storage_name, *(one.storage_name for one in snapshots)])


@pytest.mark.parametrize("loss", ["base", "chunk", "failure", "manifest"])
def test_what_is_lost_costs_a_full_read(simulated, monkeypatch, loss):
    """Never a wrong backup."""
    cloud = simulated
    volume = cloud.made(size=1)
    poke(cloud, volume, (0, 1), (1, 2), (2, 3))
    full = backed_up(cloud, volume)
    poke(cloud, volume, (1, 7))
    place = Place(volume.id, full.id)
    store = cloud.settings.data_dir / "backups"
    if loss == "base":
        assert base(full) in objects(cloud)
        cloud.driver.volumes.delete(base(full))
    elif loss == "chunk":
        lost = next(one for one in repository(cloud).manifest(place).chunks if one.offset == 0)
        (store / place.chunk(lost.sha256)).unlink()
    elif loss == "manifest":
        (store / place.manifest).write_bytes(b"damaged")
    else:
        monkeypatch.setattr(cloud.driver, "list_changed_extents", fails, raising=True)
    second = backed_up(cloud, volume, incremental=True)
    assert second.status == "available"
    assert copied(cloud, second)["read"] == (2 if loss == "chunk" else 3) * CHUNK
    assert copied(cloud, second)["reads"].startswith("what" if loss == "chunk" else "all data: ")
    assert restore(cloud, second, volume).state == "succeeded"
    assert content(cloud, volume, 4) == [1, 7, 3, 0]


def fails(since, snapshot):
    raise DriverError("The storage has lost count.")


class Died(BaseException):
    """A worker that is killed: nothing is undone."""


def test_a_killed_one_goes_on_though_its_base_is_gone(tmp_path, monkeypatch):
    monkeypatch.setattr(backup_content, "NOTE_CHUNKS", 2)
    monkeypatch.setattr("threading.excepthook", lambda args: None)
    cloud = Cloud(tmp_path, CONF.format(driver="simulated"))
    with cloud.running():
        volume = cloud.made(size=1)
        poke(cloud, volume, *((number, number + 1) for number in range(8)))
        full = backed_up(cloud, volume)
        poke(cloud, volume, *((number, 100 + number) for number in (1, 3, 4, 6)))
    put, stored = DirectoryObjects.put, []

    def dying(self, name, content):
        if "chunks" in name:
            if len(stored) == 3:
                raise Died
            stored.append(name)
        put(self, name, content)

    monkeypatch.setattr(DirectoryObjects, "put", dying)
    with cloud.running():
        backup = backups.create_backup(
            cloud.database, cloud.settings, MEMBER, backups.CreateBackup(volume_id=volume.id, incremental=True)
        )
        deadline = time.monotonic() + 30
        while len(stored) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    monkeypatch.setattr(DirectoryObjects, "put", put)
    cloud.driver.volumes.delete(base(full))
    with cloud.running():
        assert cloud.settled(backup.id).state == "succeeded"
        assert copied(cloud, row(cloud, backup))["reads"].startswith("all data: ")
        assert restore(cloud, backup, volume).state == "succeeded"
        assert content(cloud, volume) == [1, 101, 3, 103, 104, 6, 106, 8]
    cloud.close()


def test_the_base_goes_with_its_volume(cloud):
    volume = cloud.made(size=1)
    poke(cloud, volume, (0, 1))
    backup = backed_up(cloud, volume)
    volume_services.delete_volume(cloud.database, MEMBER, volume.id)
    cloud.settled(volume.id)
    assert objects(cloud) == []
    assert not row(cloud, backup).base_kept
    assert list(examine(cloud.settings, cloud.database)) == []
    delete(cloud, backup)


def test_the_base_goes_with_an_unmanaged_volume(simulated):
    cloud = simulated
    volume = cloud.made(size=1)
    backup = backed_up(cloud, volume)
    manage.unmanage_volume(cloud.database, ADMIN, volume.id)
    at_rest(cloud)
    assert objects(cloud) == []
    assert [one.reference["source-name"] for one in cloud.driver.get_manageable_volumes()] == [volume.storage_name]
    assert not row(cloud, backup).base_kept


@pytest.mark.parametrize("by_driver", [True, False])
def test_the_base_stays_on_no_storage_that_the_volume_leaves(tmp_path, monkeypatch, by_driver):
    monkeypatch.setattr("tests.flows.test_migration.CONF", MIGRATING)
    pair = Pair(tmp_path / "data", "simulated")
    with pair.running():
        volume = pair.filled()
        with pair.database.begin() as connection:
            volumes.update(connection, volume.id, volume_type_id=None)
        backup = backed_up(pair, volume)
        assert len(pair.objects()[0]) == 2
        there = f"{pair.backend.name}#b" if volume.host.endswith("#a") else f"{pair.backend.name}#a"
        operation = pair.migrate(volume, there if by_driver else pair.other.name)
        assert operation.state == "succeeded", operation
        pair.at_rest()
        assert pair.objects() == ([[volume.storage_name], []] if by_driver else [[], [volume.storage_name]])
        assert not row(pair, backup).base_kept
        assert list(examine(pair.settings, pair.database)) == []
    pair.close()


MIGRATING = """[DEFAULT]
enabled_backends = one, two
[one]
volume_driver = {one}
volume_backend_name = one
backup_changed_blocks = true
[two]
volume_driver = {two}
volume_backend_name = two
"""


def test_nothing_is_kept_where_that_is_not_asked_for(tmp_path):
    """Switched off, the next backup removes what was kept."""
    for kept in ("true", "false"):
        conf = CONF.format(driver="simulated").replace("= true", f"= {kept}")
        cloud = Cloud(tmp_path / "data", conf)
        with cloud.running():
            if kept == "true":
                volume = cloud.made(size=1)
                poke(cloud, volume, (0, 1))
            backup = backed_up(cloud, volume, incremental=kept == "false")
            assert objects(cloud) == sorted([volume.storage_name, *([base(backup)] if kept == "true" else [])])
        cloud.close()


def punch(path, offset, length):
    """Give a piece of a file back to the filesystem: a discard."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.open(path, os.O_RDWR)
    try:
        arguments = (ctypes.c_int(fd), ctypes.c_int(3), ctypes.c_int64(offset), ctypes.c_int64(length))
        assert libc.fallocate(*arguments) == 0, os.strerror(ctypes.get_errno())
    finally:
        os.close(fd)


PIECE = st.integers(0, 11)
STEP = st.one_of(
    st.tuples(st.just("write"), PIECE, st.integers(1, 255), st.integers(0, CHUNK - 1), st.integers(1, 2 * CHUNK)),
    st.tuples(st.just("discard"), PIECE, st.integers(1, 3)),
    st.tuples(st.just("extend")),
    st.tuples(st.just("backup"), st.booleans()),
)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(STEP, min_size=3, max_size=12))
def test_every_restore_is_byte_exact(tmp_path_factory, steps):
    """Whatever is written, discarded and extended between backups, each of them is the volume of its moment."""
    manifests.CHUNK_BYTES = CHUNK  # the fixture has it set; hypothesis runs many examples within it
    cloud = Cloud(tmp_path_factory.mktemp("any"), CONF.format(driver="simulated"))
    with cloud.running():
        volume = cloud.made(size=1)
        size, made = 1, []
        for step, *given_ in [("backup", False), *steps, ("backup", True)]:
            if step == "backup":
                backup = backed_up(cloud, volume, incremental=given_[0])
                assert backup.status == "available"
                made.append((backup, whole(cloud, volume)))
            elif step == "extend":
                size += 1
                extend.extend_volume(cloud.database, cloud.settings, MEMBER, volume.id, size)
                assert cloud.settled(volume.id).state == "succeeded"
            else:
                change(cloud, volume, step, *given_)
        for backup, (length, wanted) in made:
            restored = cloud.made(backup_id=backup.id)
            assert whole(cloud, restored) == (length, wanted)
        assert len(objects(cloud)) == 1 + 1 + len(made), "the volume, one base, and what was restored"
    cloud.close()


def change(cloud, volume, step, piece, *given_):
    """Write, or discard, somewhere in the first 12 pieces, or in those around the end of the first GiB."""
    begin = piece * CHUNK if piece < 9 else GIB - CHUNK * (12 - piece)
    path = cloud.driver.initialize_connection(volume, CONNECTOR)["data"]["device_path"]
    end = os.stat(path).st_size
    if step == "discard":
        punch(path, begin, min(given_[0] * CHUNK, end - begin))
    else:
        byte, skip, length = given_
        fd = os.open(path, os.O_WRONLY)
        os.pwrite(fd, bytes([byte]) * min(length, end - begin - skip), begin + skip)
        os.close(fd)
    cloud.driver.terminate_connection(volume, CONNECTOR)


def whole(cloud, volume):
    """The size of a volume, and all its pieces that are not zeros, by offset."""
    with cloud.driver.open_volume(volume) as source:
        found = {}
        for extent in source.extents():
            for at in (
                range(extent.offset // CHUNK * CHUNK, extent.offset + extent.length, CHUNK) if extent.data else ()
            ):
                read = source.pread(CHUNK, at)
                if any(read):
                    found[at] = read
        return source.size, found
