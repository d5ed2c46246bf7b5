"""Operations that meet: one is asked for while another of the same volume or snapshot is under way."""

import threading
import time
from functools import partial

import pytest

from breezeblock.db import snapshots as snapshot_rows
from breezeblock.errors import BackendInUse, InvalidState, NotFound
from breezeblock.exports.nbd import NbdExports
from breezeblock.services import attachments, extend, snapshots
from breezeblock.services import volumes as volume_services
from breezeblock.worker import _Owned
from tests.cloud import MEMBER, Cloud

CONF = "[DEFAULT]\nenabled_backends = one\n[one]\nvolume_driver = directory\n"


@pytest.fixture
def cloud(tmp_path):
    cloud = Cloud(tmp_path / "data", CONF)
    with cloud.running():
        yield cloud
    exports = NbdExports(cloud.settings.run_dir / "nbd" / "one")
    exports.adopt()
    exports.shutdown()
    cloud.close()


def snap(cloud, volume):
    snapshot = snapshots.create_snapshot(cloud.database, cloud.settings, MEMBER, volume_id=volume.id)
    assert cloud.settled(snapshot.id).state == "succeeded"
    return cloud.snapshot(snapshot.id)


def before(monkeypatch, cloud, verb, act):
    """Have `act` done once when the driver's verb is called, before the verb does anything."""
    real, acts = getattr(cloud.driver, verb), [act]

    def called(*arguments):
        if acts:
            acts.pop()()
        return real(*arguments)

    monkeypatch.setattr(cloud.driver, verb, called)


def wait_until_it_runs(cloud, volume):
    """Wait until the newest operation of a volume runs, or has ended."""
    deadline = time.monotonic() + 30
    while cloud.operations(volume.id)[0].state == "queued":
        assert time.monotonic() < deadline
        time.sleep(0.005)


def cascade(cloud, volume):
    volume_services.delete_volume(cloud.database, MEMBER, volume.id, cascade=True)


def is_gone(cloud, volume):
    assert cloud.settled(volume.id).state == "succeeded"
    with pytest.raises(NotFound):
        cloud.volume(volume.id)
    return True


def test_a_cascade_takes_no_offence_at_a_snapshot_that_is_being_deleted(cloud, monkeypatch):
    volume = cloud.made(size=1)
    snapshot = snap(cloud, volume)
    before(monkeypatch, cloud, "delete_snapshot", lambda: cascade(cloud, volume))
    snapshots.delete_snapshot(cloud.database, MEMBER, snapshot.id)
    assert cloud.settled(snapshot.id).state == "succeeded"
    assert is_gone(cloud, volume)
    with pytest.raises(NotFound):
        cloud.snapshot(snapshot.id)
    assert list(cloud.driver.list_objects()) == []


def test_a_cascade_lets_creates_from_its_snapshots_end_first(cloud, monkeypatch):
    volume = cloud.made(size=1)
    snapshot = snap(cloud, volume)

    def begin_to_delete():
        cascade(cloud, volume)
        wait_until_it_runs(cloud, volume)

    before(monkeypatch, cloud, "create_volume_from_snapshot", begin_to_delete)
    assert cloud.made(snapshot_id=snapshot.id).status == "available"
    assert is_gone(cloud, volume)


def test_a_volume_detached_while_it_is_extended_is_known_to_be_detached(cloud, monkeypatch):
    volume = cloud.made(size=1)
    attachment = attachments.create_attachment(cloud.database, MEMBER, volume_id=volume.id, connector={"host": "here"})
    attachments.complete(cloud.database, MEMBER, attachment.id)
    before(
        monkeypatch,
        cloud,
        "extend_volume",
        lambda: attachments.delete_attachment(cloud.database, MEMBER, attachment.id),
    )
    extend.extend_volume(cloud.database, cloud.settings, MEMBER, volume.id, 2, online=True)
    assert cloud.settled(volume.id).state == "succeeded"
    volume = cloud.volume(volume.id)
    assert (volume.status, volume.attach_status, volume.size) == ("available", "detached", 2)


@pytest.mark.parametrize("verb", ["create_snapshot", "create_cloned_volume"])
def test_a_copy_is_as_large_as_its_volume_was_when_it_was_asked_for(cloud, monkeypatch, verb):
    volume = cloud.made(size=1)

    def grow():
        extend.extend_volume(cloud.database, cloud.settings, MEMBER, volume.id, 2)
        wait_until_it_runs(cloud, volume)

    before(monkeypatch, cloud, verb, grow)
    if verb == "create_snapshot":
        made = cloud.made(snapshot_id=snap(cloud, volume).id)
    else:
        made = cloud.made(source_volid=volume.id)
    assert cloud.settled(volume.id).state == "succeeded"
    assert made.size == 1
    with cloud.driver.open_volume(made) as copy, cloud.driver.open_volume(volume) as extended:
        assert (copy.size, extended.size) == (1 << 30, 2 << 30)


def test_a_volume_detached_while_its_export_is_looked_after_is_not_left_exported(cloud, monkeypatch):
    volume = cloud.made(size=1)
    attachment = attachments.create_attachment(cloud.database, MEMBER, volume_id=volume.id, connector={"host": "here"})
    attachments.complete(cloud.database, MEMBER, attachment.id)
    owned = _Owned.__new__(_Owned)  # only its rounds: the engine that runs is the cloud's
    owned.name, owned._database, owned._backend = cloud.backend.name, cloud.database, cloud.backend
    owned._unrestored = set()
    detach = partial(attachments.delete_attachment, cloud.database, MEMBER, attachment.id)
    before(monkeypatch, cloud, "ensure_export", detach)
    owned._restore_exports()
    volume_services.delete_volume(cloud.database, MEMBER, volume.id)
    assert is_gone(cloud, volume)


def test_an_export_that_was_restored_too_late_does_not_keep_its_volume(cloud):
    """Its daemon died, and while the exports were restored the last attachment went."""
    volume = cloud.made(size=1)
    snapshot = snap(cloud, volume)
    cloud.driver.ensure_export(volume)
    cascade(cloud, volume)
    assert is_gone(cloud, volume)
    with pytest.raises(NotFound):
        cloud.snapshot(snapshot.id)
    assert list(cloud.driver.list_objects()) == []


def test_a_cascade_that_ends_halfway_forgets_what_is_gone(cloud, monkeypatch):
    """The volume is available again; the snapshots that went before it are not."""
    volume = cloud.made(size=1)
    first, second = snap(cloud, volume), snap(cloud, volume)
    real = cloud.driver.delete_snapshot

    def busy(snapshot):
        if snapshot.id == second.id:
            raise BackendInUse("The snapshot is in use.")
        real(snapshot)

    monkeypatch.setattr(cloud.driver, "delete_snapshot", busy)
    cascade(cloud, volume)
    assert cloud.settled(volume.id).state == "failed"
    assert (cloud.volume(volume.id).status, cloud.snapshot(second.id).status) == ("available", "available")
    with pytest.raises(NotFound):
        cloud.snapshot(first.id)
    monkeypatch.undo()
    assert set(cloud.driver.list_objects()) == {volume.storage_name, second.storage_name}
    cascade(cloud, volume)
    assert is_gone(cloud, volume)


def test_a_volume_is_not_deleted_under_a_snapshot_that_is_just_asked_for(tmp_path, database_url, monkeypatch):
    """Both look at the other's rows before either commits: the later one has to wait."""
    cloud = Cloud(tmp_path / "data", CONF.replace("directory", "simulated"), database_url)
    refused = []
    insert = snapshot_rows.insert

    def delete(volume):
        try:
            volume_services.delete_volume(cloud.database, MEMBER, volume.id)
        except InvalidState as error:
            refused.append(error.message)

    def inserted(connection, snapshot):
        deleting = threading.Thread(target=delete, args=(volume,))
        deleting.start()
        deleting.join(0.3)  # time enough to commit, if nothing held it up
        threads.append(deleting)
        insert(connection, snapshot)

    threads = []
    try:
        with cloud.running():
            volume = cloud.made(size=1)
            monkeypatch.setattr(snapshot_rows, "insert", inserted)
            snap(cloud, volume)
            threads[0].join(30)
            assert cloud.volume(volume.id).status == "available"
    finally:
        cloud.close()
    assert "1 dependent snapshots" in refused[0]
