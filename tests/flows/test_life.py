"""A volume's life through services and flows, with real bytes: sources, snapshots, extend, backup, replica, delete."""

import os
import re
import time
import uuid

import pytest

from breezeblock.db import attachments as attachment_rows
from breezeblock.db import backups as backup_rows
from breezeblock.db import moves, qos_specs, quotas, volume_types, volumes
from breezeblock.drivers.conformance.clients import open_through
from breezeblock.errors import InvalidInput, InvalidState, NotFound, OverQuota
from breezeblock.exports.nbd import NbdExports
from breezeblock.flows import replicas
from breezeblock.model import clock
from breezeblock.model.qos_specs import QosSpecs
from breezeblock.model.volume_type import VolumeType
from breezeblock.services import attachments, backups, extend, snapshots
from breezeblock.services import volumes as volume_services
from tests.cloud import ADMIN, MEMBER, Cloud

CONF = {
    "simulated": "volume_driver = simulated\nsimulated_replication = true\n",
    "directory": "volume_driver = directory\nreplication_device = {replicas}\n",
}
MIB = 1 << 20


@pytest.fixture(params=["simulated", "directory"])
def cloud(request, tmp_path):
    default = "[DEFAULT]\nenabled_backends = one\nquota_gigabytes = 50\nquota_volumes = 20\n[one]\n"
    (tmp_path / "replicas").mkdir()
    cloud = Cloud(tmp_path / "data", default + CONF[request.param].format(replicas=tmp_path / "replicas"))
    with cloud.running():
        yield cloud
    exports = NbdExports(cloud.settings.run_dir / "nbd" / "one")
    exports.adopt()
    exports.shutdown()
    cloud.close()


def write(cloud, volume, content, offset=0):
    """Give a volume new content, as an image or backup would."""
    cloud.driver.copy_image_to_volume(volume, f"test:{time.monotonic_ns()}", lambda to: to.pwrite(content, offset))


def read(cloud, volume, length, offset=0):
    with cloud.driver.open_volume(volume) as source:
        return source.pread(length, offset)


def snap(cloud, volume, **more):
    snapshot = snapshots.create_snapshot(cloud.database, cloud.settings, MEMBER, volume_id=volume.id, **more)
    cloud.settled(snapshot.id)
    return cloud.snapshot(snapshot.id)


def delete(cloud, volume, **more):
    volume_services.delete_volume(cloud.database, MEMBER, volume.id, **more)
    return cloud.settled(volume.id)


def backed_up(cloud, volume):
    backup = backups.create_backup(cloud.database, cloud.settings, MEMBER, backups.CreateBackup(volume_id=volume.id))
    cloud.settled(backup.id)
    with cloud.database.read() as connection:
        return backup_rows.get(connection, backup.id)


def test_snapshot_clone_and_deletion_of_the_first(cloud):
    volume = cloud.made(size=1)
    write(cloud, volume, b"one" * 1000)
    snapshot = snap(cloud, volume)
    assert (snapshot.status, snapshot.progress, snapshot.volume_size) == ("available", "100%", 1)
    clone = cloud.made(source_volid=volume.id)
    write(cloud, volume, b"two" * 1000)
    from_snapshot = cloud.made(snapshot_id=snapshot.id, size=2)
    assert (clone.size, from_snapshot.size) == (1, 2)
    assert delete(cloud, volume, cascade=True).state == "succeeded"
    with pytest.raises(NotFound):
        cloud.volume(volume.id)
    assert read(cloud, clone, 3000) == b"one" * 1000
    assert read(cloud, from_snapshot, 3000) == b"one" * 1000
    assert read(cloud, from_snapshot, 10, (2 << 30) - 10) == bytes(10)
    for left in (clone, from_snapshot):
        delete(cloud, left)
    assert list(cloud.driver.list_objects()) == []


def test_extend(cloud):
    volume = cloud.made(size=1)
    write(cloud, volume, b"x" * MIB)
    extend.extend_volume(cloud.database, cloud.settings, MEMBER, volume.id, 3)
    assert cloud.settled(volume.id).state == "succeeded"
    volume = cloud.volume(volume.id)
    assert (volume.status, volume.size) == ("available", 3)
    assert read(cloud, volume, MIB) == b"x" * MIB
    with pytest.raises(InvalidInput, match="greater than current"):
        extend.extend_volume(cloud.database, cloud.settings, MEMBER, volume.id, 3)


def test_a_failed_extend_gives_the_size_back(cloud, monkeypatch):
    volume = cloud.made(size=1)

    def broken(volume, size):
        raise RuntimeError

    monkeypatch.setattr(cloud.driver, "extend_volume", broken)
    extend.extend_volume(cloud.database, cloud.settings, MEMBER, volume.id, 2)
    cloud.settled(volume.id)
    volume = cloud.volume(volume.id)
    assert (volume.status, volume.size) == ("error_extending", 1)


def test_backup_restore_and_create_from_it(cloud):
    volume = cloud.made(size=1)
    content = b"".join(bytes([number]) * MIB for number in range(1, 7))
    write(cloud, volume, content, offset=5 * MIB)
    backup = backed_up(cloud, volume)
    assert (backup.status, backup.size, backup.fail_reason) == ("available", 1, None)
    assert backup.object_count >= 2
    assert cloud.volume(volume.id).status == "available"
    write(cloud, volume, b"lost")
    new = cloud.made(backup_id=backup.id, size=2)
    assert read(cloud, new, len(content) + 2 * MIB, 4 * MIB) == bytes(MIB) + content + bytes(MIB)
    backups.restore_backup(cloud.database, cloud.settings, cloud.images, MEMBER, backup.id, volume_id=volume.id)
    assert cloud.settled(backup.id).state == "succeeded"
    assert cloud.volume(volume.id).status == "available"
    assert read(cloud, volume, 6 * MIB) == bytes(5 * MIB) + content[:MIB]
    names = set(cloud.driver.list_objects())
    assert names == {volume.storage_name, new.storage_name}, "the snapshot that was read is gone"
    backups.delete_backup(cloud.database, MEMBER, backup.id)
    cloud.settled(backup.id)
    root = cloud.settings.data_dir / "backups"
    assert os.listdir(root) == [".lock"]


def test_backups_tell_their_story(cloud):
    volume = cloud.made(size=1)
    backup = backed_up(cloud, volume)
    backups.restore_backup(cloud.database, cloud.settings, cloud.images, MEMBER, backup.id, volume_id=volume.id)
    cloud.settled(backup.id)
    backups.delete_backup(cloud.database, MEMBER, backup.id)
    cloud.settled(backup.id)
    told = [event for event in cloud.events() if event.resource_type == "backup"]
    assert [event.type for event in told] == [
        "backup.create.start",
        "backup.createprogress",
        "backup.create.end",
        "backup.restore.start",
        "backup.restore.end",
        "backup.delete.start",
        "backup.delete.end",
    ]
    assert told[1].payload["backup_percent"] == 100
    assert [event.payload["status"] for event in told] == [
        "creating",
        "available",
        "available",
        "restoring",
        "available",
        "deleting",
        "deleted",
    ]
    assert all(event.payload["volume_id"] == volume.id for event in told)


def test_a_damaged_backup_makes_no_volume(cloud):
    volume = cloud.made(size=1)
    write(cloud, volume, b"x" * MIB)
    backup = backed_up(cloud, volume)
    chunk = next(path for path in (cloud.settings.data_dir / "backups").glob("*/chunks/*/*"))
    chunk.write_bytes(chunk.read_bytes()[:-10])
    broken = cloud.made(backup_id=backup.id)
    assert broken.status == "error"
    message = cloud.settled(broken.id).message
    assert chunk.name in message
    assert "damaged" in message
    assert broken.storage_name not in list(cloud.driver.list_objects())


def test_a_replica_is_kept_in_step_and_makes_a_volume(cloud):
    with cloud.database.begin() as connection:
        spec = {"replication_enabled": "<is> True"}
        kind = VolumeType(id="replicated", name="replicated", extra_specs=spec, created_at=clock.now())
        volume_types.insert(connection, kind)
    plain = cloud.made(size=1)
    with pytest.raises(InvalidInput, match="has no replica"):
        cloud.create(source_replica=plain.id)
    volume = cloud.made(size=1, volume_type="replicated")
    write(cloud, volume, b"in step")
    replicas.request_due(cloud.backend)
    assert cloud.settled(volume.id).state == "succeeded"
    volume = cloud.volume(volume.id)
    assert volume.replication_status == "enabled"
    assert volume.replicated_at
    write(cloud, volume, b"newer")
    copy = cloud.made(source_replica=volume.id, size=2)
    assert copy.status == "available"
    assert read(cloud, copy, 7) == b"in step"
    assert read(cloud, volume, 7) == b"newer\0\0"


def test_a_host_is_told_the_limits_of_a_volumes_type(cloud):
    with cloud.database.begin() as connection:
        now = clock.now()
        specs = {"total_iops_sec_per_gb": "3", "read_bytes_sec": "5"}
        qos_specs.insert(connection, QosSpecs(id="q", name="gold", consumer="front-end", specs=specs, created_at=now))
        volume_types.insert(connection, VolumeType(id="golden", name="golden", qos_specs_id="q", created_at=now))
    told = []
    for volume in (cloud.made(size=2, volume_type="golden"), cloud.made(size=2)):
        made = attachments.create_attachment(cloud.database, MEMBER, volume_id=volume.id, connector={"host": "here"})
        told.append(made.connection_info["data"]["qos_specs"])
        attachments.delete_attachment(cloud.database, MEMBER, made.id)
    assert told == [{"read_bytes_sec": "5", "total_iops_sec": 6}, None]


def test_attach_and_detach(cloud):
    volume = cloud.made(size=1)
    attachment = attachments.create_attachment(cloud.database, MEMBER, volume_id=volume.id, connector={"host": "here"})
    assert attachment.connection_info["data"]["volume_id"] == volume.id
    assert cloud.volume(volume.id).status == "attaching"
    attachments.complete(cloud.database, MEMBER, attachment.id)
    assert cloud.volume(volume.id).status == "in-use"
    with pytest.raises(InvalidState, match="attached"):
        volume_services.delete_volume(cloud.database, MEMBER, volume.id)
    with pytest.raises(InvalidState):
        attachments.create_attachment(cloud.database, MEMBER, volume_id=volume.id)
    assert attachments.delete_attachment(cloud.database, MEMBER, attachment.id) == []
    assert cloud.volume(volume.id).status == "available"
    assert delete(cloud, volume).state == "succeeded"


def test_a_shared_volume_stays_connected_until_its_last_attachment_goes(cloud):
    """Also where two attachments are of one host, which has one connection for both; a snapshot is taken under them."""
    with cloud.database.begin() as connection:
        specs = {"multiattach": "<is> True"}
        volume_types.insert(connection, VolumeType(id="s", name="shared", extra_specs=specs, created_at=clock.now()))
    volume = cloud.made(size=1, volume_type="shared")
    made = []
    for host, server in (("here", uuid.uuid4()), ("here", uuid.uuid4()), ("there", uuid.uuid4())):
        wanted = {"volume_id": volume.id, "instance_uuid": str(server), "connector": {"host": host}}
        made.append(attachments.create_attachment(cloud.database, MEMBER, **wanted))
        attachments.complete(cloud.database, MEMBER, made[-1].id)
    with open_through(made[1].connection_info) as client:
        attachments.delete_attachment(cloud.database, MEMBER, made[0].id)
        client.write({0: b"kept"})
        kept = snap(cloud, volume, force=True)
        attachments.delete_attachment(cloud.database, MEMBER, made[2].id)
        client.write({0: b"more"})
        assert client.read(4, 0) == b"more"
    assert cloud.volume(volume.id).status == "in-use"
    assert attachments.delete_attachment(cloud.database, MEMBER, made[1].id) == []
    assert cloud.volume(volume.id).status == "available"
    assert read(cloud, volume, 4) == b"more"
    assert read(cloud, cloud.made(snapshot_id=kept.id), 4) == b"kept"


def test_a_connect_that_breaks_leaves_no_export(cloud, monkeypatch):
    """The export is there and the answer gets lost: what was opened for it is closed again."""
    volume = cloud.made(size=1)
    export = cloud.driver.initialize_connection

    def lost(volume, connector):
        export(volume, connector)
        raise RuntimeError

    monkeypatch.setattr(cloud.driver, "initialize_connection", lost)
    with pytest.raises(attachments.ConnectionFailed):
        attachments.create_attachment(cloud.database, MEMBER, volume_id=volume.id, connector={"host": "here"})
    (operation, *_) = cloud.operations(volume.id)
    assert operation.state == "failed"
    with cloud.database.read() as connection:
        (left,) = attachment_rows.of_volume(connection, volume.id)
    attachments.delete_attachment(cloud.database, MEMBER, left.id)
    assert cloud.volume(volume.id).status == "available"
    assert delete(cloud, volume).state == "succeeded"


@pytest.mark.parametrize(
    ("wanted", "error", "says"),
    [
        ({}, InvalidInput, "size"),
        ({"size": 0}, InvalidInput, "greater than 0"),
        ({"size": 1, "availability_zone": "mars"}, InvalidInput, "mars"),
        ({"size": 1, "volume_type": "gold"}, NotFound, "gold"),
        ({"size": 1, "image_ref": "nothing"}, InvalidInput, "nothing"),
        ({"snapshot_id": "nothing"}, NotFound, "nothing"),
        ({"source_volid": "nothing"}, NotFound, "nothing"),
        ({"source_replica": "nothing"}, NotFound, "nothing"),
        ({"backup_id": "nothing"}, NotFound, "nothing"),
        ({"snapshot_id": "a", "source_volid": "b"}, InvalidInput, "one source"),
        ({"size": 51}, OverQuota, "50"),
    ],
)
def test_what_is_refused_changes_nothing(cloud, wanted, error, says):
    with pytest.raises(error, match=says):
        cloud.create(**wanted)
    assert [cloud.count(table) for table in ("volumes", "operations", "events", "flow_requests")] == [0, 0, 0, 0]


def test_sources_must_fit(cloud):
    volume = cloud.made(size=2)
    with pytest.raises(InvalidInput, match="smaller"):
        cloud.create(source_volid=volume.id, size=1)
    with cloud.database.begin() as connection:
        moves.move(connection, "volume", volume.id, "reset_status", "error")
    with pytest.raises(InvalidState, match="available or in-use"):
        cloud.create(source_volid=volume.id)


def test_another_projects_source_is_not_there(cloud):
    volume = cloud.made(context=ADMIN, size=1)
    with cloud.database.begin() as connection:
        volumes.update(connection, volume.id, project_id="other")
    with pytest.raises(NotFound):
        cloud.create(source_volid=volume.id)


def test_placement_says_by_how_much(cloud):
    volume = cloud.create(context=cloud_without_quota(cloud), size=10_000_000)
    assert (volume.status, volume.host, volume.encryption_key_id) == ("error", None, None)
    operation = cloud.settled(volume.id)
    assert operation.state == "failed"
    assert re.search(r"one: \d+.\d GiB too (little|much)", operation.message)
    assert [answer.outcome for answer in operation.answers] == ["refused"]
    volume_services.delete_volume(cloud.database, MEMBER, volume.id)
    with pytest.raises(NotFound):
        cloud.volume(volume.id)


def cloud_without_quota(cloud):
    with cloud.database.begin() as connection:
        quotas.set_limits(connection, MEMBER.project_id, {"gigabytes": -1})
    return MEMBER
