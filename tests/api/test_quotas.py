"""Quotas by type, quota classes and limits, as Cinder answers them."""

import pytest

from breezeblock.config import DEFAULT_PROJECT
from tests.api.test_volumes import message

PROJECT = "0b3d8b1e000040008000000000000aaa"
OWN = {"volumes", "snapshots", "gigabytes", "backups", "backup_gigabytes", "groups", "per_volume_gigabytes"}


@pytest.fixture
def quick(api):
    return api.post("/v3/types", {"volume_type": {"name": "quick"}}).json["volume_type"]["id"]


def set_quota(api, project=DEFAULT_PROJECT, **limits):
    return api.put(f"/v3/os-quota-sets/{project}", {"quota_set": limits})


def test_each_type_has_three(api, quick):
    by_type = {f"{part}_{name}" for part in ("volumes", "gigabytes", "snapshots") for name in ("__DEFAULT__", "quick")}
    shown = api.get(f"/v3/os-quota-sets/{PROJECT}").json["quota_set"]
    assert set(shown) == OWN | by_type | {"id"}
    assert all(shown[name] == -1 for name in by_type)
    assert set_quota(api, PROJECT, volumes_quick=3).json["quota_set"]["volumes_quick"] == 3
    used = api.get(f"/v3/os-quota-sets/{PROJECT}?usage=True").json["quota_set"]
    assert used["volumes_quick"] == {"limit": 3, "in_use": 0, "reserved": 0}


def test_they_follow_their_type(api, quick):
    set_quota(api, PROJECT, volumes_quick=3)
    api.put("/v3/os-quota-class-sets/default", {"quota_class_set": {"gigabytes_quick": 7}})
    api.put(f"/v3/types/{quick}", {"volume_type": {"name": "fast"}})
    shown = api.get(f"/v3/os-quota-sets/{PROJECT}").json["quota_set"]
    assert (shown["volumes_fast"], shown["gigabytes_fast"]) == (3, 7)
    assert "volumes_quick" not in shown
    api.delete(f"/v3/types/{quick}")
    api.post("/v3/types", {"volume_type": {"name": "fast"}})
    assert api.get(f"/v3/os-quota-sets/{PROJECT}").json["quota_set"]["volumes_fast"] == -1


@pytest.mark.parametrize(
    ("limit", "action"),
    [
        ("volumes_quick", "create"),
        ("gigabytes_quick", "create"),
        ("gigabytes_quick", "extend"),
        ("snapshots_quick", "snap"),
    ],
)
def test_a_limit_by_type_holds(api, quick, limit, action):
    volume = api.insert("volumes", "0b3d8b1e-0000-4000-8000-000000000001", volume_type_id=quick, host="h@one#one")
    api.insert("snapshots", "0b3d8b1e-0000-4000-8000-000000000002", volume_id=volume, volume_type_id=quick)
    set_quota(api, **{limit: 2 if limit.startswith("gigabytes") else 1})

    def act(kind):
        if action == "create":
            return api.post("/v3/volumes", {"volume": {"size": 1, "volume_type": kind}})
        if action == "extend":
            return api.post(f"/v3/volumes/{volume}/action", {"os-extend": {"new_size": 2}})
        return api.post("/v3/snapshots", {"snapshot": {"volume_id": volume}})

    assert f"for quota '{limit}'" in message(act("quick"), 413)
    if action == "create":
        assert act("__DEFAULT__").status_code == 202
    set_quota(api, **{limit: -1})
    assert act("quick").status_code == 202
    used = api.get(f"/v3/os-quota-sets/{DEFAULT_PROJECT}?usage=true").json["quota_set"]
    assert used[limit]["in_use"] == {"volumes_quick": 2, "snapshots_quick": 2}.get(limit, 3)


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"pears": 1, "volumes": 1}, "Invalid input received: Bad key(s) in quota set: pears"),
        ({"volumes_nothing": 1}, "Bad key(s) in quota set: volumes_nothing"),
        ({"volumes": "many"}, "volumes must be an integer."),
        ({"volumes": -2}, "volumes must be >= -1"),
        ({"volumes": 2**31}, "volumes must be <= 2147483647"),
        ({"volumes": True}, "volumes must be an integer."),
        ({}, "quota_set"),
    ],
)
def test_bad_limits(api, limits, words):
    assert words in message(set_quota(api, PROJECT, **limits))


def test_old_keys_change_nothing(api):
    assert set_quota(api, PROJECT, tenant_id="x", id="y", volumes=4).json["quota_set"]["volumes"] == 4


def test_the_default_class_holds_for_who_has_none(api, quick):
    path = "/v3/os-quota-class-sets/default"
    assert api.get(path).json["quota_class_set"]["id"] == "default"
    set_quota(api, PROJECT, volumes=5)
    changed = api.put(path, {"quota_class_set": {"volumes": "7", "snapshots": 8, "volumes_quick": 9}})
    assert changed.status_code == 200
    shown = changed.json["quota_class_set"]
    assert "id" not in shown
    assert (shown["volumes"], shown["snapshots"], shown["volumes_quick"]) == (7, 8, 9)
    project = api.get(f"/v3/os-quota-sets/{PROJECT}").json["quota_set"]
    assert (project["volumes"], project["snapshots"], project["volumes_quick"]) == (5, 8, 9)
    assert api.get(f"/v3/os-quota-sets/{PROJECT}/defaults").json["quota_set"]["volumes"] == 7
    api.delete(f"/v3/os-quota-sets/{PROJECT}")
    assert api.get(f"/v3/os-quota-sets/{PROJECT}").json["quota_set"]["volumes"] == 7
    other = api.put("/v3/os-quota-class-sets/gold", {"quota_class_set": {"volumes": 70}}).json["quota_class_set"]
    assert (other["volumes"], other["snapshots"]) == (70, 8)
    assert api.get(f"/v3/os-quota-sets/{PROJECT}").json["quota_set"]["volumes"] == 7


def test_classes_refuse(api, api_as):
    path = "/v3/os-quota-class-sets/default"
    assert "Bad key(s) in quota class set: pears" in message(api.put(path, {"quota_class_set": {"pears": 1}}))
    assert api.put(path, {"quota_set": {}}).status_code == 400
    assert api_as("member").get(path).status_code == 403
    assert api_as("member").put(path, {"quota_class_set": {"volumes": 1}}).status_code == 403


def test_limits_of_another_project(api, api_as):
    set_quota(api, PROJECT, volumes=5)
    for query in (f"?project_id={PROJECT}", f"?tenant_id={PROJECT}"):
        assert api.get(f"/v3/limits{query}").json["limits"]["absolute"]["maxTotalVolumes"] == 5
        assert api.get(f"/v3/limits{query}", version="3.38").json["limits"]["absolute"]["maxTotalVolumes"] == 1000
        own = api_as("member").get(f"/v3/limits{query}").json["limits"]["absolute"]
        assert own["maxTotalVolumes"] == 1000


def test_what_is_in_use_is_one_statement_more(api, quick):
    api.insert("volumes", "0b3d8b1e-0000-4000-8000-000000000001", volume_type_id=quick, size=3)
    with api.counted() as statements:
        used = api.get(f"/v3/os-quota-sets/{DEFAULT_PROJECT}?usage=true").json["quota_set"]
    assert (used["gigabytes"]["in_use"], used["gigabytes_quick"]["in_use"], used["volumes"]["in_use"]) == (3, 3, 1)
    assert len(statements) <= 5
