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
