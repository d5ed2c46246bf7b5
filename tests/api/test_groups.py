"""Groups, group snapshots and the old consistency groups through the API, made real by an engine."""

import pytest

from breezeblock.config import DEFAULT_PROJECT
from tests.cloud import Cloud

GONE = "0b3d8b1e-0000-4000-8000-00000000000f"
CONF = (
    "[DEFAULT]\nenabled_backends = one\nquota_groups = 4\n[one]\nvolume_driver = simulated\n"
    "simulated_group_snapshots = true\nsimulated_replication = true\n"
)


@pytest.fixture
def cloud(tmp_path):
    cloud = Cloud(tmp_path, CONF)
    yield cloud
    cloud.close()


@pytest.fixture
def live(api):
    """The API with the engine at work, a volume type `gold` and a group type `plain`."""
    answer = api.post("/v3/types", {"volume_type": {"name": "gold"}})
    api.gold = answer.json["volume_type"]["id"]
    api.plain = group_type(api, "plain")
    with api.cloud.running():
        yield api


def group_type(api, name, **specs):
    answer = api.post("/v3/group_types", {"group_type": {"name": name, "group_specs": specs}})
    assert answer.status_code == 202, answer.text
    return answer.json["group_type"]["id"]


def message(answer, status=400):
    assert answer.status_code == status, answer.text
    return next(iter(answer.json.values()))["message"]


def group(api, **more):
    answer = api.post("/v3/groups", {"group": {"group_type": "plain", "volume_types": ["gold"], "name": "g", **more}})
    assert answer.status_code == 202, answer.text
    return answer.json["group"]["id"]


def settled(api, kind, resource_id):
    api.cloud.settled(resource_id)
    return shown(api, kind, resource_id)


def shown(api, kind, resource_id, query="", version="3.71"):
    answer = api.get(f"/v3/{kind}/{resource_id}{query}", version=version)
    assert answer.status_code == 200, answer.text
    return answer.json[kind.removesuffix("s")]


def volume(api, group_id=None, **more):
    body = {"size": 1, "volume_type": "gold", "group_id": group_id, **more}
    answer = api.post("/v3/volumes", {"volume": body})
    assert answer.status_code == 202, answer.text
    made = settled(api, "volumes", answer.json["volume"]["id"])
    assert made["status"] == "available"
    return made["id"]


def act(api, kind, resource_id, status=202, version="3.71", **action):
    answer = api.post(f"/v3/{kind}/{resource_id}/action", action, version=version)
    assert answer.status_code == status, answer.text
    return answer


def snapshot(api, group_id):
    answer = api.post("/v3/group_snapshots", {"group_snapshot": {"group_id": group_id, "name": "s"}})
    assert answer.status_code == 202, answer.text
    assert set(answer.json["group_snapshot"]) == {"id", "name", "group_type_id"}
    return answer.json["group_snapshot"]["id"]


def members(api, group_snapshot_id):
    listed = api.get("/v3/snapshots/detail").json["snapshots"]
    return [one for one in listed if one["group_snapshot_id"] == group_snapshot_id]


def of_group(api, group_id):
    return sorted(one["id"] for one in api.get(f"/v3/volumes?group_id={group_id}").json["volumes"])


def test_a_group_from_start_to_end(live):
    group_id = group(live, name=" one ", description=" d ")
    made = shown(live, "groups", group_id)
    assert made == {
        "id": group_id,
        "status": "available",
        "availability_zone": "nova",
        "created_at": made["created_at"],
        "name": "one",
        "description": "d",
        "group_type": live.plain,
        "volume_types": [live.gold],
        "group_snapshot_id": None,
        "source_group_id": None,
        "replication_status": "disabled",
        "project_id": DEFAULT_PROJECT,
    }
    first, second = volume(live, group_id), volume(live, group_id)
    assert of_group(live, group_id) == sorted([first, second])
    assert shown(live, "volumes", first)["group_id"] == group_id
    assert "must not belong to a group" in message(live.delete(f"/v3/volumes/{first}"))
    offer = {"transfer": {"volume_id": first, "name": "t"}}
    assert "must not belong to a group" in message(live.post("/v3/volume-transfers", offer))
    assert "still contains volumes" in message(act(live, "groups", group_id, 400, delete={"delete-volumes": False}))
    act(live, "groups", group_id, delete={"delete-volumes": "true"})
    assert live.cloud.settled(group_id).state == "succeeded"
    for path in (f"groups/{group_id}", f"volumes/{first}", f"volumes/{second}"):
        assert live.get(f"/v3/{path}").status_code == 404
    assert list(live.cloud.driver.list_objects()) == []


def test_views_by_version(live):
    group_id = group(live)
    one = volume(live, group_id)
    keys = {"id", "status", "availability_zone", "created_at", "name", "description", "group_type", "volume_types"}
    assert live.get(f"/v3/groups/{group_id}", version="3.12").status_code == 404
    assert set(shown(live, "groups", group_id, version="3.13")) == keys
    keys |= {"group_snapshot_id", "source_group_id"}
    assert set(shown(live, "groups", group_id, "?list_volume=True", version="3.24")) == keys
    assert set(shown(live, "groups", group_id, version="3.25")) == keys
    assert shown(live, "groups", group_id, "?list_volume=True", version="3.25")["volumes"] == [one]
    assert set(shown(live, "groups", group_id, version="3.38")) == keys | {"replication_status"}
    assert set(shown(live, "groups", group_id, version="3.58")) == keys | {"replication_status", "project_id"}
    assert "group_id" not in shown(live, "volumes", one, version="3.12")
    assert shown(live, "volumes", one, version="3.13")["group_id"] == group_id
    listed = live.get("/v3/groups/detail?list_volume=True").json["groups"]
    assert [found["volumes"] for found in listed] == [[one]]


def test_lists(live):
    ids = [group(live, name=name) for name in ("a", "b", "c")]
    answer = live.get("/v3/groups?limit=2").json
    assert [one["name"] for one in answer["groups"]] == ["c", "b"]
    assert set(answer["groups"][0]) == {"id", "name"}
    assert "marker=" + ids[1] in answer["group_links"][0]["href"]
    rest = live.get(f"/v3/groups?limit=2&marker={ids[1]}").json
    assert rest == {"groups": [{"id": ids[0], "name": "a"}]}
    assert [one["name"] for one in live.get("/v3/groups?name=b").json["groups"]] == ["b"]
    assert [one["name"] for one in live.get("/v3/groups?sort=name:asc").json["groups"]] == ["a", "b", "c"]
    assert "Invalid filters" in message(live.get("/v3/groups?odd=1"))
    with live.counted() as statements:
        live.get("/v3/groups/detail?list_volume=true")
    assert len(statements) <= 4, statements


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"volume_types": ["gold"]}, "group_type"),
        ({"group_type": "plain"}, "volume_types"),
        ({"group_type": "plain", "volume_types": []}, "volume_types"),
        ({"group_type": "plain", "volume_types": ["gold", "gold"]}, "non-unique"),
        ({"group_type": "plain", "volume_types": "gold"}, "volume_types"),
        ({"group_type": "plain", "volume_types": ["gold"], "odd": 1}, "Additional properties"),
        ({"group_type": "plain", "volume_types": ["gold"], "name": "n" * 256}, "name"),
        ({"group_type": "plain", "volume_types": ["gold"], "availability_zone": "mars"}, "'mars' is invalid"),
        ({"group_type": "default_cgsnapshot_type", "volume_types": ["gold"]}, "reserved for migrating"),
    ],
)
def test_bad_creates(live, body, told):
    assert told in message(live.post("/v3/groups", {"group": body}))
    assert live.get("/v3/groups").json == {"groups": []}


def test_what_a_create_names_must_be_there(live):
    for kind, types in (("odd", ["gold"]), ("plain", ["odd"])):
        answer = live.post("/v3/groups", {"group": {"group_type": kind, "volume_types": types}})
        assert "could not be found" in message(answer, 404)


def test_a_backend_must_fit_all_types(live):
    live.post("/v3/types", {"volume_type": {"name": "far", "extra_specs": {"volume_backend_name": "far"}}})
    answer = live.post("/v3/groups", {"group": {"group_type": "plain", "volume_types": ["gold", "far"]}})
    assert "No valid backend was found" in message(answer)
    group_type(live, "odd", consistent_group_snapshot_enabled="<is> False")
    answer = live.post("/v3/groups", {"group": {"group_type": "odd", "volume_types": ["gold"]}})
    assert "it does not have consistent_group_snapshot_enabled <is> False" in message(answer)


def test_quota(live):
    quotas = live.get(f"/v3/os-quota-sets/{DEFAULT_PROJECT}?usage=True").json["quota_set"]
    assert quotas["groups"] == {"limit": 4, "in_use": 0, "reserved": 0}
    ids = [group(live) for _ in range(4)]
    answer = live.post("/v3/groups", {"group": {"group_type": "plain", "volume_types": ["gold"]}})
    assert "Maximum number of groups of 4 exceeded" in message(answer, 413)
    act(live, "groups", ids[0], delete={})
    assert live.get(f"/v3/groups/{ids[0]}").status_code == 404
    group(live)
    used = live.get(f"/v3/os-quota-sets/{DEFAULT_PROJECT}?usage=True").json["quota_set"]["groups"]
    assert used["in_use"] == 4


def test_volumes_of_a_group_are_of_its_types(live):
    group_id = group(live)
    answer = live.post("/v3/volumes", {"volume": {"size": 1, "group_id": GONE, "volume_type": "gold"}})
    assert message(answer, 404) == f"Group {GONE} could not be found."
    answer = live.post("/v3/volumes", {"volume": {"size": 1, "group_id": group_id}})
    assert "volume_type must be provided when creating a volume in a group" in message(answer)
    answer = live.post("/v3/volumes", {"volume": {"size": 1, "group_id": group_id, "volume_type": "__DEFAULT__"}})
    assert "must be supported by this group" in message(answer)
    act(live, "groups", group_id, reset_status={"status": "error"})
    answer = live.post("/v3/volumes", {"volume": {"size": 1, "group_id": group_id, "volume_type": "gold"}})
    assert "must be one of 'available, creating' values" in message(answer)


def test_update(live):
    group_id, other = group(live), group(live)
    inside, outside = volume(live, group_id), volume(live)
    path = f"/v3/groups/{group_id}"
    assert live.put(path, {"group": {"name": " new ", "remove_volumes": inside}}).status_code == 202
    assert (shown(live, "groups", group_id)["name"], of_group(live, group_id)) == ("new", [])
    assert live.put(path, {"group": {"add_volumes": f"{inside},{outside}"}}).status_code == 202
    assert of_group(live, group_id) == sorted([inside, outside])
    for body, told in (
        ({}, "is required"),
        ({"name": "new"}, "no valid name, description, add_volumes"),
        ({"add_volumes": inside}, "no valid name, description, add_volumes"),
        ({"add_volumes": inside, "remove_volumes": inside}, "are in both add and remove volume list"),
        ({"add_volumes": GONE}, "volume cannot be found"),
        ({"remove_volumes": GONE}, "it is not in the group"),
        ({"odd": "1"}, "Additional properties"),
    ):
        assert told in message(live.put(path, {"group": body})), body
    answer = live.put(f"/v3/groups/{other}", {"group": {"add_volumes": inside}})
    assert f"it is already in group {group_id}" in message(answer)
    plain = volume(live, volume_type="__DEFAULT__")
    assert "is not supported by the group" in message(live.put(path, {"group": {"add_volumes": plain}}))
    act(live, "groups", group_id, reset_status={"status": "error"})
    assert "Group status must be available" in message(live.put(path, {"group": {"remove_volumes": inside}}))


def test_reset_status(live):
    group_id = group(live)
    act(live, "groups", group_id, 404, version="3.19", reset_status={"status": "error"})
    for status in ("creating", "available", "ERROR"):
        act(live, "groups", group_id, version="3.20", reset_status={"status": status})
        assert shown(live, "groups", group_id)["status"] == status.lower()
    for body in ({"status": "odd"}, {"status": ""}, {}):
        act(live, "groups", group_id, 400, reset_status=body)
    act(live, "groups", GONE, 404, reset_status={"status": "error"})


def test_a_group_snapshot_from_start_to_end(live):
    group_id = group(live)
    volumes = [volume(live, group_id) for _ in range(2)]
    assert live.get("/v3/group_snapshots", version="3.13").status_code == 404
    taken = snapshot(live, group_id)
    found = settled(live, "group_snapshots", taken)
    assert found == {
        "id": taken,
        "group_id": group_id,
        "group_type_id": live.plain,
        "status": "available",
        "created_at": found["created_at"],
        "name": "s",
        "description": None,
        "project_id": DEFAULT_PROJECT,
    }
    assert "project_id" not in shown(live, "group_snapshots", taken, version="3.57")
    made = members(live, taken)
    assert [one["status"] for one in made] == ["available"] * 2
    assert sorted(one["volume_id"] for one in made) == sorted(volumes)
    assert "must not be part of a group" in message(live.delete(f"/v3/snapshots/{made[0]['id']}"))
    refused = act(live, "groups", group_id, 400, delete={"delete-volumes": True})
    assert message(refused) == "Invalid Group: Group has existing snapshots."
    assert live.get("/v3/group_snapshots").json == {"group_snapshots": [{"id": taken, "name": "s"}]}
    assert live.delete(f"/v3/group_snapshots/{taken}").status_code == 202
    assert live.cloud.settled(taken).state == "succeeded"
    assert live.get(f"/v3/group_snapshots/{taken}").status_code == 404
    assert members(live, taken) == []
    act(live, "groups", group_id, delete={"delete-volumes": True})
    live.cloud.settled(group_id)
    assert list(live.cloud.driver.list_objects()) == []


def test_lists_of_group_snapshots(live):
    group_id = group(live)
    ids = [snapshot(live, group_id) for _ in range(3)]
    for one in ids:
        live.cloud.settled(one)
    assert len(live.get("/v3/group_snapshots?limit=1", version="3.28").json["group_snapshots"]) == 3
    page = live.get("/v3/group_snapshots/detail?limit=1", version="3.29").json
    assert [one["id"] for one in page["group_snapshots"]] == [ids[2]]
    assert "marker=" + ids[2] in page["group_snapshot_links"][0]["href"]
    assert live.get(f"/v3/group_snapshots?group_id={GONE}").json["group_snapshots"] == []
    assert "Invalid filters" in message(live.get("/v3/group_snapshots?odd=1"))


def test_bad_group_snapshots(live):
    for body in ({}, {"group_id": "odd"}, {"group_id": GONE, "odd": 1}):
        assert live.post("/v3/group_snapshots", {"group_snapshot": body}).status_code == 400
    answer = live.post("/v3/group_snapshots", {"group_snapshot": {"group_id": GONE}})
    assert message(answer, 404) == f"Group {GONE} could not be found."
    group_id = group(live)
    act(live, "groups", group_id, reset_status={"status": "error"})
    answer = live.post("/v3/group_snapshots", {"group_snapshot": {"group_id": group_id}})
    assert "status must be available" in message(answer)


def test_reset_status_of_a_group_snapshot(live):
    taken = snapshot(live, group(live))
    live.cloud.settled(taken)
    act(live, "group_snapshots", taken, 404, version="3.18", reset_status={"status": "error"})
    act(live, "group_snapshots", taken, version="3.19", reset_status={"status": "creating"})
    assert shown(live, "group_snapshots", taken)["status"] == "creating"
    assert "status must be available or error" in message(live.delete(f"/v3/group_snapshots/{taken}"))
    act(live, "group_snapshots", taken, 400, reset_status={"status": "odd"})


def test_a_group_of_a_group_and_of_its_snapshot(live):
    group_id = group(live)
    source = volume(live, group_id)
    taken = snapshot(live, group_id)
    live.cloud.settled(taken)
    for origin in ({"source_group_id": group_id}, {"group_snapshot_id": taken}):
        answer = live.post("/v3/groups/action", {"create-from-src": {"name": "copy", **origin}}, version="3.14")
        assert answer.status_code == 202, answer.text
        assert set(answer.json["group"]) == {"id", "name"}
        copy = settled(live, "groups", answer.json["group"]["id"])
        assert (copy["status"], copy["group_type"], copy["volume_types"]) == ("available", live.plain, [live.gold])
        assert {name: copy[name] for name in origin} == origin
        (made,) = of_group(live, copy["id"])
        details = shown(live, "volumes", made)
        assert (details["status"], details["size"], details["volume_type"]) == ("available", 1, "gold")
        assert source in (details["source_volid"], shown(live, "snapshots", members(live, taken)[0]["id"])["volume_id"])


def test_bad_copies_of_groups(live):
    empty = group(live)
    taken = snapshot(live, empty)
    live.cloud.settled(taken)
    for body, told in (
        ({"name": "n"}, "Exactly one of"),
        ({"source_group_id": empty, "group_snapshot_id": taken}, "Exactly one of"),
        ({"source_group_id": empty}, "Source Group is empty"),
        ({"group_snapshot_id": taken}, "Group snapshot is empty"),
        ({"source_group_id": empty, "odd": 1}, "Additional properties"),
    ):
        assert told in message(live.post("/v3/groups/action", {"create-from-src": body})), body
    for body in ({"source_group_id": GONE}, {"group_snapshot_id": GONE}):
        assert "could not be found" in message(live.post("/v3/groups/action", {"create-from-src": body}), 404)
    action = {"create-from-src": {"source_group_id": empty}}
    assert live.post("/v3/groups/action", action, version="3.13").status_code == 404


def test_replication(live):
    refused = act(live, "groups", group(live), 400, enable_replication={})
    assert "is not a replication group type" in message(refused)
    group_type(live, "mirrored", group_replication_enabled="<is> True")
    live.post("/v3/types", {"volume_type": {"name": "two", "extra_specs": {"replication_enabled": "<is> True"}}})
    single = group(live, group_type="mirrored")
    refused = act(live, "groups", single, 400, list_replication_targets={})
    assert "does not have 'replication_enabled' spec key set to '<is> True'" in message(refused)
    double = group(live, group_type="mirrored", volume_types=["two"])
    member = volume(live, double, volume_type="two")
    act(live, "groups", double, 404, version="3.37", enable_replication={})
    act(live, "groups", double, enable_replication={})
    assert shown(live, "groups", double)["replication_status"] == "enabled"
    told = act(live, "groups", double, 200, list_replication_targets={}).json
    assert told == {"replication_targets": []}
    assert "cannot fail over" in message(act(live, "groups", double, 400, failover_replication={}))
    act(live, "groups", double, disable_replication={})
    assert shown(live, "volumes", member)["replication_status"] == "disabled"
    refused = message(act(live, "groups", double, 400, disable_replication={}))
    assert "replication status must be ['enabled', 'error'], but current status is: disabled" in refused


def test_consistency_groups_as_old_clients_know_them(live):
    answer = live.post(
        "/v3/consistencygroups", {"consistencygroup": {"volume_types": "gold,", "name": "cg"}}, version=None
    )
    assert answer.status_code == 202, answer.text
    cg = answer.json["consistencygroup"]["id"]
    found = shown(live, "consistencygroups", cg)
    keys = {"id", "status", "availability_zone", "created_at", "name", "description", "volume_types"}
    assert (set(found), found["status"], found["volume_types"]) == (keys, "available", [live.gold])
    one = volume(live, consistencygroup_id=cg)
    assert shown(live, "volumes", one, version="3.0")["consistencygroup_id"] == cg
    assert live.get("/v3/volumes/detail").json["volumes"][0]["consistencygroup_id"] == cg
    assert "can only be operated by CG APIs" in message(live.get(f"/v3/groups/{cg}"))
    assert live.get("/v3/groups").json == {"groups": []}
    assert [row["id"] for row in live.get("/v3/consistencygroups/detail").json["consistencygroups"]] == [cg]
    answer = live.post("/v3/cgsnapshots", {"cgsnapshot": {"consistencygroup_id": cg, "name": "cs"}})
    assert answer.status_code == 202, answer.text
    taken = answer.json["cgsnapshot"]["id"]
    told = settled(live, "cgsnapshots", taken)
    assert (told["status"], told["consistencygroup_id"], told["name"]) == ("available", cg, "cs")
    assert live.cloud.driver.calls[-1].verb == "create_group_snapshot"
    assert live.get("/v3/cgsnapshots").json == {"cgsnapshots": [{"id": taken, "name": "cs"}]}
    assert live.get("/v3/group_snapshots").json == {"group_snapshots": []}
    copies = []
    for origin in ({"cgsnapshot_id": taken}, {"source_cgid": cg}):
        body = {"consistencygroup-from-src": {"name": "copy", **origin}}
        answer = live.post("/v3/consistencygroups/create_from_src", body)
        assert answer.status_code == 202, answer.text
        copies.append(answer.json["consistencygroup"]["id"])
        assert settled(live, "consistencygroups", copies[-1])["status"] == "available"
    body = {"consistencygroup": {"name": "renamed", "remove_volumes": one}}
    assert live.put(f"/v3/consistencygroups/{cg}/update", body).status_code == 202
    assert shown(live, "consistencygroups", cg)["name"] == "renamed"
    assert live.put(f"/v3/consistencygroups/{cg}", {"consistencygroup": {"add_volumes": one}}).status_code == 202
    assert live.delete(f"/v3/cgsnapshots/{taken}").status_code == 202
    live.cloud.settled(taken)
    assert live.get(f"/v3/cgsnapshots/{taken}").status_code == 404
    assert "still contains volumes" in message(live.post(f"/v3/consistencygroups/{cg}/delete", None))
    for each in (cg, *copies):
        answer = live.post(f"/v3/consistencygroups/{each}/delete", {"consistencygroup": {"force": True}})
        assert answer.status_code == 202, answer.text
        live.cloud.settled(each)
    assert live.get("/v3/consistencygroups").json == {"consistencygroups": []}
    assert list(live.cloud.driver.list_objects()) == []


def test_bad_calls_on_consistency_groups(live):
    for body, told in (
        ({"name": "n"}, "volume_types"),
        ({"name": "n", "volume_types": ""}, "volume_types must be provided to create consistency group n"),
    ):
        assert told in message(live.post("/v3/consistencygroups", {"consistencygroup": body}))
    for body, told in (
        ({"name": "n"}, "must be provided"),
        ({"source_cgid": GONE, "cgsnapshot_id": GONE}, "Cannot provide both"),
    ):
        answer = live.post("/v3/consistencygroups/create_from_src", {"consistencygroup-from-src": body})
        assert told in message(answer)
    made = live.post("/v3/consistencygroups", {"consistencygroup": {"volume_types": "gold"}})
    path = f"/v3/consistencygroups/{made.json['consistencygroup']['id']}/update"
    blank = {"consistencygroup": {"name": ""}}
    assert "can not be all empty" in message(live.put(path, blank, version="3.5"))
    assert live.put(path, blank, version="3.6").status_code == 202
    assert "Must specify one or more" in message(live.put(path, {"consistencygroup": {}}, version="3.6"))


def test_types_in_use_stay(live):
    group(live)
    assert "still in use" in message(live.delete(f"/v3/group_types/{live.plain}"))
    assert live.delete(f"/v3/types/{live.gold}").status_code == 400


def test_another_project_finds_nothing(live, api_as):
    group_id = group(live)
    taken = snapshot(live, group_id)
    live.cloud.settled(taken)
    other = api_as("member", project="other")
    calls = [
        ("GET", f"/v3/groups/{group_id}", None),
        ("PUT", f"/v3/groups/{group_id}", {"group": {"name": "n"}}),
        *(
            ("POST", f"/v3/groups/{group_id}/action", {action: {}})
            for action in ("delete", "enable_replication", "disable_replication", "failover_replication")
        ),
        ("POST", f"/v3/groups/{group_id}/action", {"list_replication_targets": {}}),
        ("POST", "/v3/groups/action", {"create-from-src": {"source_group_id": group_id}}),
        ("POST", "/v3/groups/action", {"create-from-src": {"group_snapshot_id": taken}}),
        ("POST", "/v3/volumes", {"volume": {"size": 1, "volume_type": "gold", "group_id": group_id}}),
        ("POST", "/v3/group_snapshots", {"group_snapshot": {"group_id": group_id}}),
        ("GET", f"/v3/group_snapshots/{taken}", None),
        ("DELETE", f"/v3/group_snapshots/{taken}", None),
        ("GET", f"/v3/consistencygroups/{group_id}", None),
        ("PUT", f"/v3/consistencygroups/{group_id}/update", {"consistencygroup": {"name": "n"}}),
        ("PUT", f"/v3/consistencygroups/{group_id}", {"consistencygroup": {"name": "n"}}),
        ("POST", f"/v3/consistencygroups/{group_id}/delete", {"consistencygroup": {"force": True}}),
        ("POST", "/v3/consistencygroups/create_from_src", {"consistencygroup-from-src": {"source_cgid": group_id}}),
        ("POST", "/v3/cgsnapshots", {"cgsnapshot": {"consistencygroup_id": group_id}}),
        ("GET", f"/v3/cgsnapshots/{taken}", None),
        ("DELETE", f"/v3/cgsnapshots/{taken}", None),
    ]
    for method, path, body in calls:
        answer = other.call(method, path, body)
        assert answer.status_code == 404, (method, path, body, answer.text)
    for path in ("groups", "group_snapshots", "consistencygroups", "cgsnapshots"):
        assert other.get(f"/v3/{path}").json[path] == []
    act(other, "groups", group_id, 403, reset_status={"status": "error"})
    act(other, "group_snapshots", taken, 403, reset_status={"status": "error"})
