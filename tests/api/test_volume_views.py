"""The keys of bodies by microversion and role, as Cinder 29 has them: exactly these, no more and no fewer."""

import pytest

BASE = set(
    "id status size availability_zone created_at updated_at name description volume_type snapshot_id source_volid "
    "metadata links user_id bootable encrypted replication_status consistencygroup_id multiattach attachments".split()
)
EXTENDED = {"os-vol-tenant-attr:tenant_id"}
ADMIN = {"migration_status"}
EXTENDED_ADMIN = {"os-vol-host-attr:host", "os-vol-mig-status-attr:migstat", "os-vol-mig-status-attr:name_id"}
SINCE = {
    13: {"group_id"},
    48: {"shared_targets", "service_uuid"},
    63: {"volume_type_id"},
    65: {"consumes_quota"},
}
ADMIN_SINCE = {21: {"provider_id"}, 61: {"cluster_name"}}
VERSIONS = [0, 12, 13, 20, 21, 47, 48, 60, 61, 62, 63, 64, 65, 71]
VOLUME = "0b3d8b1e-0000-4000-8000-000000000001"
SERVER = "0b3d8b1e-0000-4000-8000-000000000002"


def keys(version, admin, extended):
    wanted = set(BASE)
    for since, more in SINCE.items():
        wanted |= more if version >= since else set()
    if admin:
        wanted |= ADMIN
        for since, more in ADMIN_SINCE.items():
            wanted |= more if version >= since else set()
    if extended:
        wanted |= EXTENDED | (EXTENDED_ADMIN if admin else set())
    return wanted


@pytest.mark.parametrize("role", ["member", "admin"])
@pytest.mark.parametrize("version", VERSIONS)
def test_volume_keys(api_as, role, version):
    api = api_as(role)
    api.insert("volumes", VOLUME, host="h@b#p")
    asked = f"3.{version}"
    shown = api.get(f"/v3/volumes/{VOLUME}", version=asked).json["volume"]
    assert set(shown) == keys(version, role == "admin", extended=True)
    (listed,) = api.get("/v3/volumes/detail", version=asked).json["volumes"]
    assert listed == shown
    made = api.post("/v3/volumes", {"volume": {"size": 1}}, version=asked).json["volume"]
    assert set(made) == keys(version, role == "admin", extended=False)
    changed = api.put(f"/v3/volumes/{VOLUME}", {"volume": {"name": "n"}}, version=asked).json["volume"]
    assert set(changed) == keys(version, role == "admin", extended=False)


def test_volume_values(api):
    api.insert(
        "volumes",
        VOLUME,
        size=2,
        bootable=True,
        multiattach=True,
        encryption_key_id="key",
        metadata={"k": "v"},
        admin_metadata={"readonly": "True", "secret": "x"},
        image_metadata={"os_type": "Linux"},
        status="managing",
        attach_status="attached",
        host="jenkins@DS01#DS02",
    )
    api.insert(
        "attachments", SERVER, volume_id=VOLUME, instance_uuid=SERVER, attached_host="node", mountpoint="/dev/vdb"
    )
    reserved = "0b3d8b1e-0000-4000-8000-000000000003"
    api.insert("attachments", reserved, volume_id=VOLUME, attach_status="reserved")
    shown = api.get(f"/v3/volumes/{VOLUME}").json["volume"]
    assert (shown["status"], shown["bootable"], shown["encrypted"], shown["size"]) == ("creating", "true", True, 2)
    assert shown["metadata"] == {"k": "v", "readonly": "True"}
    assert shown["volume_image_metadata"] == {"os_type": "Linux"}
    assert shown["encryption_key_id"] == "key"
    assert shown["os-vol-host-attr:host"] == "jenkins@DS01#DS02"
    (attachment,) = shown["attachments"]
    assert attachment == {
        "id": VOLUME,
        "attachment_id": SERVER,
        "volume_id": VOLUME,
        "server_id": SERVER,
        "host_name": "node",
        "device": "/dev/vdb",
        "attached_at": None,
    }
    assert "encryption_key_id" not in api.get(f"/v3/volumes/{VOLUME}", version="3.63").json["volume"]


def test_hosts_are_not_for_everybody(api_as):
    api = api_as("member", "reader")
    api.insert("volumes", VOLUME, attach_status="attached")
    api.insert("attachments", SERVER, volume_id=VOLUME, attached_host="node")
    (attachment,) = api.get(f"/v3/volumes/{VOLUME}").json["volume"]["attachments"]
    assert attachment["host_name"] is None


SNAPSHOT = set("id created_at updated_at name description volume_id status size metadata".split())
SNAPSHOT_EXTENDED = {"os-extended-snapshot-attributes:progress", "os-extended-snapshot-attributes:project_id"}


@pytest.mark.parametrize(
    ("version", "more"),
    [
        (0, ""),
        (14, "group_snapshot_id"),
        (41, "group_snapshot_id user_id"),
        (65, "group_snapshot_id user_id consumes_quota"),
    ],
)
def test_snapshot_keys(api, version, more):
    snapshot = api.insert("snapshots", VOLUME)
    asked = f"3.{version}"
    shown = api.get(f"/v3/snapshots/{snapshot}", version=asked).json["snapshot"]
    assert set(shown) == SNAPSHOT | SNAPSHOT_EXTENDED | set(more.split())
    assert api.get("/v3/snapshots/detail", version=asked).json["snapshots"] == [shown]
    assert set(api.get("/v3/snapshots", version=asked).json["snapshots"][0]) == SNAPSHOT


BACKUP = set(
    "id status size object_count availability_zone container created_at updated_at name description fail_reason "
    "volume_id links is_incremental has_dependent_backups snapshot_id data_timestamp".split()
)


@pytest.mark.parametrize(
    ("version", "more", "admins"),
    [
        (0, "", ""),
        (18, "", "os-backup-project-attr:project_id"),
        (43, "metadata", "os-backup-project-attr:project_id"),
        (56, "metadata", "os-backup-project-attr:project_id user_id"),
    ],
)
def test_backup_keys(api_as, version, more, admins):
    for role in ("reader", "admin"):
        api = api_as(role)
        if role == "reader":
            api.insert("backups", VOLUME)
            api.insert("backups", SERVER, parent_id=VOLUME)
        shown = api.get(f"/v3/backups/{VOLUME}", version=f"3.{version}").json["backup"]
        wanted = BACKUP | set(more.split()) | (set(admins.split()) if role == "admin" else set())
        assert set(shown) == wanted
        assert (shown["has_dependent_backups"], shown["is_incremental"]) == (True, False)
        child = api.get(f"/v3/backups/{SERVER}").json["backup"]
        assert (child["has_dependent_backups"], child["is_incremental"]) == (False, True)


def test_type_keys(api_as):
    public = {"id", "name", "is_public", "description", "os-volume-type-access:is_public", "extra_specs"}
    specs = {"volume_backend_name": "x", "multiattach": "<is> True"}
    made = api_as("admin").post("/v3/types", {"volume_type": {"name": "t", "extra_specs": specs}}).json["volume_type"]
    assert set(made) == public
    path = f"/v3/types/{made['id']}"
    changed = api_as("admin").put(path, {"volume_type": {"name": "u"}}).json["volume_type"]
    assert set(changed) == public - {"os-volume-type-access:is_public"}
    shown = api_as("admin").get(path).json["volume_type"]
    assert set(shown) == public | {"qos_specs_id"}
    assert made["extra_specs"] == changed["extra_specs"] == shown["extra_specs"] == specs
    seen = api_as("reader").get(f"/v3/types/{made['id']}").json["volume_type"]
    assert set(seen) == public - {"os-volume-type-access:is_public"}
    assert seen["extra_specs"] == {"multiattach": "<is> True"}


def test_attachment_keys(api):
    api.insert("volumes", VOLUME)
    info = {"driver_volume_type": "nbd", "data": {"uri": "nbd://host/x", "access_mode": "rw"}}
    api.insert("attachments", SERVER, volume_id=VOLUME, connection_info=info)
    summary = {"id", "status", "instance", "volume_id"}
    detail = summary | {"attached_at", "detached_at", "attach_mode", "connection_info"}
    shown = api.get(f"/v3/attachments/{SERVER}").json["attachment"]
    assert set(shown) == detail
    assert shown["connection_info"] == {"driver_volume_type": "nbd", "uri": "nbd://host/x", "access_mode": "rw"}
    assert set(api.get("/v3/attachments").json["attachments"][0]) == summary
    assert api.get("/v3/attachments/detail").json["attachments"] == [shown]


def test_keys_of_what_stands_behind(api):
    api.cloud.report()
    pool = api.get("/v3/scheduler-stats/get_pools?detail=true").json["pools"][0]
    assert set(pool) == {"name", "capabilities"}
    assert {"total_capacity_gb", "free_capacity_gb", "volume_backend_name"} <= set(pool["capabilities"])
    assert api.get("/v3/scheduler-stats/get_pools").json["pools"] == [{"name": pool["name"]}]
    zones = api.get("/v3/os-availability-zone").json["availabilityZoneInfo"]
    assert zones == [{"zoneName": "nova", "zoneState": {"available": True}}]
    absolute = api.get("/v3/limits").json["limits"]["absolute"]
    assert len(absolute) == 10
    assert all(isinstance(value, int) for value in absolute.values())
