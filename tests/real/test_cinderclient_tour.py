"""Every call that cinderclient has, made by a user and by an administrator of a real cloud, by 3.71 where it has no other."""

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from cinderclient.exceptions import BadRequest, ClientException, NotFound

from tests.openstack_client import OpenStack, image_file
from tests.real.cinderclient_administrator import managing, qos, quotas, the_cloud, types
from tests.real.cinderclient_tour import NEWEST, Tour
from tests.real.conftest import Cloud
from tests.real.touring import CONNECTOR, Entered, functions_of_cinderclient

pytestmark = [
    pytest.mark.real,
    pytest.mark.timeout(1800),
    pytest.mark.usefixtures("breezeblock"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning"),
]


def volumes(tour: Tour) -> None:
    user = tour.user
    volume = tour.volume(name=tour.named("volume"), metadata={"a": "b"})
    assert [one.id for one in user.volumes.list(search_opts={"name": tour.named("volume")})] == [volume.id]
    assert volume.id in {one.id for one in user.volumes.list(detailed=False, sort="created_at:asc")}
    assert user.volumes.find(name=tour.named("volume")).id == volume.id
    volume.update(description="seen")
    volume.set_metadata(volume, {"c": "d", "e": "f"})
    user.volumes.delete_metadata(volume, ["a"])
    tour.client("demo", "3.0").volumes.delete_metadata(volume, ["c"])
    seen = user.volumes.get(volume.id)
    assert (seen.description, seen.metadata) == ("seen", {"e": "f"})
    volume.update_all_metadata({"g": "h"})
    user.volumes.set_image_metadata(volume, {"os": "linux"})
    assert volume.show_image_metadata(volume)[1]["metadata"] == {"os": "linux"}
    user.volumes.delete_image_metadata(volume, ["os"])
    with pytest.raises(TypeError):  # it hands the volume over twice
        volume.set_image_metadata(volume, {"os": "linux"})
    with pytest.raises(TypeError):  # the same
        volume.delete_image_metadata(volume, ["os"])
    user.volumes.set_bootable(volume, True)
    volume.update_readonly_flag(volume, True)
    seen = user.volumes.get(volume.id)
    assert (seen.bootable, seen.metadata) == ("true", {"g": "h", "readonly": "True"})
    volume.update_readonly_flag(volume, False)
    volume.extend(volume, 2)
    assert tour.wait(volume).size == 2
    assert user.volumes.summary(all_tenants=False)["volume-summary"]["total_size"] >= 2
    assert user.volumes.get_encryption_metadata(volume.id)["encryption_key_id"] is None
    tour.as_admin(volume).reset_state("error")
    tour.as_admin(volume).reset_state("available", attach_status="detached", migration_status="none")
    with pytest.raises(TypeError):  # the same
        tour.as_admin(volume).extend_volume_completion(volume)
    with pytest.raises(BadRequest, match=r"complete|extend"):
        tour.admin.volumes.extend_volume_completion(volume)
    clone = tour.volume(source_volid=volume.id, size=2, scheduler_hints={"same_host": [volume.id]})
    clone.upload_to_image(False, tour.named("image"), "bare", "qcow2")
    clone = tour.wait(clone)
    tour.client("demo", "3.0").volumes.get(clone.id).upload_to_image(False, tour.named("image"), "bare", "vdi")
    tour.wait(clone)
    bootable = tour.volume(imageRef=tour.image_id)
    bootable.reimage(tour.image_id)
    assert tour.wait(bootable).volume_image_metadata["image_id"] == tour.image_id
    tour.as_admin(bootable).force_delete()
    volume.delete()
    clone.delete(cascade=True)
    tour.gone(volume, clone, bootable)


def snapshots(tour: Tour) -> None:
    user = tour.user
    volume = tour.volume()
    snapshot = tour.wait(user.volume_snapshots.create(volume.id, name=tour.named("snapshot"), metadata={"a": "b"}))
    assert user.volume_snapshots.find(name=tour.named("snapshot")).id == snapshot.id
    assert [one.id for one in user.volume_snapshots.list(search_opts={"volume_id": volume.id})] == [snapshot.id]
    snapshot.update(description="seen")
    snapshot.set_metadata({"c": "d"})
    snapshot.delete_metadata(["a"])
    seen = user.volume_snapshots.get(snapshot.id)
    assert (seen.description, seen.metadata, seen.progress) == ("seen", {"c": "d"}, "100%")
    snapshot.update_all_metadata({})
    administered = tour.admin.volume_snapshots.get(snapshot.id)
    administered.reset_state("error")
    administered.reset_state("creating")
    tour.admin.volume_snapshots.update_snapshot_status(snapshot, {"status": "available"})
    volume.revert_to_snapshot(snapshot)
    tour.wait(volume)
    forced = tour.client("demo", "3.0").volume_snapshots.create(volume.id, force=True)
    tour.wait(forced)
    tour.admin.volume_snapshots.get(forced.id).delete(force=True)
    tour.gone(forced)
    copy = tour.volume(snapshot_id=snapshot.id)
    copy.delete()
    volume.delete(cascade=True)
    tour.gone(volume, copy, snapshot)


def attaching(tour: Tour) -> None:
    user = tour.user
    volume = tour.volume()
    made = user.attachments.create(volume.id, None, instance_id=str(uuid.uuid4()), mode="rw")
    assert made["id"] in {one.id for one in user.attachments.list(search_opts={"volume_id": volume.id})}
    assert user.attachments.update(made["id"], CONNECTOR).connection_info["driver_volume_type"] == "nbd"
    user.attachments.complete(made["id"])
    tour.wait(volume, "in-use")
    assert user.attachments.show(made["id"]).status == "attached"
    volume.begin_detaching(volume)
    volume.roll_detaching(volume)
    user.attachments.delete(made["id"])
    tour.wait(volume)
    volume.reserve(volume)
    volume.unreserve(volume)
    administered = tour.as_admin(volume)
    assert administered.initialize_connection(volume, CONNECTOR)["driver_volume_type"] == "nbd"
    administered.attach(None, "/dev/vdb", host_name="tour")
    tour.wait(volume, "in-use")
    administered.terminate_connection(volume, CONNECTOR)
    administered.detach()
    tour.wait(volume)
    volume.delete()
    tour.gone(volume)


def backups(tour: Tour) -> None:
    user, admin = tour.user, tour.admin
    volume = tour.volume()
    backup = tour.wait(user.backups.create(volume.id, name=tour.named("backup"), availability_zone="nova"))
    others = [
        tour.wait(tour.client("demo", "3.0").backups.create(volume.id, incremental=True)),
        tour.wait(tour.client("demo", "3.43").backups.create(volume.id, metadata={"a": "b"})),
    ]
    assert user.backups.get(others[1].id).metadata == {"a": "b"}
    assert user.backups.find(name=tour.named("backup")).id == backup.id
    assert {one.id for one in user.backups.list(detailed=False)} >= {backup.id, *(one.id for one in others)}
    backup.update(description="seen")
    assert user.backups.get(backup.id).description == "seen"
    restored = [user.restores.restore(backup.id, volume.id).volume_id]
    tour.wait(volume)
    restored.append(user.restores.restore(tour.wait(backup).id, name=tour.named("restored")).volume_id)
    restored.append(user.volumes.create(1, backup_id=tour.wait(backup).id).id)
    restored = [tour.wait_for(user.volumes, one) for one in restored]
    assert [one.name for one in restored[1:]] == [tour.named("restored"), None]
    administered = admin.backups.get(tour.wait(backup).id)
    administered.reset_state("error")
    administered.reset_state("available")
    record = admin.backups.export_record(backup.id)
    with pytest.raises(BadRequest, match="already exists"):
        admin.backups.import_record(record["backup_service"], record["backup_url"])
    for one in (*reversed(others), backup):
        one.delete()
        tour.gone(one)
    again = admin.backups.import_record(record["backup_service"], record["backup_url"])
    assert again["id"] == backup.id
    tour.wait_for(admin.backups, backup.id, "error")  # its content is gone
    admin.backups.delete(backup.id)
    tour.gone(administered)
    for one in restored:
        one.delete()
    tour.gone(*restored)


def transfers(tour: Tour) -> None:
    for version in (NEWEST, "3.0"):
        user, other = tour.client("demo", version), tour.client("other", version)
        volume = tour.volume()
        offer = user.transfers.create(volume.id, name=tour.named(f"offer-{version}"))
        assert user.transfers.find(name=offer.name).id == user.transfers.get(offer.id).id == offer.id
        assert [one.id for one in user.transfers.list()] == [offer.id]
        offer.delete()
        offer = user.transfers.create(volume.id)
        other.transfers.accept(offer.id, offer.auth_key)
        mine = tour.other.volumes.get(volume.id)
        mine.delete()
        tour.gone(mine)


def groups(tour: Tour) -> None:
    user, admin = tour.user, tour.admin
    kind = admin.group_types.create(tour.named("groups"))
    assert kind.set_keys({"consistent_group_snapshot_enabled": "<is> True", "a": "b"})["a"] == "b"
    kind.unset_keys(["a"])
    assert admin.group_types.get(kind).get_keys() == {"consistent_group_snapshot_enabled": "<is> True"}
    assert kind.id in {one.id for one in user.group_types.list()}
    assert admin.group_types.update(kind, name=kind.name, description="seen").description == "seen"
    with pytest.raises(NotFound):  # there is none until one is configured
        admin.group_types.default()
    type_id = user.volume_types.default().id
    group = tour.wait(user.groups.create(kind.id, type_id, name=tour.named("group")))
    volume = tour.volume(group_id=group.id, volume_type=type_id)
    assert user.groups.get(group.id, list_volume=True).volumes == [volume.id]
    assert user.groups.find(name=tour.named("group"), list_volume=True).volumes == [volume.id]
    group.update(description="seen")
    snapshot = tour.wait(user.group_snapshots.create(group.id, name=tour.named("together")))
    assert user.group_snapshots.find(name=tour.named("together")).id == snapshot.id
    with pytest.raises(ClientException):  # Cinder has no such call either
        snapshot.update(description="seen")
    copy_id = user.groups.create_from_src(snapshot.id, None, name=tour.named("copy"))["id"]
    copy = tour.wait_for(user.groups, copy_id)
    for administered in (admin.groups.get(group.id), admin.group_snapshots.get(snapshot.id)):
        administered.reset_state("error")
        administered.reset_state("available")
    replicated = admin.groups.get(group.id)
    for refused in (
        replicated.enable_replication,
        replicated.disable_replication,
        replicated.failover_replication,
        replicated.list_replication_targets,
    ):
        with pytest.raises(BadRequest):  # its type is not one of replicated groups
            refused()
    copy.delete(delete_volumes=True)
    tour.gone(copy)
    snapshot.delete()
    tour.gone(snapshot)
    group.delete(delete_volumes=True)
    tour.gone(group, volume)
    admin.group_types.delete(kind)


def consistency_groups(tour: Tour) -> None:
    user = tour.user
    kind = user.volume_types.default().name
    group = tour.wait(user.consistencygroups.create(kind, name=tour.named("group")))
    volume = tour.volume(consistencygroup_id=group.id, volume_type=kind)
    assert user.consistencygroups.find(name=tour.named("group")).id == group.id
    group.update(description="seen")
    assert user.consistencygroups.get(group.id).description == "seen"
    snapshot = tour.wait(user.cgsnapshots.create(group.id, name=tour.named("together")))
    assert user.cgsnapshots.find(name=tour.named("together")).id == snapshot.id
    with pytest.raises(ClientException):  # Cinder has no such call either
        snapshot.update(description="seen")
    copy_id = user.consistencygroups.create_from_src(snapshot.id, None, name=tour.named("copy"))["id"]
    copy = tour.wait_for(user.consistencygroups, copy_id)
    copy.delete(force=True)
    tour.gone(copy)
    snapshot.delete()
    tour.gone(snapshot)
    group.delete(force=True)
    tour.gone(group, volume)


def messages(tour: Tour) -> None:
    user = tour.user
    told = []
    for _ in range(2):
        volume = user.volumes.create(1, imageRef=tour.damaged_id)
        tour.wait(volume, "error")
        (message,) = user.messages.list(search_opts={"resource_uuid": volume.id}, limit=1, sort="created_at:desc")
        told.append(user.messages.get(message.id))
        volume.delete()
        tour.gone(volume)
    assert all(one.user_message for one in told)
    assert {one.id for one in told} <= {one.id for one in tour.client("demo", "3.3").messages.list()}
    told[0].delete()
    user.messages.delete(told[1])
    tour.gone(*told)


STOPS: tuple[Callable[[Tour], None], ...] = (
    volumes,
    snapshots,
    managing,
    attaching,
    backups,
    types,
    qos,
    transfers,
    quotas,
    groups,
    consistency_groups,
    messages,
    the_cloud,
)


def test_every_call_of_cinderclient(cloud: Cloud, tmp_path: Path) -> None:
    admin, image = OpenStack(cloud.clouds_yaml, "admin"), image_file(tmp_path)
    upload = ("image", "create", "--public", "--disk-format", "qcow2", "--file", image)
    image_id = admin.json(*upload, "cinderclient-tour")["id"]
    with image.open("r+b") as content:
        content.truncate(image.stat().st_size // 2)
    tour = Tour(cloud, image_id, admin.json(*upload, "cut-short")["id"])
    with Entered() as entered:
        for stop in STOPS:
            stop(tour)
    assert entered.without(functions_of_cinderclient(tour.user)) == set(), "calls that were not made"
