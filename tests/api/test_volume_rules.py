"""What Cinder refuses of volumes and snapshots, and the conditions it puts on changes."""

import uuid

import pytest

VOLUME = str(uuid.UUID(int=1))
OTHER = "b" * 32


def fault(answer, code=400):
    assert answer.status_code == code, answer.text
    ((_, content),) = answer.json.items()
    return content["message"]


def act(api, path, action, body=None, **more):
    return api.post(f"/v3/{path}/action", {action: body}, **more)


def test_metadata_change_only_where_they_are_as_they_were_read(api):
    api.insert("volumes", VOLUME, metadata={"b": "2", "a": "1"})
    path = f"/v3/volumes/{VOLUME}/metadata"
    read = api.get(path)
    etag = read.headers["etag"]
    assert read.json == {"metadata": {"b": "2", "a": "1"}}
    assert "etag" not in api.get(path, version="3.14").headers
    match, stale = {"If-Match": f'"{etag}"'}, {"If-Match": '"x", "y"'}
    assert api.put(f"{path}/a", {"meta": {"a": "3"}}, headers=stale).status_code == 412
    assert api.put(path, {"metadata": {}}, headers=stale).status_code == 412
    assert api.get(path).json == {"metadata": {"b": "2", "a": "1"}}
    assert api.put(path, {"metadata": {"a": "4"}}, headers=stale, version="3.14").status_code == 200
    assert api.put(path, {"metadata": {"b": "2", "a": "1"}}, headers={"If-Match": "*"}).status_code == 200
    assert api.put(f"{path}/a", {"meta": {"a": "3"}}, headers=match).status_code == 200
    assert api.put(path, {"metadata": {}}, headers=match).status_code == 412


def test_metadata_of_a_snapshot_have_no_etag(api):
    api.insert("snapshots", VOLUME)
    path = f"/v3/snapshots/{VOLUME}/metadata"
    assert "etag" not in api.get(path).headers
    assert api.put(path, {"metadata": {}}, headers={"If-Match": '"x"'}).status_code == 200


def test_nothing_is_changed_in_maintenance(api):
    api.insert("volumes", VOLUME, status="maintenance")
    path = f"/v3/volumes/{VOLUME}"
    assert "during maintenance" in fault(api.put(path, {"volume": {"name": "x"}}))
    assert "during maintenance" in fault(act(api, f"volumes/{VOLUME}", "os-set_bootable", {"bootable": True}))
    assert fault(api.post(f"{path}/metadata", {"metadata": {"a": "b"}})) == (
        "Invalid volume: Updating volume metadata is not allowed for volumes in maintenance status."
    )
    assert "to update readonly flag" in fault(
        act(api, f"volumes/{VOLUME}", "os-update_readonly_flag", {"readonly": True})
    )
    assert "maintenance mode" in fault(api.post("/v3/snapshots", {"snapshot": {"volume_id": VOLUME}}))


@pytest.mark.parametrize("version", ["3.41", "3.71"])
def test_a_volume_in_use_grows_from_3_42_on(api, version):
    api.insert("volumes", VOLUME, status="in-use", attach_status="attached", host="h@one#pool")
    answer = act(api, f"volumes/{VOLUME}", "os-extend", {"new_size": 2}, version=version)
    if version == "3.71":
        assert answer.status_code == 202
    else:
        assert fault(answer) == (
            f"Invalid volume: Volume {VOLUME} status must be 'available' to extend, currently in-use."
        )


def test_the_completion_of_a_growth_that_nobody_waits_for(api, api_as):
    path = f"volumes/{api.insert('volumes', VOLUME)}"
    assert fault(act(api, path, "os-extend_volume_completion", {"error": False})) == (
        "Invalid volume: Volume is not being extended."
    )
    act(api, path, "os-reset_status", {"status": "extending"})
    assert "malformed or missing" in fault(act(api, path, "os-extend_volume_completion", {}))
    assert act(api_as("member"), path, "os-extend_volume_completion", {}).status_code == 403


def test_a_type_bounds_the_size_of_its_volumes(api):
    specs = {"provisioning:min_vol_size": "2", "provisioning:max_vol_size": "4"}
    kind = api.post("/v3/types", {"volume_type": {"name": "bound", "extra_specs": specs}}).json["volume_type"]["id"]

    def create(size):
        return api.post("/v3/volumes", {"volume": {"size": size, "volume_type": "bound"}})

    assert "minimum required size of '2' for volume type 'bound'" in fault(create(1))
    assert "maximum allowable size of '4'" in fault(create(5))
    assert create(3).status_code == 202
    path = f"volumes/{api.insert('volumes', VOLUME, volume_type_id=kind, size=3)}"
    assert "maximum allowable" in fault(act(api, path, "os-extend", {"new_size": 5}))


def test_multiattach_comes_from_the_type_by_policy(api, api_as):
    specs = {"multiattach": "<is> True"}
    api.post("/v3/types", {"volume_type": {"name": "shared", "extra_specs": specs}})
    body = {"volume": {"size": 1, "volume_type": "shared"}}
    assert api_as("member").post("/v3/volumes", body).json["volume"]["multiattach"] is True
    assert fault(api_as("member").post("/v3/volumes", {"volume": {"size": 1, "multiattach": True}})).startswith(
        "multiattach parameter has been removed."
    )


def test_what_an_old_version_does_not_know_is_passed_over(api):
    body = {"volume": {"size": 1, "backup_id": VOLUME, "group_id": VOLUME}}
    assert api.post("/v3/volumes", body, version="3.12").status_code == 202
    assert api.post("/v3/volumes", body).status_code == 404


def test_a_moving_volume_is_not_deleted(api):
    api.insert("volumes", VOLUME, migration_status="migrating")
    assert "migrating" in fault(api.delete(f"/v3/volumes/{VOLUME}"))
    assert "migrating" in fault(api.post("/v3/snapshots", {"snapshot": {"volume_id": VOLUME}}))


def test_a_volume_with_anothers_snapshots_stays(api, api_as):
    """After a transfer without its snapshots, their owner has a say."""
    api.insert("volumes", VOLUME, host="h@one#pool")
    api.insert("snapshots", VOLUME, volume_id=VOLUME, project_id=OTHER, host="h@one#pool")
    assert "disassociated from snapshots" in fault(api_as("member").delete(f"/v3/volumes/{VOLUME}?cascade=true"))
    assert api_as("admin").delete(f"/v3/volumes/{VOLUME}?cascade=true").status_code == 202


def test_forced_with_snapshots_whatever_their_status(api):
    api.insert("volumes", VOLUME, host="h@one#pool", status="error_deleting")
    api.insert("snapshots", VOLUME, volume_id=VOLUME, host="h@one#pool", status="error_deleting")
    assert api.delete(f"/v3/volumes/{VOLUME}?cascade=true").status_code == 400
    assert api.delete(f"/v3/volumes/{VOLUME}?cascade=true&force=true", version="3.22").status_code == 400
    assert api.delete(f"/v3/volumes/{VOLUME}?cascade=true&force=true").status_code == 202


def test_statuses_set_by_hand_are_told(api):
    path = f"volumes/{api.insert('volumes', VOLUME)}"
    assert "valid statuses are" in fault(act(api, path, "os-reset_status", {"status": "green"}))
    act(api, path, "os-reset_status", {"status": "awaiting-transfer"})
    assert api.get(f"/v3/{path}").json["volume"]["status"] == "awaiting-transfer"
    assert [event.type for event in api.cloud.events()] == ["volume.reset_status.start", "volume.reset_status.end"]


def test_a_compute_service_tells_how_far_its_snapshot_is(api):
    path = f"snapshots/{api.insert('snapshots', VOLUME, status='creating', progress='0%')}"

    def tell(status, **more):
        return act(api, path, "os-update_snapshot_status", {"status": status, **more})

    assert tell("creating", progress="80%").status_code == 202
    shown = api.get(f"/v3/{path}").json["snapshot"]
    assert (shown["status"], shown["os-extended-snapshot-attributes:progress"]) == ("creating", "80%")
    assert fault(tell("deleting")) == (
        "Provided snapshot status deleting not allowed for snapshot with status creating."
    )
    assert "progress" in fault(tell("error", progress="101%"))
    assert tell("error", progress="100%").status_code == 202
    assert fault(tell("error")) == "Snapshot status error not allowed for update_snapshot_status"


def test_a_snapshot_of_nothing_is_not_found(api):
    assert fault(api.post("/v3/snapshots", {"snapshot": {"volume_id": None}}), 404)
    api.insert("volumes", VOLUME, status="error")
    assert fault(api.post("/v3/snapshots", {"snapshot": {"volume_id": VOLUME}})) == (
        "Invalid volume: The snapshot cannot be created when the volume is in error status."
    )
