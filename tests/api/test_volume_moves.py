"""Actions that give a volume another content, type or place, as requests; what they do is in tests/flows."""

import pytest

GONE = "0b3d8b1e-0000-4000-8000-00000000000f"
VOLUME = "0b3d8b1e-0000-4000-8000-000000000001"
SNAPSHOT = "0b3d8b1e-0000-4000-8000-000000000002"


@pytest.fixture
def volume(api):
    """A volume with a snapshot, both available."""
    api.insert("volumes", VOLUME, host=f"{api.cloud.backend.name}#one")
    api.insert("snapshots", SNAPSHOT, volume_id=VOLUME, host=f"{api.cloud.backend.name}#one")
    return VOLUME


def act(api, action, body, volume=VOLUME, **more):
    return api.post(f"/v3/volumes/{volume}/action", {action: body}, **more)


def status(api, kind, resource_id):
    return api.get(f"/v3/{kind}/{resource_id}").json[kind.removesuffix("s")]["status"]


def test_revert(api, volume):
    assert act(api, "revert", {"snapshot_id": SNAPSHOT}, version="3.40").status_code == 202
    assert (status(api, "volumes", VOLUME), status(api, "snapshots", SNAPSHOT)) == ("reverting", "restoring")
    again = act(api, "revert", {"snapshot_id": SNAPSHOT})
    assert again.status_code == 409
    assert "Volume's status must be 'available'" in again.json["conflictingRequest"]["message"]


def test_revert_is_refused(api, volume):
    assert act(api, "revert", {"snapshot_id": SNAPSHOT}, version="3.39").status_code == 404
    assert act(api, "revert", {"snapshot_id": SNAPSHOT}, volume=GONE).status_code == 404
    for body in ({}, {"snapshot_id": None}, {"snapshot_id": GONE}, {"snapshot_id": 5}, None, []):
        assert act(api, "revert", body).status_code == 400, body
    assert status(api, "volumes", VOLUME) == "available"


def test_revert_by_role(api_as, api, volume):
    assert act(api_as("reader"), "revert", {"snapshot_id": SNAPSHOT}).status_code == 403
    assert act(api_as("member", project="other"), "revert", {"snapshot_id": SNAPSHOT}).status_code == 404
    assert act(api_as("member"), "revert", {"snapshot_id": SNAPSHOT}).status_code == 202


def test_reimage(api, volume):
    image = api.post("/image/v2/images", {"name": "i", "disk_format": "raw", "container_format": "bare"}).json["id"]
    assert act(api, "os-reimage", {"image_id": image}).status_code == 400  # it has no data yet
    raw = {"Content-Type": "application/octet-stream"}
    assert api.call("PUT", f"/image/v2/images/{image}/file", b"content", headers=raw).status_code == 204
    assert act(api, "os-reimage", {"image_id": image}, version="3.67").status_code == 404
    assert act(api, "os-reimage", {"image_id": GONE}).status_code == 404
    assert act(api, "os-reimage", {"image_id": image}, volume=GONE).status_code == 404
    for body in ({}, {"image_id": "x"}, {"image_id": image, "reimage_reserved": "maybe"}, {"image_id": image, "a": 1}):
        assert act(api, "os-reimage", body).status_code == 400, body
    assert act(api, "os-reimage", {"image_id": image, "reimage_reserved": "true"}, version="3.68").status_code == 202
    assert status(api, "volumes", VOLUME) == "downloading"
    assert act(api, "os-reimage", {"image_id": image}).status_code == 400


@pytest.fixture
def types(api):
    """A type beside the default one; its name."""
    assert api.post("/v3/types", {"volume_type": {"name": "gold"}}).status_code == 200
    return "gold"


def test_retype(api, volume, types):
    for body in ({}, {"new_type": types, "migration_policy": "perhaps"}, {"new_type": types, "a": 1}, {"new_type": 5}):
        assert act(api, "os-retype", body).status_code == 400, body
    assert act(api, "os-retype", {"new_type": "nothing"}).status_code == 404
    assert act(api, "os-retype", {"new_type": types}, volume=GONE).status_code == 404
    assert act(api, "os-retype", {"new_type": types, "migration_policy": None}).status_code == 202
    assert status(api, "volumes", VOLUME) == "retyping"
    assert act(api, "os-retype", {"new_type": types}).status_code == 400


def test_migrate(api):
    api.insert("volumes", VOLUME, host="elsewhere@one#one")
    host = f"{api.cloud.backend.name}#one"
    for body in ({}, {"host": "nowhere"}, {"host": host, "a": 1}, {"host": host, "lock_volume": "maybe"}):
        assert act(api, "os-migrate_volume", body).status_code == 400, body
    assert act(api, "os-migrate_volume", {"host": host, "cluster": "c"}).status_code == 400
    assert act(api, "os-migrate_volume", {"cluster": "c"}).status_code == 400
    assert act(api, "os-migrate_volume", {"host": host, "cluster": None}, version="3.15").status_code == 400
    assert act(api, "os-migrate_volume", {"host": host}, volume=GONE).status_code == 404
    answer = act(api, "os-migrate_volume", {"host": host, "force_host_copy": "true", "lock_volume": False})
    assert answer.status_code == 202
    shown = api.get(f"/v3/volumes/{VOLUME}").json["volume"]
    assert (shown["status"], shown["os-vol-mig-status-attr:migstat"]) == ("maintenance", "starting")
    assert act(api, "os-migrate_volume", {"host": host}).status_code == 400


def test_migrate_completion(api, volume):
    other = api.insert("volumes", SNAPSHOT, host=f"{api.cloud.backend.name}#one")
    answer = act(api, "os-migrate_volume_completion", {"new_volume": other, "error": False})
    assert (answer.status_code, answer.json) == (200, {"save_volume_id": other})
    assert act(api, "os-migrate_volume_completion", {"new_volume": GONE}).status_code == 404
    assert act(api, "os-migrate_volume_completion", {"new_volume": "x"}).status_code == 400


def test_moves_by_role(api_as, api, volume, types):
    host = {"host": f"{api.cloud.backend.name}#one"}
    assert act(api_as("reader"), "os-retype", {"new_type": types}).status_code == 403
    assert act(api_as("member", project="other"), "os-retype", {"new_type": types}).status_code == 404
    assert act(api_as("member"), "os-migrate_volume", host).status_code == 403
