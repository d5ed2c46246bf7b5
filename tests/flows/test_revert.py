"""A volume gets its snapshot's content again: by the driver, by a copy, and when neither can."""

import pytest

from breezeblock.errors import Conflict, DriverError, InvalidInput
from breezeblock.services import extend, snapshots
from breezeblock.services.revert import revert_to_snapshot
from tests.cloud import MEMBER, Cloud

SECTIONS = {
    "simulated": "volume_driver = simulated\n",
    "copied": "volume_driver = simulated\nsimulated_revert = false\n",
    "directory": "volume_driver = directory\n",
}
ONE, TWO = b"one" * 100_000, b"two" * 50_000


@pytest.fixture(params=list(SECTIONS))
def cloud(request, tmp_path):
    cloud = Cloud(tmp_path, "[DEFAULT]\nenabled_backends = one\n[one]\n" + SECTIONS[request.param])
    cloud.kind = request.param
    with cloud.running():
        yield cloud
    cloud.close()


def write(cloud, volume, content):
    cloud.driver.copy_image_to_volume(volume, f"test:{content[:3]}", lambda to: to.pwrite(content, 1 << 20))


def read(cloud, volume):
    with cloud.driver.open_volume(volume) as source:
        return source.pread(len(ONE), 1 << 20)


def snap(cloud, volume):
    snapshot = snapshots.create_snapshot(cloud.database, cloud.settings, MEMBER, volume_id=volume.id)
    cloud.settled(snapshot.id)
    return snapshot


@pytest.fixture
def volume(cloud):
    made = cloud.made(size=1)
    write(cloud, made, ONE)
    return made


@pytest.fixture
def snapshot(cloud, volume):
    taken = snap(cloud, volume)
    write(cloud, volume, TWO)
    return taken


def revert(cloud, volume, snapshot):
    revert_to_snapshot(cloud.database, MEMBER, volume.id, snapshot.id)
    return cloud.settled(volume.id)


def test_it_holds_what_the_snapshot_holds(cloud, volume, snapshot):
    operation = revert(cloud, volume, snapshot)
    assert (operation.kind, operation.state) == ("revert_to_snapshot", "succeeded")
    steps = {answer.step: answer.outcome for answer in operation.answers}
    assert steps.get("revert_to_snapshot") == ("declined" if cloud.kind == "copied" else "done")
    assert ("copy" in steps) == (cloud.kind == "copied")
    if cloud.kind == "copied":
        assert operation.bytes_done == operation.bytes_total > 0
    assert read(cloud, volume) == ONE
    assert cloud.volume(volume.id).status == "available"
    assert cloud.snapshot(snapshot.id).status == "available"
    told = [event.type for event in cloud.events() if event.operation_id == operation.id]
    assert told == ["volume.revert.start", "snapshot.revert.start", "volume.revert.end", "snapshot.revert.end"]


def test_what_was_cloned_before_keeps_its_content(cloud, volume, snapshot):
    clone = cloud.create(source_volid=volume.id)
    revert(cloud, volume, snapshot)
    cloud.settled(clone.id)
    assert read(cloud, clone)[: len(TWO)] == TWO
    assert read(cloud, volume) == ONE


def test_it_can_be_reverted_again(cloud, volume, snapshot):
    for _ in range(2):
        revert(cloud, volume, snapshot)
        write(cloud, volume, TWO)
    revert(cloud, volume, snapshot)
    assert read(cloud, volume) == ONE


def test_only_to_the_latest_snapshot_of_the_same_size(cloud, volume, snapshot):
    later = snap(cloud, volume)
    with pytest.raises(InvalidInput, match="not the latest one"):
        revert_to_snapshot(cloud.database, MEMBER, volume.id, snapshot.id)
    extend.extend_volume(cloud.database, cloud.settings, MEMBER, volume.id, 2)
    cloud.settled(volume.id)
    with pytest.raises(InvalidInput, match="size must be equal"):
        revert_to_snapshot(cloud.database, MEMBER, volume.id, later.id)
    other = cloud.made(size=1)
    with pytest.raises(InvalidInput, match="doesn't have any snapshots"):
        revert_to_snapshot(cloud.database, MEMBER, other.id, later.id)


def test_not_while_the_snapshot_goes(cloud, volume, snapshot):
    with cloud.database.begin() as connection:
        connection.exec_driver_sql("UPDATE snapshots SET status = 'deleting'")
    with pytest.raises(Conflict, match="Snapshot's status must be 'available'"):
        revert_to_snapshot(cloud.database, MEMBER, volume.id, snapshot.id)
    assert cloud.volume(volume.id).status == "available"


def test_a_revert_that_fails(cloud, volume, snapshot, monkeypatch):
    def broken(*arguments):
        raise DriverError("the disk is on fire")

    verb = "copy_image_to_volume" if cloud.kind == "copied" else "revert_to_snapshot"
    monkeypatch.setattr(cloud.driver, verb, broken)
    operation = revert(cloud, volume, snapshot)
    assert (operation.state, operation.message) == ("failed", "the disk is on fire")
    assert cloud.volume(volume.id).status == "error"
    assert cloud.snapshot(snapshot.id).status == "available"
