"""Calls on what lies on a backend and is managed by nobody, as requests; what they do is in tests/flows."""

import json

import pytest

GONE = "0b3d8b1e-0000-4000-8000-00000000000f"
VOLUME = "0b3d8b1e-0000-4000-8000-000000000001"
SNAPSHOT = "0b3d8b1e-0000-4000-8000-000000000002"
REF = {"source-name": "somewhere"}


@pytest.fixture
def host(api):
    return f"{api.cloud.backend.name}#one"


def unmanaged(api, *sizes):
    """Volumes that nobody manages any more; their names, in order."""
    names = []
    for size in sizes:
        volume = api.post("/v3/volumes", {"volume": {"size": size}}).json["volume"]["id"]
        api.cloud.settled(volume)
        assert api.post(f"/v3/volumes/{volume}/action", {"os-unmanage": None}).status_code == 202
        api.cloud.settled(volume)
        assert api.get(f"/v3/volumes/{volume}").status_code == 404
        names.append(f"volume-{volume}")
    return names


def listed(api, host, query="", path="manageable_volumes"):
    answer = api.get(f"/v3/{path}", query_string=f"host={host.replace('#', '%23')}{query}")
    assert answer.status_code == 200, answer.text
    return answer.json["manageable-volumes"]


@pytest.mark.parametrize("path", ["os-volume-manage", "manageable_volumes"])
def test_manage_a_volume(api, host, path):
    with api.cloud.running():
        (name,) = unmanaged(api, 2)
        body = {"host": host, "ref": {"source-name": name}, "name": " n ", "metadata": {"k": "v"}, "bootable": "true"}
        answer = api.post(f"/v3/{path}", {"volume": body})
        assert answer.status_code == 202, answer.text
        shown = answer.json["volume"]
        assert (shown["status"], shown["size"], shown["name"], shown["bootable"]) == ("creating", 0, "n", "true")
        api.cloud.settled(shown["id"])
        shown = api.get(f"/v3/volumes/{shown['id']}").json["volume"]
    assert (shown["status"], shown["size"], shown["metadata"]) == ("available", 2, {"k": "v"})
    assert shown["os-vol-host-attr:host"] == host


def test_a_bad_reference_ends_in_error(api, host):
    with api.cloud.running():
        volume = api.post("/v3/os-volume-manage", {"volume": {"host": host, "ref": REF}}).json["volume"]
        api.cloud.settled(volume["id"])
        assert api.get(f"/v3/volumes/{volume['id']}").json["volume"]["status"] == "error"


def test_manage_a_snapshot(api, host):
    with api.cloud.running():
        volume = api.post("/v3/volumes", {"volume": {"size": 1}}).json["volume"]["id"]
        api.cloud.settled(volume)
        snapshot = api.post("/v3/snapshots", {"snapshot": {"volume_id": volume}}).json["snapshot"]["id"]
        api.cloud.settled(snapshot)
        assert api.post(f"/v3/snapshots/{snapshot}/action", {"os-unmanage": {}}).status_code == 202
        api.cloud.settled(snapshot)
        body = {"volume_id": volume, "ref": {"source-name": f"_snapshot-{snapshot}"}, "name": "n"}
        answer = api.post("/v3/os-snapshot-manage", {"snapshot": body})
        assert (answer.status_code, answer.json["snapshot"]["status"]) == (202, "creating")
        api.cloud.settled(answer.json["snapshot"]["id"])
        shown = api.get(f"/v3/snapshots/{answer.json['snapshot']['id']}").json["snapshot"]
        assert (shown["status"], shown["size"], shown["volume_id"]) == ("available", 1, volume)
        query = f"host={host.replace('#', '%23')}"
        (told,) = api.get("/v3/manageable_snapshots/detail", query_string=query).json["manageable-snapshots"]
    assert (told["cinder_id"], told["source_reference"]) == (shown["id"], {"source-name": f"volume-{volume}"})


def test_the_list(api, host):
    with api.cloud.running():
        names = sorted(unmanaged(api, 3, 1, 2))
        managed = api.post("/v3/volumes", {"volume": {"size": 5}}).json["volume"]["id"]
        api.cloud.settled(managed)
        found = listed(api, host, "&sort=size:asc")
        assert [one["size"] for one in found] == [1, 2, 3, 5]
        assert set(found[0]) == {"reference", "size", "safe_to_manage"}
        assert [one["size"] for one in listed(api, host, "&sort=size:desc&limit=2&offset=1")] == [3, 2]
        by_name = listed(api, host, "&sort=reference:asc")
        assert [one["reference"]["source-name"] for one in by_name] == sorted([*names, f"volume-{managed}"])
        marker = json.dumps(by_name[1]["reference"])
        assert listed(api, host, f"&sort=reference:asc&marker={marker}") == by_name[2:]
        (told,) = (one for one in listed(api, host, path="os-volume-manage/detail") if one["cinder_id"] == managed)
    assert (told["safe_to_manage"], told["reason_not_safe"], told["extra_info"]) == (False, "already managed", None)


@pytest.mark.parametrize(
    "query", ["", "host=h&cluster=c", "host=h&sort=name", "host=h&sort=size:up", "host=h&limit=x", "host=h&offset=-1"]
)
def test_a_list_that_is_refused(api, query):
    assert api.get("/v3/manageable_volumes", query_string=query).status_code == 400
    assert api.get("/v3/manageable_snapshots/detail", query_string=query).status_code == 400


def test_what_is_refused(api, host):
    for body in (
        {},
        {"host": host},
        {"ref": REF},
        {"host": host, "ref": "text"},
        {"host": host, "ref": {"source-name": 5}},
        {"host": "nowhere@one#one", "ref": REF},
        {"host": host, "ref": REF, "cluster": "c"},
        {"host": host, "ref": REF, "size": 1},
        {"host": host, "ref": REF, "bootable": "perhaps"},
    ):
        assert api.post("/v3/os-volume-manage", {"volume": body}).status_code == 400, body
    assert (
        api.post("/v3/os-volume-manage", {"volume": {"host": host, "ref": REF, "volume_type": "x"}}).status_code == 404
    )
    assert api.post("/v3/manageable_volumes", {}, version="3.7").status_code == 404
    assert api.get("/v3/manageable_volumes", query_string="host=nowhere").status_code == 404
    assert api.post("/v3/os-snapshot-manage", {"snapshot": {"volume_id": GONE, "ref": REF}}).status_code == 404
    assert api.post("/v3/os-snapshot-manage", {"snapshot": {"ref": REF}}).status_code == 400


def test_unmanage(api, host):
    api.insert("volumes", VOLUME, host=host)
    api.insert("snapshots", SNAPSHOT, volume_id=VOLUME, host=host)
    assert api.post(f"/v3/volumes/{VOLUME}/action", {"os-unmanage": None}).status_code == 400
    assert api.post(f"/v3/snapshots/{SNAPSHOT}/action", {"os-unmanage": None}).status_code == 202
    assert api.get(f"/v3/snapshots/{SNAPSHOT}").json["snapshot"]["status"] == "unmanaging"
    assert api.post(f"/v3/snapshots/{SNAPSHOT}/action", {"os-unmanage": None}).status_code == 400
    for kind in ("volumes", "snapshots"):
        assert api.post(f"/v3/{kind}/{GONE}/action", {"os-unmanage": None}).status_code == 404


def test_managing_by_role(api_as, api, host):
    api.insert("volumes", VOLUME, host=host)
    member = api_as("member")
    assert member.post("/v3/os-volume-manage", {"volume": {"host": host, "ref": REF}}).status_code == 403
    assert member.get("/v3/manageable_volumes", query_string="host=h").status_code == 403
    assert member.post(f"/v3/volumes/{VOLUME}/action", {"os-unmanage": None}).status_code == 403
