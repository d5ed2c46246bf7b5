"""Backups through services and flows: full and incremental, what they share, what fails, and what is left of it."""

import base64
import errno
import hashlib
import random
import threading
import time
import uuid

import msgspec
import pytest
import sqlalchemy as sa
import zstandard

from breezeblock.backups import manifest as manifests
from breezeblock.backups.directory import DirectoryObjects
from breezeblock.backups.repository import place_of
from breezeblock.db import backups as backup_rows
from breezeblock.db import quotas, tables
from breezeblock.drivers.contract import Extent
from breezeblock.errors import InvalidInput, InvalidState, NotFound, OverQuota
from breezeblock.exports.nbd import NbdExports
from breezeblock.flows import backup_content
from breezeblock.flows.backup_content import by_cell, data_runs, open_store
from breezeblock.flows.sources import backup as source
from breezeblock.services import attachments, backup_records, backups
from breezeblock.services import snapshots as snapshot_services
from breezeblock.services import volumes as volume_services
from tests.cloud import ADMIN, MEMBER, Cloud

CONF = """[DEFAULT]
enabled_backends = one
quota_backups = 6
[one]
volume_driver = {driver}
"""
CHUNK = 64 << 10
PIECES = [random.Random(number).randbytes(CHUNK) for number in range(8)]


@pytest.fixture(params=["simulated", "directory"])
def cloud(request, tmp_path, monkeypatch):
    monkeypatch.setattr(manifests, "CHUNK_BYTES", CHUNK)
    cloud = Cloud(tmp_path / "data", CONF.format(driver=request.param))
    with cloud.running():
        yield cloud
    exports = NbdExports(cloud.settings.run_dir / "nbd" / "one")
    exports.adopt()
    exports.shutdown()
    cloud.close()


def write(cloud, volume, *pieces, at=0):
    """Give a volume this content alone."""

    def fill(target):
        for number, piece in enumerate(pieces):
            target.pwrite(piece, at + number * CHUNK)

    cloud.driver.copy_image_to_volume(volume, f"test:{time.monotonic_ns()}", fill)


def read(cloud, volume, pieces=4):
    with cloud.driver.open_volume(volume) as source:
        return source.pread(pieces * CHUNK, 0)


def asked(cloud, volume, context=MEMBER, **more):
    return backups.create_backup(
        cloud.database, cloud.settings, context, backups.CreateBackup(volume_id=volume.id, **more)
    )


def row(cloud, backup):
    with cloud.database.read() as connection:
        return backup_rows.get(connection, backup.id)


def backed_up(cloud, volume, **more):
    backup = asked(cloud, volume, **more)
    cloud.settled(backup.id)
    return row(cloud, backup)


def copied(cloud, backup):
    """What the step `copy` told."""
    (answer,) = [one for one in cloud.operations(backup.id)[-1].answers if one.step == "copy"]
    return answer.result


def delete(cloud, backup, **more):
    backups.delete_backup(cloud.database, MEMBER, backup.id, **more)
    return cloud.settled(backup.id)


def restore(cloud, backup, volume):
    backups.restore_backup(cloud.database, cloud.settings, cloud.images, MEMBER, backup.id, volume_id=volume.id)
    return cloud.settled(backup.id)


def repository(cloud):
    return open_store(cloud.settings).repository


def files(cloud):
    """What lies in the store, without its lock."""
    root = cloud.settings.data_dir / "backups"
    return [path for path in root.rglob("*") if path.is_file() and path.name != ".lock"]


def only_the_volume_is_left(cloud, volume):
    assert cloud.volume(volume.id).status == "available"
    assert list(cloud.driver.list_objects()) == [volume.storage_name]


def test_incremental_backups_store_what_changed_and_each_is_whole(cloud):
    volume = cloud.made(size=1)
    write(cloud, volume, *PIECES[:4])
    full = backed_up(cloud, volume)
    write(cloud, volume, *PIECES[:2], PIECES[7], PIECES[3])
    second = backed_up(cloud, volume, incremental=True)
    third = backed_up(cloud, volume, incremental=True)
    assert [one.parent_id for one in (full, second, third)] == [None, full.id, second.id]
    assert copied(cloud, full)["stored"] > 4 * CHUNK
    assert CHUNK < copied(cloud, second)["stored"] < 2 * CHUNK
    assert copied(cloud, third)["stored"] == 0
    assert [copied(cloud, one)["read"] for one in (full, second, third)] == [4 * CHUNK] * 3
    assert {one.object_count for one in (full, second, third)} == {4}
    assert len(repository(cloud).chunks(volume.id)) == 5
    for backup, pieces in ((full, PIECES[:4]), (third, [*PIECES[:2], PIECES[7], PIECES[3]])):
        assert restore(cloud, backup, volume).state == "succeeded"
        assert read(cloud, volume) == b"".join(pieces)
    only_the_volume_is_left(cloud, volume)


def test_a_backup_with_dependents_stays_and_the_last_one_leaves_nothing(cloud):
    volume = cloud.made(size=1)
    write(cloud, volume, *PIECES[:4])
    full, second = backed_up(cloud, volume), backed_up(cloud, volume, incremental=True)
    for force in (False, True):
        with pytest.raises(InvalidState, match="Incremental backups exist for this backup"):
            backups.delete_backup(cloud.database, MEMBER, full.id, force=force)
    assert delete(cloud, second).state == "succeeded"
    assert restore(cloud, full, volume).state == "succeeded"
    assert read(cloud, volume) == b"".join(PIECES[:4])
    assert delete(cloud, full).state == "succeeded"
    assert files(cloud) == []
    with pytest.raises(NotFound):
        row(cloud, full)


def test_an_incremental_one_needs_a_full_one_of_the_same_project(cloud):
    volume = cloud.made(size=1)
    with pytest.raises(InvalidInput, match="No backups available to do an incremental backup"):
        asked(cloud, volume, incremental=True)
    backed_up(cloud, volume, context=msgspec.structs.replace(ADMIN, project_id="other"))
    with pytest.raises(InvalidInput, match="No backups available"):
        asked(cloud, volume, incremental=True)
    assert cloud.volume(volume.id).status == "available"


def test_a_snapshots_parent_has_older_data(cloud):
    volume = cloud.made(size=1)
    write(cloud, volume, *PIECES[:2])
    first = backed_up(cloud, volume)
    snapshot = snapshot_services.create_snapshot(cloud.database, cloud.settings, MEMBER, volume_id=volume.id)
    cloud.settled(snapshot.id)
    write(cloud, volume, *PIECES[2:4])
    later = backed_up(cloud, volume)
    of_snapshot = asked(cloud, volume, snapshot_id=snapshot.id, incremental=True)
    assert of_snapshot.parent_id == first.id
    assert of_snapshot.data_timestamp == snapshot.created_at
    cloud.settled(of_snapshot.id)
    assert cloud.snapshot(snapshot.id).status == "available"
    assert later.data_timestamp == later.created_at
    restore(cloud, of_snapshot, volume)
    assert read(cloud, volume, 2) == b"".join(PIECES[:2])


def test_while_a_snapshot_is_backed_up_it_cannot_go_and_the_volume_is_free(tmp_path):
    cloud = Cloud(tmp_path, CONF.format(driver="simulated"))
    cloud.leaves_flows = True
    with cloud.running():
        volume = cloud.made(size=1)
        snapshot = snapshot_services.create_snapshot(cloud.database, cloud.settings, MEMBER, volume_id=volume.id)
        cloud.settled(snapshot.id)
    asked(cloud, volume, snapshot_id=snapshot.id)
    assert (cloud.snapshot(snapshot.id).status, cloud.volume(volume.id).status) == ("backing-up", "available")
    with pytest.raises(InvalidState, match="must be available, but the current status is"):
        asked(cloud, volume, snapshot_id=snapshot.id)
    with pytest.raises(InvalidState):
        snapshot_services.delete_snapshot(cloud.database, MEMBER, snapshot.id)
    cloud.close()


def test_a_volume_in_use_needs_force_and_is_in_use_again(cloud):
    volume = cloud.made(size=1)
    write(cloud, volume, *PIECES[:2])
    made = attachments.create_attachment(cloud.database, MEMBER, volume_id=volume.id, connector={"host": "h"})
    attachments.complete(cloud.database, MEMBER, made.id)
    with pytest.raises(InvalidState, match="must use the force flag"):
        asked(cloud, volume)
    backup = backed_up(cloud, volume, force=True)
    assert backup.status == "available", cloud.operations(backup.id)
    assert cloud.volume(volume.id).status == "in-use"
    assert list(cloud.driver.list_objects()) == [volume.storage_name]
    new = cloud.made(backup_id=backup.id)
    assert read(cloud, new, 2) == b"".join(PIECES[:2])


def test_metadata_comes_back_and_tells_of_the_backup(cloud):
    volume = cloud.made(size=1, metadata={"k": "v"})
    backup = backed_up(cloud, volume)
    new = cloud.made(backup_id=backup.id, metadata={"mine": "too"})
    assert new.metadata == {"k": "v", "src_backup_id": backup.id, "mine": "too"}
    other = cloud.made(size=1, metadata={"lost": "x"})
    restore(cloud, backup, other)
    assert cloud.volume(other.id).metadata == {"k": "v", "src_backup_id": backup.id}
    restore(cloud, backup, volume)
    assert cloud.volume(volume.id).metadata == {"k": "v"}


def test_a_restored_volume_has_the_name_that_was_asked_for(cloud):
    volume = cloud.made(size=1, name="source")
    backup = backed_up(cloud, volume)
    for name, expected in (("mine", "mine"), (None, f"restore_backup_{backup.id}")):
        _, made = backups.restore_backup(cloud.database, cloud.settings, cloud.images, MEMBER, backup.id, name=name)
        assert made.name == expected
        assert cloud.settled(made.id).state == "succeeded"


@pytest.mark.parametrize("harm", [False, True])
def test_a_restore_into_a_new_volume_is_seen_of_both_until_it_has_ended(cloud, monkeypatch, harm):
    volume = cloud.made(size=1)
    write(cloud, volume, *PIECES[:1])
    backup = backed_up(cloud, volume)
    if harm:
        for name in repository(cloud).chunks(volume.id):
            (cloud.settings.data_dir / "backups" / name).unlink()
    looked, copy_in = threading.Event(), source.copy_in

    def wait(*arguments):
        assert looked.wait(30)
        copy_in(*arguments)

    monkeypatch.setattr(source, "copy_in", wait)
    _, made = backups.restore_backup(cloud.database, cloud.settings, cloud.images, MEMBER, backup.id)
    assert (row(cloud, backup).status, cloud.volume(made.id).status) == ("restoring", "restoring-backup")
    with pytest.raises(InvalidState, match="Backup status must be available"):
        backups.restore_backup(cloud.database, cloud.settings, cloud.images, MEMBER, backup.id)
    looked.set()
    cloud.settled(made.id)
    assert row(cloud, backup).status == "available"
    assert cloud.volume(made.id).status == ("error" if harm else "available")


def test_restores_that_cannot_be(cloud):
    volume, small = cloud.made(size=2), cloud.made(size=1)
    backup = backed_up(cloud, volume)
    with pytest.raises(InvalidInput, match="volume size 1 is too small to restore backup of size 2"):
        restore(cloud, backup, small)
    with cloud.database.begin() as connection:
        connection.execute(sa.update(tables.volumes).values(status="maintenance"))
    with pytest.raises(InvalidState, match="Volume to be restored to must be available"):
        restore(cloud, backup, volume)
    backups.reset_status(cloud.database, ADMIN, backup.id, "error")
    with pytest.raises(InvalidState, match="Backup status must be available"):
        restore(cloud, backup, volume)


def test_quotas_are_sums(cloud):
    volume = cloud.made(size=1)
    for _ in range(6):
        last = backed_up(cloud, volume)
    with cloud.database.read() as connection:
        assert quotas.usage(connection, "project").backup_gigabytes == 6
    with pytest.raises(OverQuota, match="backups"):
        asked(cloud, volume)
    delete(cloud, last)
    assert backed_up(cloud, volume).status == "available"


class Died(BaseException):
    """A worker that is killed: nothing is undone."""


def test_a_killed_backup_copies_nothing_twice(tmp_path, monkeypatch):
    monkeypatch.setattr(manifests, "CHUNK_BYTES", CHUNK)
    monkeypatch.setattr(backup_content, "NOTE_CHUNKS", 2)
    cloud = Cloud(tmp_path, CONF.format(driver="simulated"))
    with cloud.running():
        volume = cloud.made(size=1)
        write(cloud, volume, *PIECES[:7])
    put, names = DirectoryObjects.put, []

    def dying(self, name, content):
        if "chunks" in name:
            if len(names) == 5:
                raise Died
            names.append(name)
        put(self, name, content)

    monkeypatch.setattr(DirectoryObjects, "put", dying)
    monkeypatch.setattr("threading.excepthook", lambda args: None)
    with cloud.running():
        backup = asked(cloud, volume)
        deadline = time.monotonic() + 30
        while len(names) < 5:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    monkeypatch.setattr(
        DirectoryObjects, "put", lambda self, name, content: (names.append(name), put(self, name, content))
    )
    with cloud.running():
        assert cloud.settled(backup.id).state == "succeeded"
        assert len([name for name in names if "chunks" in name]) == 7, "each once"
        assert copied(cloud, backup)["read"] == 3 * CHUNK, "what was noted is not even read"
        new = cloud.made(backup_id=backup.id)
        assert read(cloud, new, 7) == b"".join(PIECES[:7])
    cloud.close()


def test_a_full_store_says_so_and_leaves_nothing(cloud, monkeypatch):
    volume = cloud.made(size=1)
    write(cloud, volume, *PIECES[:4])
    full = backed_up(cloud, volume)
    write(cloud, volume, *PIECES[4:])
    before, put = sorted(files(cloud)), DirectoryObjects.put

    def no_room(self, name, content):
        if "chunks" not in name or len(repository(cloud).chunks(volume.id)) < 6:
            return put(self, name, content)
        with self._errors(f"take {name}"):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(DirectoryObjects, "put", no_room)
    broken = backed_up(cloud, volume, incremental=True)
    assert broken.status == "error"
    assert "No space left on device" in broken.fail_reason
    assert "Delete backups, or add space" in broken.fail_reason
    assert sorted(files(cloud)) == before
    only_the_volume_is_left(cloud, volume)
    assert restore(cloud, full, volume).state == "succeeded"
    assert delete(cloud, broken).state == "succeeded"


@pytest.mark.parametrize("harm", ["damaged", "no "])
def test_a_harmed_backup_makes_no_volume_and_says_which_object(cloud, harm):
    volume = cloud.made(size=1)
    write(cloud, volume, *PIECES[:4])
    backup = backed_up(cloud, volume)
    name = sorted(repository(cloud).chunks(volume.id))[2]
    path = cloud.settings.data_dir / "backups" / name
    path.write_bytes(b"x") if harm == "damaged" else path.unlink()
    failed = restore(cloud, backup, volume)
    assert failed.state == "failed"
    assert harm in failed.message
    assert name in failed.message
    assert cloud.volume(volume.id).status == "error_restoring"
    assert row(cloud, backup).status == "available"
    volume_services.delete_volume(cloud.database, MEMBER, volume.id)
    cloud.settled(volume.id)


def test_a_full_backup_heals_what_is_damaged(cloud):
    volume = cloud.made(size=1)
    write(cloud, volume, *PIECES[:4])
    backup = backed_up(cloud, volume)
    name = sorted(repository(cloud).chunks(volume.id))[1]
    (cloud.settings.data_dir / "backups" / name).write_bytes(b"x")
    assert CHUNK < copied(cloud, backed_up(cloud, volume))["stored"] < 2 * CHUNK
    assert restore(cloud, backup, volume).state == "succeeded"


def test_a_delete_waits_for_a_backup_under_way_of_the_same_volume(tmp_path, monkeypatch):
    """What is made may use what is deleted."""
    monkeypatch.setattr(manifests, "CHUNK_BYTES", CHUNK)
    cloud = Cloud(tmp_path, CONF.format(driver="simulated"))
    go_on, put = [], DirectoryObjects.put

    def slow(self, name, content):
        deadline = time.monotonic() + 30
        while go_on == [] and "manifests" in name:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        put(self, name, content)

    with cloud.running():
        volume = cloud.made(size=1)
        write(cloud, volume, *PIECES[:4])
        first = backed_up(cloud, volume)
        monkeypatch.setattr(DirectoryObjects, "put", slow)
        second = asked(cloud, volume)
        deadline = time.monotonic() + 30
        while repository(cloud).claimed(volume.id) == []:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        backups.delete_backup(cloud.database, MEMBER, first.id)
        while not (waiting := cloud.operations(first.id)[0].waiting):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert second.id in waiting
        assert len(repository(cloud).chunks(volume.id)) == 4
        go_on.append(True)
        assert cloud.settled(second.id).state == cloud.settled(first.id).state == "succeeded"
        assert read(cloud, cloud.made(backup_id=second.id)) == b"".join(PIECES[:4])
    cloud.close()


def test_a_backup_under_way_is_given_up_by_force(tmp_path, monkeypatch):
    monkeypatch.setattr(manifests, "CHUNK_BYTES", CHUNK)
    cloud = Cloud(tmp_path, CONF.format(driver="simulated") + "volume_copy_bps_limit = 20000\n")
    with cloud.running():
        volume = cloud.made(size=1)
        write(cloud, volume, *PIECES)
        backup = asked(cloud, volume)
        deadline = time.monotonic() + 30
        while repository(cloud).claimed(volume.id) == []:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        with pytest.raises(InvalidState, match="must be available or error"):
            backups.delete_backup(cloud.database, ADMIN, backup.id)
        backups.delete_backup(cloud.database, ADMIN, backup.id, force=True)
        cloud.settled(backup.id)
        with pytest.raises(NotFound):
            row(cloud, backup)
        assert {one.kind: one.state for one in cloud.operations(backup.id)} == {
            "create_backup": "cancelled",
            "delete_backup": "succeeded",
        }
        assert files(cloud) == []
        only_the_volume_is_left(cloud, volume)
    cloud.close()


# records


def exported(cloud, backup, **changed):
    """A backup's record, changed."""
    record = backup_records.export_record(cloud.database, ADMIN, backup.id)
    fields = msgspec.json.decode(base64.b64decode(record["backup_url"])) | changed
    return record["backup_service"], base64.b64encode(msgspec.json.encode(fields)).decode()


def imported(cloud, service, url):
    backup = backup_records.import_record(cloud.database, cloud.settings, ADMIN, service, url)
    cloud.settled(backup.id)
    return row(cloud, backup)


def forget(cloud, backup):
    with cloud.database.begin() as connection:
        backup_rows.remove(connection, backup.id)


def test_backups_survive_the_database_by_their_records(cloud):
    volume = cloud.made(size=1, metadata={"k": "v"})
    write(cloud, volume, *PIECES[:4])
    full, second = backed_up(cloud, volume, name="n"), backed_up(cloud, volume, incremental=True)
    records = [exported(cloud, one) for one in (full, second)]
    with pytest.raises(InvalidState, match="Backup already exists in database"):
        imported(cloud, *records[0])
    forget(cloud, second)
    forget(cloud, full)
    again = [imported(cloud, *record) for record in records]
    for before, after in zip((full, second), again, strict=True):
        kept = {"updated_at": after.updated_at, "project_id": "project", "user_id": "admin"}
        assert after == msgspec.structs.replace(before, **kept)
    with pytest.raises(InvalidState, match="Incremental backups exist"):
        delete(cloud, full)
    assert read(cloud, cloud.made(backup_id=second.id)) == b"".join(PIECES[:4])


def test_a_record_with_another_id_makes_a_copy_that_is_independent(cloud):
    volume = cloud.made(size=1)
    write(cloud, volume, *PIECES[:4])
    backup = backed_up(cloud, volume)
    copy = imported(cloud, *exported(cloud, backup, id=str(uuid.uuid4())))
    assert copy.status == "available"
    assert delete(cloud, backup).state == "succeeded"
    assert read(cloud, cloud.made(backup_id=copy.id)) == b"".join(PIECES[:4])
    assert delete(cloud, copy).state == "succeeded"
    assert files(cloud) == []


@pytest.mark.parametrize("copy", [False, True])
def test_a_record_of_what_is_not_there_says_what_is_missing(cloud, copy):
    volume = cloud.made(size=1)
    write(cloud, volume, *PIECES[:4])
    backup = backed_up(cloud, volume)
    record = exported(cloud, backup, **({"id": str(uuid.uuid4())} if copy else {}))
    if not copy:
        forget(cloud, backup)
    name = sorted(repository(cloud).chunks(volume.id))[0]
    (cloud.settings.data_dir / "backups" / name).unlink()
    made = imported(cloud, *record)
    assert made.status == "error"
    assert made.fail_reason == f"1 objects of the backup are not in the store: {name}."
    (cloud.settings.data_dir / "backups" / place_of(backup.service_metadata).manifest).unlink()
    delete(cloud, made)
    assert "has no volume-" in imported(cloud, *record).fail_reason


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("###", "Can't parse backup record"),
        (base64.b64encode(b"[]").decode(), "missing an id"),
        (base64.b64encode(b'{"id": "x"}').decode(), "missing size"),
        (base64.b64encode(b'{"id": "x", "size": 1}').decode(), "Can't parse backup record"),
    ],
)
def test_records_that_cannot_be_read(cloud, url, said):
    with pytest.raises(InvalidInput, match=said):
        imported(cloud, backup_records.SERVICE, url)


@pytest.mark.parametrize(
    "changed",
    [
        {"service_metadata": "volume-../../etc/passwd"},
        {"id": "../../x"},
        {"volume_id": "../x", "service_metadata": "backup-00000000-0000-0000-0000-000000000001"},
        {"size": 0},
    ],
)
def test_records_that_lead_elsewhere(cloud, changed):
    volume = cloud.made(size=1)
    with pytest.raises(InvalidInput, match="names no backup of this service"):
        imported(cloud, *exported(cloud, backed_up(cloud, volume), **changed))
    with pytest.raises(InvalidInput, match="cannot be read here"):
        imported(cloud, "cinder.backup.drivers.swift.SwiftBackupDriver", "e30=")


# the release before


def of_the_release_before(cloud, volume, backup, *pieces):
    """Turn a backup into one as release 1 made it."""
    folder = cloud.settings.data_dir / "backups" / f"backup-{backup.id}"
    folder.mkdir(parents=True)
    chunks = []
    for number, piece in enumerate(pieces):
        sha256 = hashlib.sha256(piece).hexdigest()
        (folder / sha256).write_bytes(zstandard.ZstdCompressor(level=1).compress(piece))
        chunks.append([number * CHUNK, len(piece), sha256])
    (folder / "manifest.json").write_bytes(
        msgspec.json.encode({"format": 1, "volume_size": volume.size << 30, "chunks": chunks})
    )
    repository(cloud).remove(place_of(backup.service_metadata))
    with cloud.database.begin() as connection:
        backup_rows.update(connection, backup.id, service="directory", service_metadata=None, volume_metadata={})
    return row(cloud, backup)


def test_backups_of_the_release_before_are_restored_continued_copied_and_deleted(cloud):
    volume = cloud.made(size=1, metadata={"k": "v"})
    backup = of_the_release_before(cloud, volume, backed_up(cloud, volume), *PIECES[:4])
    assert restore(cloud, backup, volume).state == "succeeded"
    assert read(cloud, volume) == b"".join(PIECES[:4])
    assert cloud.volume(volume.id).metadata == {"k": "v"}
    second = backed_up(cloud, volume, incremental=True)
    assert second.parent_id == backup.id
    copy = imported(cloud, *exported(cloud, backup, id=str(uuid.uuid4())))
    assert delete(cloud, second).state == "succeeded"
    record = exported(cloud, backup)
    forget(cloud, backup)
    assert imported(cloud, *record).status == "available"
    assert delete(cloud, backup).state == "succeeded"
    assert list((cloud.settings.data_dir / "backups").glob("backup-*")) == []
    assert read(cloud, cloud.made(backup_id=copy.id)) == b"".join(PIECES[:4])


def test_a_request_of_the_release_before_is_finished(tmp_path):
    """Its row has no place, its arguments no word of the snapshot, and a part of it lies in a folder of its own."""
    cloud = Cloud(tmp_path, CONF.format(driver="simulated"))
    with cloud.running():
        volume = cloud.made(size=1)
    backup = asked(cloud, volume)
    part = tmp_path / "backups" / f"backup-{backup.id}"
    part.mkdir(parents=True)
    (part / "part").write_bytes(b"x")
    with cloud.database.begin() as connection:
        backup_rows.update(connection, backup.id, service="directory", service_metadata=None)
        connection.execute(sa.update(tables.flow_requests).values(arguments={"backup_id": backup.id}))
    with cloud.running():
        assert cloud.settled(backup.id).state == "succeeded"
        assert not part.exists()
        assert cloud.volume(volume.id).status == "available"
        assert restore(cloud, row(cloud, backup), volume).state == "succeeded"
    cloud.close()


# the grid


def test_data_is_cut_by_a_grid_whatever_its_runs(monkeypatch):
    monkeypatch.setattr(manifests, "CHUNK_BYTES", 10)
    extents = [Extent(0, 3, False), Extent(3, 2, True), Extent(5, 1, False), Extent(6, 17, True), Extent(23, 7, False)]
    assert list(by_cell(iter(extents), 0)) == [(0, [(3, 2), (6, 4)]), (10, [(10, 10)]), (20, [(20, 3)])]
    assert list(by_cell(iter(extents), 10)) == [(10, [(10, 10)]), (20, [(20, 3)])]
    assert list(by_cell(iter(extents), 30)) == []


@pytest.mark.parametrize("grains", ["", "0", "1", "0110", "1001", "10", "01"])
def test_zeros_are_not_written(grains):
    size = backup_content.GRAIN
    content = b"".join(bytes([int(one)]) * size for one in grains) + bytes(5)
    rebuilt = bytearray(len(content))
    for offset, run in data_runs(content):
        assert any(run)
        rebuilt[offset : offset + len(run)] = run
    assert rebuilt == content
    assert sum(len(run) for _, run in data_runs(content)) == grains.count("1") * size
