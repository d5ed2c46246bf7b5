"""The life of volumes, snapshots and backups through the API, made real by an engine on the simulated driver."""

import pytest

from breezeblock.db import pools
from breezeblock.model import clock

GONE = "0b3d8b1e-0000-4000-8000-00000000000f"
VOLUME = "0b3d8b1e-0000-4000-8000-000000000001"


@pytest.fixture
def live(api):
    """The API with the engine at work."""
    with api.cloud.running():
        yield api


def made(api, **volume):
    """A volume, once its flow has ended."""
    answer = api.post("/v3/volumes", {"volume": {"size": 1, **volume}})
    assert answer.status_code == 202, answer.text
    assert answer.json["volume"]["status"] == "creating"
    return settled(api, "volumes", answer.json["volume"]["id"])


def settled(api, kind, resource_id):
    api.cloud.settled(resource_id)
    return api.get(f"/v3/{kind}/{resource_id}").json[kind.removesuffix("s")]


def act(api, path, status, **action):
    answer = api.post(f"/v3/{path}/action", action)
    assert answer.status_code == status, answer.text
    return answer


def message(answer, status=400):
    assert answer.status_code == status, answer.text
    return next(iter(answer.json.values()))["message"]


def test_a_volume_from_start_to_end(live):
    volume = made(live, size="2", name="  zd2 ", description=" d ", metadata={"k": "v"})
    assert (volume["status"], volume["size"], volume["name"], volume["description"]) == ("available", 2, "zd2", "d")
    path = f"volumes/{volume['id']}"
    act(live, path, 202, **{"os-extend": {"new_size": "3"}})
    assert settled(live, "volumes", volume["id"])["size"] == 3
    changed = live.put(f"/v3/{path}", {"volume": {"name": "new", "description": None, "metadata": {"a": "b"}}})
    shown = changed.json["volume"]
    assert (shown["name"], shown["description"], shown["metadata"]) == ("new", None, {"a": "b"})
    assert live.delete(f"/v3/{path}").status_code == 202
    live.cloud.settled(volume["id"])
    assert live.get(f"/v3/{path}").status_code == 404


def test_all_spellings_of_a_create(live):
    spelled = {"display_name": "n", "display_description": "d", "snapshot_id": None, "multiattach": "false"}
    volume = made(live, **spelled, volume_type="__DEFAULT__", imageRef=None, availability_zone="nova")
    assert (volume["name"], volume["description"]) == ("n", "d")
    hints = {"volume": {"size": 1}, "OS-SCH-HNT:scheduler_hints": {"same_host": []}}
    assert live.post("/v3/volumes", hints).status_code == 202
    unknown = {"volume": {"size": 1, "colour": "red"}}
    assert live.post("/v3/volumes", unknown, version="3.52").status_code == 202
    assert live.post("/v3/volumes", unknown, version="3.53").status_code == 400


@pytest.mark.parametrize(
    ("volume", "status"),
    [
        ({}, 400),
        ({"size": None}, 400),
        ({"size": -1}, 400),
        ({"size": "x"}, 400),
        ({"size": 2**31}, 400),
        ({"size": 1.5}, 400),
        ({"size": 1, "name": "x" * 256}, 400),
        ({"size": 1, "metadata": {"": "v"}}, 400),
        ({"size": 1, "metadata": {"k": "x" * 256}}, 400),
        ({"size": 1, "metadata": {"k%": "v"}}, 400),
        ({"size": 1, "multiattach": True}, 400),
        ({"size": 1, "availability_zone": "moon"}, 400),
        ({"size": 1, "volume_type": "gold"}, 404),
        ({"size": 1, "snapshot_id": GONE}, 404),
        ({"size": 1, "snapshot_id": "x"}, 400),
        ({"size": 1, "source_volid": GONE}, 404),
        ({"size": 1, "source_replica": GONE}, 404),
        ({"size": 1, "backup_id": GONE}, 404),
        ({"size": 1, "group_id": GONE}, 404),
        ({"size": 1, "imageRef": GONE}, 400),
        ({"size": 1, "imageRef": "no such image"}, 400),
        ({"size": 1, "snapshot_id": GONE, "source_volid": GONE}, 400),
        ({"size": 200000}, 413),
    ],
)
def test_creates_that_are_refused(api, volume, status):
    answer = api.post("/v3/volumes", {"volume": volume})
    assert answer.status_code == status, answer.text
    assert api.get("/v3/volumes").json["volumes"] == []
    if status == 413:
        assert answer.headers["retry-after"] == "0"
        assert answer.json["overLimit"]["retryAfter"] == "0"


def test_a_replica_is_asked_of_a_volume_without_one(live):
    volume = made(live)
    answer = live.post("/v3/volumes", {"volume": {"source_replica": volume["id"]}})
    assert "has no replica" in message(answer)
    shown = live.get(f"/v3/volumes/{volume['id']}/replication").json["replication"]
    assert shown == {"volume_id": volume["id"], "status": "disabled", "last_in_step_at": None}


def test_snapshots_and_what_is_made_of_them(live):
    volume = made(live)
    answer = live.post("/v3/snapshots", {"snapshot": {"volume_id": volume["id"], "name": "s", "metadata": {"k": "v"}}})
    assert answer.status_code == 202, answer.text
    snapshot = settled(live, "snapshots", answer.json["snapshot"]["id"])
    assert (snapshot["status"], snapshot["size"], snapshot["metadata"]) == ("available", 1, {"k": "v"})
    assert snapshot["os-extended-snapshot-attributes:progress"] == "100%"
    clone = made(live, size=None, snapshot_id=snapshot["id"])
    assert (clone["snapshot_id"], clone["size"]) == (snapshot["id"], 1)
    assert "dependent snapshots" in message(live.delete(f"/v3/volumes/{volume['id']}"))
    changed = live.put(f"/v3/snapshots/{snapshot['id']}", {"snapshot": {"name": "t"}})
    assert changed.json["snapshot"]["name"] == "t"
    assert live.put(f"/v3/snapshots/{snapshot['id']}", {"snapshot": {}}).status_code == 400
    assert live.delete(f"/v3/volumes/{volume['id']}?cascade=True").status_code == 202
    live.cloud.settled(volume["id"])
    assert live.get(f"/v3/snapshots/{snapshot['id']}").status_code == 404


def test_force_of_a_snapshot(live):
    volume = api_volume_in_use(live)
    asked = {"volume_id": volume}
    assert "status must be available" in message(live.post("/v3/snapshots", {"snapshot": asked}, version="3.65"))
    forced = {"snapshot": asked | {"force": "true"}}
    assert live.post("/v3/snapshots", forced, version="3.65").status_code == 202
    assert live.post("/v3/snapshots", {"snapshot": asked}, version="3.66").status_code == 202
    assert live.post("/v3/snapshots", forced, version="3.66").status_code == 202
    assert "invalid" in message(live.post("/v3/snapshots", {"snapshot": asked | {"force": False}}, version="3.66"))


def api_volume_in_use(api):
    volume = made(api)["id"]
    act(api, f"volumes/{volume}", 202, **{"os-reset_status": {"status": "available"}})
    created = api.post("/v3/attachments", {"attachment": {"volume_uuid": volume, "connector": {"host": "h"}}})
    assert created.status_code == 200, created.text
    act(api, f"attachments/{created.json['attachment']['id']}", 204, **{"os-complete": None})
    return volume


def test_attachments(live):
    volume = made(live)["id"]
    reserved = live.post("/v3/attachments", {"attachment": {"volume_uuid": volume, "mode": "ro"}}, version="3.54")
    attachment = reserved.json["attachment"]
    assert (attachment["status"], attachment["attach_mode"], attachment["connection_info"]) == ("reserved", "ro", {})
    assert attachment["attached_at"] == ""
    path = f"/v3/attachments/{attachment['id']}"
    again = live.post("/v3/attachments", {"attachment": {"volume_uuid": volume}})
    assert "to reserve" in message(again)
    assert live.post(f"{path}/action", {"os-complete": None}, version="3.43").status_code == 404
    assert live.put(path, {"attachment": {"connector": {}}}).status_code == 400
    connected = live.put(path, {"attachment": {"connector": {"host": "node"}}}).json["attachment"]
    assert connected["connection_info"]["attachment_id"] == attachment["id"]
    assert connected["connection_info"]["driver_volume_type"]
    act(live, f"attachments/{attachment['id']}", 204, **{"os-complete": None})
    shown = live.get(f"/v3/volumes/{volume}").json["volume"]
    assert (shown["status"], shown["attachments"][0]["host_name"]) == ("in-use", "node")
    assert live.delete(f"/v3/volumes/{volume}").status_code == 400
    assert live.get(f"/v3/attachments?volume_id={volume}").json["attachments"][0]["id"] == attachment["id"]
    assert live.delete(path).json == {"attachments": []}
    assert live.get(f"/v3/volumes/{volume}").json["volume"]["status"] == "available"


def test_actions(live):
    volume = made(live)["id"]
    path = f"volumes/{volume}"
    act(live, path, 200, **{"os-set_bootable": {"bootable": "True"}})
    assert live.get(f"/v3/{path}").json["volume"]["bootable"] == "true"
    assert "not a boolean" in message(act(live, path, 400, **{"os-set_bootable": {"bootable": "perhaps"}}))
    act(live, path, 202, **{"os-update_readonly_flag": {"readonly": True}})
    assert live.get(f"/v3/{path}").json["volume"]["metadata"] == {"readonly": "True"}
    act(live, path, 200, **{"os-set_image_metadata": {"metadata": {"a": "b", "c": "d"}}})
    act(live, path, 200, **{"os-unset_image_metadata": {"key": "a"}})
    act(live, path, 404, **{"os-unset_image_metadata": {"key": "a"}})
    assert act(live, path, 200, **{"os-show_image_metadata": None}).json == {"metadata": {"c": "d"}}
    assert "greater than current size" in message(act(live, path, 400, **{"os-extend": {"new_size": 1}}))


def test_reset_status(live):
    volume = made(live)["id"]
    path = f"volumes/{volume}"

    def reset(expected, /, **body):
        return act(live, path, expected, **{"os-reset_status": body})

    reset(202, status="ERROR", attach_status="detached", migration_status="none")
    assert live.get(f"/v3/{path}").json["volume"]["status"] == "error"
    for wrong in ({}, {"status": "deleting"}, {"status": "in-use"}, {"status": "x"}, {"attach_status": "x"}):
        reset(400, **wrong)
    reset(400, migration_status="x")
    reset(202, migration_status="migrating")
    assert live.get(f"/v3/{path}").json["volume"]["migration_status"] == "migrating"
    reset(202, status="maintenance", migration_status="none")
    act(live, path, 202, **{"os-force_delete": None})
    live.cloud.settled(volume)
    assert live.get(f"/v3/{path}").status_code == 404


def test_reset_status_of_a_snapshot(api):
    api.insert("snapshots", VOLUME, volume_id=GONE)
    act(api, f"snapshots/{VOLUME}", 202, **{"os-reset_status": {"status": "error"}})
    assert api.get(f"/v3/snapshots/{VOLUME}").json["snapshot"]["status"] == "error"
    act(api, f"snapshots/{VOLUME}", 400, **{"os-reset_status": {"status": "in-use"}})


@pytest.mark.parametrize("kind", ["volumes", "snapshots"])
def test_metadata(api, kind):
    api.insert(kind, VOLUME, metadata={"a": "1"})
    path = f"/v3/{kind}/{VOLUME}/metadata"
    assert api.get(path).json == {"metadata": {"a": "1"}}
    assert api.post(path, {"metadata": {"b": "2"}}).json == {"metadata": {"a": "1", "b": "2"}}
    assert api.put(path, {"metadata": {"c d/e": ""}}).json == {"metadata": {"c d/e": ""}}
    assert api.put(f"{path}/f", {"meta": {"f": "3"}}).json == {"meta": {"f": "3"}}
    assert api.get(f"{path}/f").json == {"meta": {"f": "3"}}
    assert "mismatch" in message(api.put(f"{path}/g", {"meta": {"f": "3"}}))
    assert api.delete(f"{path}/f").status_code == 200
    assert api.delete(f"{path}/f").status_code == 404
    assert api.get(f"{path}/f").status_code == 404
    for wrong in ({"metadata": {"k": None}}, {"metadata": None}, {"metadata": {"k" * 256: "v"}}, {"meta": {}}, {}):
        assert api.post(path, wrong).status_code == 400
    assert api.get(path).json == {"metadata": {"c d/e": ""}}


def test_types(api):
    made = api.post("/v3/types", {"volume_type": {"name": " t ", "os-volume-type-access:is_public": "False"}})
    volume_type = made.json["volume_type"]
    assert (made.status_code, volume_type["name"], volume_type["is_public"]) == (200, "t", False)
    path = f"/v3/types/{volume_type['id']}"
    assert api.post("/v3/types", {"volume_type": {"name": "t"}}).status_code == 409
    assert api.post("/v3/types", {"volume_type": {"name": "  "}}).status_code == 400
    assert api.put(path, {"volume_type": {"name": "__DEFAULT__"}}).status_code == 409
    assert api.put(path, {"volume_type": {}}).status_code == 400
    assert api.put(path, {"volume_type": {"description": "d"}}).json["volume_type"]["description"] == "d"
    assert [one["name"] for one in api.get("/v3/types?is_public=None&sort=name").json["volume_types"]] == [
        "t",
        "__DEFAULT__",
    ]
    assert [one["name"] for one in api.get("/v3/types?is_public=true").json["volume_types"]] == ["__DEFAULT__"]
    assert api.post(f"{path}/extra_specs", {"extra_specs": {"a": "1"}}).json == {"extra_specs": {"a": "1"}}
    assert api.put(f"{path}/extra_specs/b", {"b": "2"}).json == {"b": "2"}
    assert api.put(f"{path}/extra_specs/b", {"c": "2"}).status_code == 400
    assert api.get(f"{path}/extra_specs").json == {"extra_specs": {"a": "1", "b": "2"}}
    assert api.get(f"{path}/extra_specs/b").json == {"b": "2"}
    assert api.delete(f"{path}/extra_specs/b").status_code == 202
    assert api.delete(f"{path}/extra_specs/b").status_code == 404
    api.insert("volumes", VOLUME, volume_type_id=volume_type["id"])
    assert "in use" in message(api.delete(path))
    assert "in use" in message(api.post(f"{path}/extra_specs", {"extra_specs": {"x": "y"}}))
    assert "default" in message(api.delete(f"/v3/types/{api.get('/v3/types/default').json['volume_type']['id']}"))


def test_private_types_are_not_for_everybody(api_as):
    secret = api_as("admin").post("/v3/types", {"volume_type": {"name": "t", "os-volume-type-access:is_public": False}})
    member = api_as("member")
    assert member.get(f"/v3/types/{secret.json['volume_type']['id']}").status_code == 404
    assert [one["name"] for one in member.get("/v3/types").json["volume_types"]] == ["__DEFAULT__"]


def test_backups(live):
    volume = made(live, metadata={"k": "v"})["id"]
    answer = live.post("/v3/backups", {"backup": {"volume_id": volume, "name": "b", "metadata": {"x": "y"}}})
    assert answer.status_code == 202, answer.text
    assert set(answer.json["backup"]) == {"id", "name", "links"}
    backup = settled(live, "backups", answer.json["backup"]["id"])
    assert (backup["status"], backup["metadata"], backup["volume_id"]) == ("available", {"x": "y"}, volume)
    path = f"/v3/backups/{backup['id']}"
    assert live.put(path, {"backup": {"name": "c"}}).json["backup"]["name"] == "c"
    restored = live.post(f"{path}/restore", {"restore": {"name": "r"}})
    assert restored.status_code == 202, restored.text
    assert set(restored.json["restore"]) == {"backup_id", "volume_id", "volume_name"}
    assert settled(live, "volumes", restored.json["restore"]["volume_id"])["status"] == "available"
    made_of_it = made(live, size=None, backup_id=backup["id"])
    assert made_of_it["status"] == "available"
    assert live.delete(path).status_code == 202
    live.cloud.settled(backup["id"])
    assert live.get(path).status_code == 404
    assert live.put(path, {"backup": {"name": "c"}}, version="3.8").status_code == 404


def test_quotas(api):
    path = "/v3/os-quota-sets/0b3d8b1e00004000800000000000000a"
    keys = {"volumes", "snapshots", "gigabytes", "backups", "backup_gigabytes", "per_volume_gigabytes", "groups"}
    keys |= {f"{part}___DEFAULT__" for part in ("volumes", "gigabytes", "snapshots")}
    assert set(api.get(path).json["quota_set"]) == keys | {"id"}
    assert set(api.get(f"{path}/defaults").json["quota_set"]) == keys | {"id"}
    assert api.get(f"{path}?usage=True").json["quota_set"]["volumes"] == {"limit": 1000, "in_use": 0, "reserved": 0}
    assert api.put(path, {"quota_set": {"volumes": "5"}}).json["quota_set"]["volumes"] == 5
    assert api.get(path).json["quota_set"]["volumes"] == 5
    assert api.put(path, {"quota_set": {"volumes": -2}}).status_code == 400
    assert api.put(path, {"quota_set": {"pears": 1}}).status_code == 400
    assert api.delete(path).status_code == 200
    assert api.get(path).json["quota_set"]["volumes"] == 1000


def test_a_limit_below_what_is_in_use(api):
    project = "0b3d8b1e00004000800000000000000a"
    api.insert("volumes", VOLUME, project_id=project, size=7)
    assert "Current usage is 7" in message(api.put(f"/v3/os-quota-sets/{project}", {"quota_set": {"gigabytes": 6}}))
    used = api.get(f"/v3/limits?project_id={project}").json["limits"]["absolute"]
    assert (used["totalGigabytesUsed"], used["totalVolumesUsed"]) == (7, 1)


def test_another_projects_quota(api_as):
    answer = api_as("member").get("/v3/os-quota-sets/0b3d8b1e00004000800000000000000a")
    assert answer.status_code == 403


def test_extensions(api):
    extensions = api.get("/v3/extensions").json["extensions"]
    assert {"name", "alias", "description", "updated", "links"} == set(extensions[0])
    assert api.get("/v3/extensions/os-quota-sets").json["extension"]["name"] == "Quotas"
    assert api.get("/v3/extensions/os-fly").status_code == 404


def test_services(live):
    with live.cloud.database.begin() as connection:
        pools.report_service(connection, "h@one", "cinder-volume", "nova", clock.now())
    (service,) = live.get("/v3/os-services").json["services"]
    assert (service["state"], service["status"], service["host"]) == ("up", "enabled", "h@one")
    assert service["backend_state"] == "up"
    assert "cluster" not in live.get("/v3/os-services", version="3.6").json["services"][0]
    assert live.get("/v3/os-services?binary=cinder-backup").json["services"] == []


@pytest.mark.parametrize(("kind", "wanted"), [("volumes", {"size": 1}), ("snapshots", {})])
def test_a_repeated_post_with_its_key_makes_nothing_twice(live, kind, wanted):
    noun = kind.removesuffix("s")
    body = {noun: wanted if kind == "volumes" else {"volume_id": made(live)["id"]}}

    def post(key, **more):
        return live.post(f"/v3/{kind}", {noun: body[noun] | more}, headers={"Idempotency-Key": key})

    first = post("key")
    assert first.status_code == 202
    assert post("key").json[noun]["id"] == first.json[noun]["id"]
    assert "another request" in message(post("key", name="other"), 409)
    assert post("new key").json[noun]["id"] != first.json[noun]["id"]
    assert "1 to 255" in message(post("x" * 300))
    for resource in (first, post("new key")):
        live.cloud.settled(resource.json[noun]["id"])
