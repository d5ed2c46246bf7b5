"""Group types and their specs (3.11), as Cinder answers them."""

import pytest

from tests.api.test_volumes import message


@pytest.fixture
def group_type(api):
    body = {"name": "consistent", "description": "d", "group_specs": {"a": "1", "b": None}}
    result = api.post("/v3/group_types", {"group_type": body})
    assert result.status_code == 202
    return result.json["group_type"]


def test_a_life(api, group_type):
    assert group_type == {
        "id": group_type["id"],
        "name": "consistent",
        "description": "d",
        "is_public": True,
        "group_specs": {"a": "1", "b": None},
    }
    path = f"/v3/group_types/{group_type['id']}"
    assert api.get(path).json == {"group_type": group_type}
    changed = api.put(path, {"group_type": {"name": "other", "is_public": False}})
    assert changed.status_code == 200
    assert changed.json["group_type"] == group_type | {"name": "other", "is_public": False}
    assert api.delete(path).status_code == 202
    for method, body in (("GET", None), ("DELETE", None), ("PUT", {"group_type": {"name": "x"}})):
        gone = api.call(method, path, body)
        assert message(gone, 404) == f"Group type {group_type['id']} could not be found."


def test_the_type_of_consistency_groups_is_there_from_the_start(api):
    listed = api.get("/v3/group_types").json["group_types"]
    assert [one["name"] for one in listed] == ["default_cgsnapshot_type"]
    assert listed[0]["group_specs"] == {"consistent_group_snapshot_enabled": "<is> True"}
    missing = api.get("/v3/group_types/default")
    assert message(missing, 404) == "Default group type can not be found."


def test_specs(api, group_type):
    path = f"/v3/group_types/{group_type['id']}/group_specs"
    added = api.post(path, {"group_specs": {"c": "3", "a": "2"}})
    assert (added.status_code, added.json) == (202, {"group_specs": {"c": "3", "a": "2"}})
    assert api.get(path).json == {"group_specs": {"a": "2", "b": None, "c": "3"}}
    changed = api.put(f"{path}/c", {"c": "4"})
    assert (changed.status_code, changed.json) == (200, {"c": "4"})
    assert api.get(f"{path}/c").json == {"c": "4"}
    assert api.delete(f"{path}/c").status_code == 202
    assert api.get(f"{path}/c").status_code == 404
    again = api.delete(f"{path}/c")
    assert message(again, 404) == f"Group Type {group_type['id']} has no specs with key c."
    mismatch = api.put(f"{path}/x", {"y": "1"})
    assert message(mismatch) == "Request body and URI mismatch"


@pytest.mark.parametrize(
    "body",
    [{}, {"group_type": {}}, {"group_type": {"name": ""}}, {"group_type": {"name": " "}}, {"group_type": {"x": 1}}],
)
def test_bad_bodies(api, body):
    assert api.post("/v3/group_types", body).status_code == 400


def test_a_name_is_taken_once(api, group_type):
    again = api.post("/v3/group_types", {"group_type": {"name": "consistent"}})
    assert message(again, 409) == "Group Type consistent already exists."
    other = api.post("/v3/group_types", {"group_type": {"name": "other"}}).json["group_type"]["id"]
    assert api.put(f"/v3/group_types/{other}", {"group_type": {"name": "consistent"}}).status_code == 409
    assert api.put(f"/v3/group_types/{other}", {"group_type": {"name": "other"}}).status_code == 200
    empty = api.put(f"/v3/group_types/{other}", {"group_type": {}})
    assert message(empty) == "Specify group type name, description or a combination thereof."


def test_who_sees_what(api, api_as, group_type):
    hidden = api.post("/v3/group_types", {"group_type": {"name": "hidden", "is_public": False}}).json["group_type"]

    def names(client, query=""):
        return {one["name"] for one in client.get(f"/v3/group_types{query}").json["group_types"]}

    public = {"default_cgsnapshot_type", "consistent"}
    assert names(api) == public
    assert names(api, "?is_public=None") == public | {"hidden"}
    assert names(api, "?is_public=false&name=passed-over") == {"hidden"}
    assert api.get("/v3/group_types?is_public=perhaps").status_code == 400
    member = api_as("member")
    assert names(member, "?is_public=None") == public
    assert "group_specs" not in member.get(f"/v3/group_types/{group_type['id']}").json["group_type"]
    assert member.get(f"/v3/group_types/{hidden['id']}").status_code == 404
    assert member.post("/v3/group_types", {"group_type": {"name": "mine"}}).status_code == 403
    assert member.get(f"/v3/group_types/{group_type['id']}/group_specs").status_code == 403


def test_not_before_3_11(api):
    assert api.get("/v3/group_types", version="3.10").status_code == 404
    assert api.get("/v3/group_types", version="3.11").status_code == 200


def test_pages(api, group_type):
    first = api.get("/v3/group_types?limit=1&sort=name:asc").json
    assert [one["name"] for one in first["group_types"]] == ["consistent"]
    assert "marker=" in first["group_type_links"][0]["href"]
