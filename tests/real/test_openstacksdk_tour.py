"""Every call that openstacksdk has for block storage v3, made by a user and by an administrator of a real cloud."""

import uuid
from collections.abc import Callable
from typing import Any

import openstack
import pytest
from openstack.exceptions import BadRequestException, HttpException, NotFoundException

from tests.openstack_client import OpenStack, image_file
from tests.real.conftest import Cloud
from tests.real.touring import CONNECTOR, Toured, offered, until

pytestmark = [
    pytest.mark.real,
    pytest.mark.timeout(1800),
    pytest.mark.usefixtures("breezeblock"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning"),
]


class Tour:
    """The block storage of three users, and what they make. `admin` is in another project than `user`."""

    def __init__(self, cloud: Cloud, image_id: str) -> None:
        self.made: set[str] = set()
        self.project_id, self.other_id = cloud.project_ids["demo"], cloud.project_ids["other"]
        self.image_id = image_id
        self._tag = uuid.uuid4().hex[:8]
        config = openstack.config.OpenStackConfig(config_files=[str(cloud.clouds_yaml)])
        clients = [
            openstack.connection.Connection(config=config.get_one(cloud=name)).block_storage
            for name in ("demo", "admin", "other")
        ]
        self.library = clients[0]
        self.user, self.admin, self.other = (Toured(client, self.made) for client in clients)
        newest = config.get_one(cloud="admin", block_storage_default_microversion="3.71")
        self.newest: Any = openstack.connection.Connection(config=newest).block_storage

    def named(self, what: str) -> str:
        """A name that only this tour has given."""
        return f"{what}-{self._tag}"

    def wait(self, thing: Any, status: str = "available") -> Any:
        """Until something has a status."""
        thing = thing.fetch(self.library)  # a status that it had before does not count
        return self.user.wait_for_status(thing, status, failures=["error", "error_deleting"], interval=0.2, wait=180)

    def gone(self, *things: Any) -> None:
        """Until things are deleted."""
        for thing in things:
            self.user.wait_for_delete(thing, interval=0.2, wait=180)

    def volume(self, **wanted: Any) -> Any:
        """A volume that is available."""
        return self.wait(self.user.create_volume(**{"size": 1, **wanted}))


def volumes(tour: Tour) -> None:
    user, admin = tour.user, tour.admin
    volume = tour.volume(name=tour.named("volume"), metadata={"a": "b"})
    assert [one.id for one in user.volumes(name=tour.named("volume"))] == [volume.id]
    assert volume.id in {one.id for one in user.volumes(details=False)}
    assert user.find_volume(tour.named("volume")).id == user.get_volume(volume).id == volume.id
    assert user.update_volume(volume, description="seen").description == "seen"
    user.set_volume_metadata(volume, c="d")
    user.delete_volume_metadata(user.get_volume(volume), ["a"])
    assert user.get_volume_metadata(volume).metadata == user.fetch_volume_metadata(volume).metadata == {"c": "d"}
    user.set_volume_image_metadata(volume, os="linux")
    user.delete_volume_image_metadata(volume, ["os"])
    assert not user.get_volume(volume).volume_image_metadata
    user.set_volume_bootable_status(volume, True)
    user.set_volume_readonly(volume, True)
    user.set_volume_readonly(volume, False)
    assert user.get_volume(volume).is_bootable
    user.extend_volume(volume, 2)
    assert tour.wait(volume).size == 2
    assert user.summary(all_projects=False).total_count >= 1
    admin.reset_volume_status(volume, "error")
    admin.reset_volume_status(volume, "available")
    with pytest.raises(BadRequestException, match=r"complete|extend"):
        admin.complete_volume_extend(volume)
    clone = tour.volume(source_volume_id=volume.id, size=2)
    bootable = tour.volume(image_id=tour.image_id)
    assert user.get_volume(bootable).volume_image_metadata["image_id"] == tour.image_id
    image = user.upload_volume_to_image(clone, f"tour-{uuid.uuid4()}", disk_format="qcow2", container_format="bare")
    assert image["image_name"]
    tour.wait(clone)
    assert user.create_image(tour.named("image"), clone, False, None, "qcow2", False, 60)
    tour.wait(clone)
    for one in (volume, clone, bootable):
        user.delete_volume(one)
    tour.gone(volume, clone, bootable)


def snapshots(tour: Tour) -> None:
    user, admin = tour.user, tour.admin
    volume = tour.volume()
    snapshot = tour.wait(user.create_snapshot(volume_id=volume.id, name=tour.named("snapshot")))
    assert user.find_snapshot(tour.named("snapshot")).id == user.get_snapshot(snapshot).id == snapshot.id
    assert snapshot.id in {one.id for one in user.snapshots()}
    assert user.update_snapshot(snapshot, description="seen").description == "seen"
    user.set_snapshot_metadata(snapshot, a="b", c="d")
    user.delete_snapshot_metadata(user.get_snapshot(snapshot), ["a"])
    assert (
        user.get_snapshot_metadata(snapshot).metadata == user.fetch_snapshot_metadata(snapshot).metadata == {"c": "d"}
    )
    for reset in (admin.reset_snapshot, admin.reset_snapshot_status):
        reset(snapshot, "error")
        reset(snapshot, "available")
    admin.reset_snapshot_status(snapshot, "creating")
    admin.set_snapshot_status(snapshot, "available")
    user.revert_volume_to_snapshot(volume, snapshot)
    tour.wait(volume)
    copy = tour.volume(snapshot_id=snapshot.id)
    admin.unmanage_snapshot(snapshot)
    tour.gone(snapshot)
    with pytest.raises(NotFoundException):  # it asks for 3.8's by version 3.0, as of volumes
        list(admin.manageable_snapshots(host=pool_of(tour, volume)))
    managed = tour.wait(admin.manage_snapshot(volume_id=volume.id, ref={"source-name": f"snapshot-{snapshot.id}"}))
    user.delete_snapshot(managed)
    tour.gone(managed)
    host = pool_of(tour, copy)
    admin.unmanage_volume(copy)
    tour.gone(copy)
    with pytest.raises(NotFoundException):
        list(admin.manageable_volumes(host=host))
    again = admin.manage_volume(host=host, ref={"source-name": f"volume-{copy.id}"}, name=tour.named("managed"))
    until(lambda: admin.get_volume(again), lambda one: one.status == "available")
    admin.delete_volume(again)
    user.delete_volume(volume)
    tour.gone(volume)


def pool_of(tour: Tour, volume: Any) -> str:
    """The pool that a volume is in."""
    host: str = tour.admin.get_volume(volume).host
    return host


def attachments(tour: Tour) -> None:
    user, admin = tour.user, tour.admin
    volume = tour.volume()
    attachment = user.create_attachment(volume.id, connector=None, instance=str(uuid.uuid4()))
    assert attachment.id in {one.id for one in user.attachments()}
    user.update_attachment(attachment, connector=CONNECTOR)
    assert user.get_attachment(attachment).connection_info["driver_volume_type"] == "nbd"
    user.complete_attachment(attachment)
    tour.wait(volume, "in-use")
    user.begin_volume_detaching(volume)
    user.abort_volume_detaching(volume)
    user.delete_attachment(attachment)
    tour.wait(volume)
    user.reserve_volume(volume)
    user.unreserve_volume(volume)
    assert admin.init_volume_attachment(volume, CONNECTOR)["driver_volume_type"] == "nbd"
    admin.attach_volume(volume, "/dev/vdb", host_name="tour")
    tour.wait(volume, "in-use")
    (attached,) = user.get_volume(volume).attachments
    admin.terminate_volume_attachment(volume, CONNECTOR)
    admin.detach_volume(volume, attached["attachment_id"])
    tour.wait(volume)
    user.delete_volume(volume)
    tour.gone(volume)


def backups(tour: Tour) -> None:
    user, admin = tour.user, tour.admin
    volume = tour.volume()
    backup = tour.wait(user.create_backup(volume_id=volume.id, name=tour.named("backup")))
    assert user.find_backup(tour.named("backup")).id == user.get_backup(backup).id == backup.id
    assert backup.id in {one.id for one in user.backups()}
    assert user.update_backup(backup, description="seen").description == "seen"
    for not_cinders in (
        user.get_backup_metadata,
        user.fetch_backup_metadata,
        user.set_backup_metadata,
        user.delete_backup_metadata,
    ):
        with pytest.raises(NotFoundException):
            not_cinders(backup, **({"a": "b"} if not_cinders == user.set_backup_metadata else {}))
    user.restore_backup(backup, volume=volume.id)
    tour.wait(volume)
    user.restore_backup(tour.wait(backup), name=tour.named("restored"))
    restored = tour.wait(user.find_volume(tour.named("restored")))
    tour.wait(backup)
    for reset in (admin.reset_backup, admin.reset_backup_status):
        reset(backup, "error")
        reset(backup, "available")
    records = [admin.export_record(backup), admin.export_backup(backup)]
    record = records[0]["backup-record"] if isinstance(records[0], dict) else records[0].json()["backup-record"]
    user.delete_backup(backup)
    tour.gone(backup)
    with pytest.raises(HttpException):  # what it tells of is gone
        admin.import_backup("nobody.knows.this", record["backup_url"])
    for one in (volume, restored):
        user.delete_volume(one)
    tour.gone(volume, restored)


def types(tour: Tour) -> None:
    user, admin = tour.user, tour.admin
    made = admin.create_type(name=tour.named("type"), is_public=False, extra_specs={"volume_backend_name": "first"})
    assert admin.find_type(tour.named("type")).id == admin.get_type(made).id == made.id
    assert made.id in {one.id for one in admin.types(is_public=False)}
    assert admin.update_type(made, description="seen").description == "seen"
    admin.update_type_extra_specs(made, spare="1")
    admin.delete_type_extra_specs(made, ["spare"])
    admin.add_type_access(made, tour.project_id)
    assert [one["project_id"] for one in admin.get_type_access(made)] == [tour.project_id]
    second = admin.create_type(name=tour.named("second"))
    volume = tour.volume(volume_type=second.name)
    (target,) = {one.name for one in admin.backend_pools()} - {pool_of(tour, volume)}
    admin.migrate_volume(volume, host=target, force_host_copy=True)
    until(lambda: admin.get_volume(volume), lambda one: one.host == target and one.status == "available")
    user.delete_volume(volume)
    tour.gone(volume)
    volume = tour.volume(volume_type=second.name)
    user.retype_volume(volume, made.id, "on-demand")
    tour.wait(until(lambda: user.get_volume(volume), lambda one: one.volume_type == made.name))
    assert "@first#" in pool_of(tour, volume)
    with pytest.raises(NotFoundException):
        admin.complete_volume_migration(volume, str(uuid.uuid4()))
    user.delete_volume(volume)
    tour.gone(volume)
    admin.remove_type_access(made, tour.project_id)
    wanted = {"provider": "luks", "cipher": "aes-xts-plain64", "key_size": 256, "control_location": "front-end"}
    admin.create_type_encryption(made, **wanted)
    admin.update_type_encryption(volume_type=made, key_size=512)
    assert admin.get_type_encryption(made).key_size == 512
    admin.delete_type_encryption(volume_type=made)
    admin.set_default_type(tour.other_id, second)
    assert admin.show_default_type(tour.other_id).volume_type_id == second.id
    assert tour.other_id in {one.project_id for one in admin.default_types()}
    admin.unset_default_type(tour.other_id)
    qos = admin.create_qos_spec(name=tour.named("qos"), consumer="front-end")
    assert admin.find_qos_spec(tour.named("qos")).id == admin.get_qos_spec(qos).id == qos.id
    assert qos.id in {one.id for one in admin.qos_specs()}
    admin.update_qos_spec(qos, consumer="both")
    assert admin.get_qos_spec(qos).consumer == "both"
    with pytest.raises(NotFoundException, match="read_iops_sec"):
        admin.delete_qos_spec_metadata(qos, ["read_iops_sec"])
    admin.associate_qos_spec(qos, made.id)
    assert [one.id for one in admin.qos_spec_associations(qos)] == [made.id]
    admin.disassociate_qos_spec(qos, made.id)
    admin.associate_qos_spec(qos, made.id)
    admin.disassociate_all_qos_spec(qos)
    admin.delete_qos_spec(qos)
    for one in (made, second):
        admin.delete_type(one)


def transfers(tour: Tour) -> None:
    user, other = tour.user, tour.other
    volume = tour.volume()
    offer = user.create_transfer(volume_id=volume.id, name=tour.named("offer"))
    assert user.find_transfer(tour.named("offer")).id == user.get_transfer(offer).id == offer.id
    assert [one.id for one in user.transfers()] == [offer.id]
    user.delete_transfer(offer)
    offer = user.create_transfer(volume_id=volume.id, name="again")
    other.accept_transfer(offer, offer.auth_key)
    mine = tour.other.get_volume(volume.id)
    other.delete_volume(mine)
    until(lambda: list(other.volumes()), lambda left: not left)


def quotas(tour: Tour) -> None:
    user, admin = tour.user, tour.admin
    assert user.get_quota_set(tour.project_id).volumes == user.get_quota_set_defaults(tour.project_id).volumes
    assert admin.update_quota_set(tour.other_id, volumes=3).volumes == 3
    admin.revert_quota_set(tour.other_id)
    assert admin.get_quota_set(tour.other_id).volumes != 3
    before = admin.get_quota_class_set("default").volumes
    assert admin.update_quota_class_set("default", volumes=before + 1).volumes == before + 1
    admin.update_quota_class_set("default", volumes=before)
    assert user.get_limits().absolute.max_total_volumes == before


def groups(tour: Tour) -> None:
    user, admin = tour.user, tour.admin
    kind = admin.create_group_type(name=tour.named("groups"))
    assert admin.find_group_type(tour.named("groups")).id == admin.get_group_type(kind).id == kind.id
    assert kind.id in {one.id for one in admin.group_types()}
    admin.update_group_type(kind, description="seen")
    admin.create_group_type_group_specs(kind, {"consistent_group_snapshot_enabled": "<is> True", "a": "b"})
    assert admin.fetch_group_type_group_specs(kind).group_specs["a"] == "b"
    admin.update_group_type_group_specs_property(kind, "a", "c")
    assert admin.get_group_type_group_specs_property(kind, "a") == "c"
    admin.delete_group_type_group_specs_property(kind, "a")
    type_id = next(iter(user.types())).id
    group = tour.wait(user.create_group(group_type=kind.id, volume_types=[type_id], name=tour.named("group")))
    assert user.find_group(tour.named("group")).id == user.get_group(group, list_volume=True).id == group.id
    assert group.id in {one.id for one in user.groups()}
    user.update_group(group, description="seen")
    tour.volume(group_id=group.id, volume_type=type_id)
    snapshot = tour.wait(user.create_group_snapshot(group_id=group.id, name=tour.named("groups-snapshot")))
    assert (
        user.find_group_snapshot(tour.named("groups-snapshot")).id
        == user.get_group_snapshot(snapshot).id
        == snapshot.id
    )
    assert snapshot.id in {one.id for one in user.group_snapshots()}
    copy = tour.wait(user.create_group_from_source(name="copy", group_snapshot_id=snapshot.id, source_group_id=None))
    for reset in (admin.reset_group_state, admin.reset_group_status):
        reset(group, "error")
        reset(group, "available")
    for reset in (admin.reset_group_snapshot_state, admin.reset_group_snapshot_status):
        reset(snapshot, "error")
        reset(snapshot, "available")
    for refused in (admin.enable_group_replication, admin.disable_group_replication, admin.failover_group_replication):
        with pytest.raises(BadRequestException):
            refused(group)
    user.delete_group(copy, delete_volumes=True)
    tour.gone(copy)
    user.delete_group_snapshot(snapshot)
    tour.gone(snapshot)
    user.delete_group(group, delete_volumes=True)
    tour.gone(group)
    admin.delete_group_type(kind)


def consistency_groups(tour: Tour) -> None:
    user = tour.user
    type_name = next(iter(user.types())).name
    group = tour.wait(user.create_consistency_group(name=tour.named("cg"), volume_types=type_name))
    assert user.find_consistency_group(tour.named("cg")).id == user.get_consistency_group(group).id == group.id
    assert group.id in {one.id for one in user.consistency_groups()}
    user.update_consistency_group(group, description="seen")
    assert user.get_consistency_group(group).description == "seen"
    volume = tour.wait(user.create_volume(size=1, consistency_group_id=group.id, volume_type=type_name))
    snapshot = tour.wait(user.create_consistency_group_snapshot(consistencygroup_id=group.id, name=tour.named("cgs")))
    assert user.find_consistency_group_snapshot(tour.named("cgs")).id == snapshot.id
    assert user.get_consistency_group_snapshot(snapshot).id == snapshot.id
    assert snapshot.id in {one.id for one in user.consistency_group_snapshots()}
    copy = tour.wait(user.create_consistency_group_from_source(consistency_group_snapshot=snapshot, name="copy"))
    with pytest.raises(HttpException):  # its body lacks the key that Cinder asks for
        user.delete_consistency_group(copy, force=True)
    forced = {"consistencygroup": {"force": True}}
    user.post(f"/consistencygroups/{copy.id}/delete", json=forced)
    tour.gone(copy)
    user.delete_consistency_group_snapshot(snapshot)
    tour.gone(snapshot)
    user.post(f"/consistencygroups/{group.id}/delete", json=forced)
    tour.gone(group, volume)


def messages(tour: Tour) -> None:
    """It asks for messages, which are of 3.3, by version 3.0."""
    for call in (lambda _: list(tour.user.messages()), tour.user.get_message):
        with pytest.raises(NotFoundException):
            call("none")
    tour.user.delete_message("none")  # gone is done


def by_the_newest_version(tour: Tour) -> None:
    """What is refused above because it is asked for by version 3.0."""
    (host, *_) = (one.name for one in tour.admin.backend_pools())
    for listed in (tour.newest.messages, tour.newest.manageable_volumes, tour.newest.manageable_snapshots):
        assert list(listed(**({} if listed == tour.newest.messages else {"host": host}))) == []
    service = next(one for one in tour.newest.services() if one.binary == "cinder-volume")
    with pytest.raises(BadRequestException, match="replica"):
        tour.newest.failover_service(service)


def the_cloud(tour: Tour) -> None:
    user, admin = tour.user, tour.admin
    assert [one.name for one in user.availability_zones()] == ["nova"]
    assert len(list(user.extensions())) > 10
    assert "volume" in {one.resource for one in user.resource_filters()}
    pools = [one.name for one in admin.backend_pools()]
    assert len(pools) == 2
    assert admin.get_capabilities(pools[0]).vendor_name == "Breezeblock"
    service = next(one for one in admin.services() if one.binary == "cinder-volume" and one.host.endswith("@second"))
    assert admin.find_service("cinder-scheduler", host=service.host.partition("@")[0])
    admin.disable_service(service, reason="tour")
    admin.enable_service(service)
    admin.freeze_service(service)
    admin.thaw_service(service)
    with pytest.raises(NotFoundException):  # it asks for 3.26's by version 3.0
        admin.failover_service(service)
    admin.set_service_log_levels(level="INFO", binary="cinder-api")
    assert list(admin.get_service_log_levels(binary="cinder-api"))
    with pytest.raises(HttpException):  # it asks by PUT, which Cinder does not have either
        admin.cleanup_service_workers(binary="cinder-volume", host=None, cluster_name=None)
    assert list(admin.clusters()) == []
    for call in (admin.get_cluster, admin.enable_cluster, admin.disable_cluster):
        with pytest.raises((NotFoundException, BadRequestException)):
            call("none")
    assert admin.find_cluster("none") is None


STOPS: tuple[Callable[[Tour], None], ...] = (
    volumes,
    snapshots,
    attachments,
    backups,
    types,
    transfers,
    quotas,
    groups,
    consistency_groups,
    messages,
    by_the_newest_version,
    the_cloud,
)


def test_every_call_of_openstacksdk(cloud: Cloud, tmp_path: Any) -> None:
    admin = OpenStack(cloud.clouds_yaml, "admin")
    admin("image", "create", "--public", "--disk-format", "qcow2", "--file", image_file(tmp_path), "sdk-tour")
    tour = Tour(cloud, admin.json("image", "show", "sdk-tour")["id"])
    for stop in STOPS:
        stop(tour)
    assert offered(tour.library) - tour.made == set(), "calls that were not made"
