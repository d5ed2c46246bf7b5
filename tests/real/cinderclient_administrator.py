"""What an administrator does on the tour of cinderclient."""

import uuid

import pytest
from cinderclient.exceptions import BadRequest, ClientException, NotFound

from tests.real.cinderclient_tour import NEWEST, Tour
from tests.real.touring import until


def managing(tour: Tour) -> None:
    volume = tour.volume()
    snapshot = tour.wait(tour.user.volume_snapshots.create(volume.id))
    host, oldest = tour.pool_of(volume), tour.client("admin", "3.0")
    for client in (tour.admin, oldest):
        assert snapshot.id in {one.cinder_id for one in client.volume_snapshots.list_manageable(host)}
        assert volume.id in {one.cinder_id for one in client.volumes.list_manageable(host)}
    administered = tour.admin.volume_snapshots.get(snapshot.id)
    administered.unmanage(administered)
    tour.gone(snapshot)
    reference = {"source-name": f"snapshot-{snapshot.id}"}
    assert reference in [one.reference for one in administered.list_manageable(host) if one.safe_to_manage]
    administered.manage(volume.id, reference, name=tour.named("managed"))
    managed = tour.wait(tour.admin.volume_snapshots.find(name=tour.named("managed")))
    managed.delete()
    tour.gone(managed)
    administered = tour.as_admin(volume)
    administered.unmanage(administered)
    tour.gone(volume)
    reference = {"source-name": f"volume-{volume.id}"}
    assert reference in [one.reference for one in administered.list_manageable(host) if one.safe_to_manage]
    administered.manage(host, reference, name=tour.named("managed"))
    managed = tour.wait(tour.admin.volumes.find(name=tour.named("managed")))
    managed.delete()
    tour.gone(managed)


def types(tour: Tour) -> None:
    user, admin = tour.user, tour.admin
    made = admin.volume_types.create(tour.named("type"), is_public=False)
    assert made.set_keys({"volume_backend_name": "first", "spare": "1"})["spare"] == "1"
    made.unset_keys(["spare"])
    assert admin.volume_types.get(made.id).get_keys() == {"volume_backend_name": "first"}
    assert admin.volume_types.find(name=tour.named("type")).id == made.id
    assert admin.volume_types.update(made.id, name=made.name, description="seen").description == "seen"
    admin.volume_type_access.add_project_access(made, tour.project_id)
    assert [one.project_id for one in admin.volume_type_access.list(made)] == [tour.project_id]
    second = admin.volume_types.create(tour.named("second"))
    assert {second.id, user.volume_types.default().id} <= {one.id for one in user.volume_types.list()}
    volume = tour.volume(volume_type=second.name)
    (target,) = {one.name for one in admin.pools.list()} - {tour.pool_of(volume)}
    tour.as_admin(volume).migrate_volume(target, force_host_copy=True, lock_volume=False)
    until(lambda: tour.pool_of(volume), lambda pool: pool == target)
    tour.wait(volume)
    volume.retype(made.id, "on-demand")
    until(lambda: user.volumes.get(volume.id), lambda one: (one.volume_type, one.status) == (made.name, "available"))
    assert "@first#" in tour.pool_of(volume)
    with pytest.raises(NotFound):
        admin.volumes.migrate_volume_completion(volume, str(uuid.uuid4()), False)
    volume.delete()
    tour.gone(volume)
    admin.volume_type_access.remove_project_access(made, tour.project_id)
    wanted = {"provider": "luks", "cipher": "aes-xts-plain64", "key_size": 256, "control_location": "front-end"}
    admin.volume_encryption_types.create(made, wanted)
    admin.volume_encryption_types.update(made, {"key_size": 512})
    assert admin.volume_encryption_types.get(made).key_size == 512
    assert [one.volume_type_id for one in admin.volume_encryption_types.list()] == [made.id]
    admin.volume_encryption_types.delete(made)
    admin.default_types.create(second.name, tour.other_id)
    assert admin.default_types.list(tour.other_id).volume_type_id == second.id
    assert tour.other_id in {one.project_id for one in admin.default_types.list()}
    assert tour.other.volume_types.default().id == second.id
    admin.default_types.delete(tour.other_id)
    for one in (made, second):
        admin.volume_types.delete(one)


def qos(tour: Tour) -> None:
    specs = tour.admin.qos_specs
    made = specs.create(tour.named("qos"), {"consumer": "front-end", "a": "b"})
    assert specs.find(name=tour.named("qos")).id == specs.get(made).id == made.id
    specs.set_keys(made.id, {"consumer": "both", "read_iops_sec": "100"})
    specs.unset_keys(made.id, ["a"])
    seen = specs.get(made)
    assert (seen.consumer, seen.specs) == ("both", {"read_iops_sec": "100"})
    kind = tour.admin.volume_types.create(tour.named("limited"))
    specs.associate(made, kind.id)
    assert [one.id for one in specs.get_associations(made)] == [kind.id]
    with pytest.raises(BadRequest):  # it is in use
        made.delete()
    specs.disassociate(made, kind.id)
    specs.associate(made, kind.id)
    specs.disassociate_all(made)
    made.delete()
    tour.admin.volume_types.delete(kind)


def quotas(tour: Tour) -> None:
    user, admin = tour.user, tour.admin
    assert user.quotas.get(tour.project_id).volumes == user.quotas.defaults(tour.project_id).volumes
    assert user.quotas.get(tour.project_id, usage=True).volumes["in_use"] == len(user.volumes.list())
    assert admin.quotas.update(tour.other_id, volumes=3).volumes == 3
    with pytest.raises(AttributeError):  # it looks for a tenant_id, which no answer has
        admin.quotas.get(tour.other_id).update(volumes=4)
    admin.quotas.delete(tour.other_id)
    assert admin.quotas.get(tour.other_id).volumes != 3
    before = admin.quota_classes.get("default").volumes
    assert admin.quota_classes.update("default", volumes=before + 1).volumes == before + 1
    with pytest.raises(AttributeError):  # the same of class_name
        admin.quota_classes.get("default").update(volumes=before)
    admin.quota_classes.update("default", volumes=before)
    limits = {one.name: one.value for one in user.limits.get().absolute}
    assert limits["maxTotalVolumes"] == before
    assert limits == {one.name: one.value for one in user.limits.get(tour.project_id).absolute}


def the_cloud(tour: Tour) -> None:
    user, admin = tour.user, tour.admin
    user.authenticate()
    assert user.get_volume_api_version_from_endpoint() == "3"
    assert [one.version for one in user.services.server_api_version()] == [NEWEST]
    assert [one.zoneName for one in user.availability_zones.list()] == ["nova"]
    with pytest.raises(NotFound):  # Cinder has no such call either
        admin.availability_zones.list(detailed=True)
    assert len(user.list_extensions.show_all()) > 10
    assert [one.resource for one in user.resource_filters.list("volume")] == ["volume"]
    pools = [one.name for one in admin.pools.list(detailed=True) if one.total_capacity_gb]
    assert pools == [one["name"] for one in admin.volumes.get_pools(True, {})._info["pools"]]
    oldest, volume = tour.client("admin", "3.0"), tour.volume()
    assert pools == [one["name"] for one in oldest.volumes.get(volume.id).get_pools(False)._info["pools"]]
    volume.delete()
    tour.gone(volume)
    assert admin.capabilities.get(pools[0]).vendor_name == "Breezeblock"
    service = next(one for one in admin.services.list(binary="cinder-volume") if one.host.endswith("@second"))
    admin.services.disable_log_reason(service.host, service.binary, "tour")
    assert admin.services.list(host=service.host)[0].disabled_reason == "tour"
    admin.services.enable(service.host, service.binary)
    assert admin.services.disable(service.host, service.binary).status == "disabled"
    admin.services.enable(service.host, service.binary)
    admin.services.freeze_host(service.host)
    admin.services.thaw_host(service.host)
    with pytest.raises(BadRequest):  # its storage keeps no replica of the whole
        admin.services.failover_host(service.host, "default")
    admin.services.set_log_levels("INFO", "cinder-api", "", "")
    assert admin.services.get_log_levels("cinder-api", "", "")
    assert tuple(map(list, admin.workers.clean(binary="cinder-volume"))) == ([], [])  # flows need no such call
    assert list(admin.clusters.list(detailed=True)) == []  # there are no clusters here
    with pytest.raises(NotFound):
        admin.clusters.show("none")
    with pytest.raises(ClientException):
        admin.clusters.update("none", "cinder-volume", disabled=True)
