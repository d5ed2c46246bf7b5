"""Private types, and which type a volume has where none is named."""

import pytest

from tests.api.test_volumes import message

PROJECT = "0b3d8b1e000040008000000000000aaa"
OTHER = "0b3d8b1e000040008000000000000bbb"


@pytest.fixture
def private(api):
    body = {
        "name": "private",
        "os-volume-type-access:is_public": False,
        "extra_specs": {"secret": "s", "multiattach": "<is> False"},
    }
    return api.post("/v3/types", {"volume_type": body}).json["volume_type"]["id"]


def act(api, type_id, action, project=PROJECT):
    return api.post(f"/v3/types/{type_id}/action", {action: {"project": project}})


def names(api, query=""):
    return {one["name"] for one in api.get(f"/v3/types{query}").json["volume_types"]}


def test_only_a_project_with_access_sees_and_uses_it(api, api_as, private):
    assert act(api, private, "addProjectAccess").status_code == 202
    assert api.get(f"/v3/types/{private}/os-volume-type-access").json == {
        "volume_type_access": [{"volume_type_id": private, "project_id": PROJECT}]
    }
    member, stranger = api_as("member", project=PROJECT), api_as("member", project=OTHER)
    assert names(member) == {"__DEFAULT__", "private"}
    assert names(stranger) == {"__DEFAULT__"}
    assert member.get(f"/v3/types/{private}").status_code == 200
    hidden = stranger.get(f"/v3/types/{private}")
    assert message(hidden, 404) == f"Volume type {private} could not be found."
    for named in (private, "private"):
        body = {"volume": {"size": 1, "volume_type": named}}
        assert stranger.post("/v3/volumes", body).status_code == 404
        made = member.post("/v3/volumes", body)
        assert made.status_code == 202
        assert made.json["volume"]["status"] == "error", "no pool has the type's spec, but it was found"
    assert act(api, private, "removeProjectAccess").status_code == 202
    assert member.get(f"/v3/types/{private}").status_code == 404


def test_a_list_shows_an_administrator_what_is_asked_for(api, private):
    assert names(api) == {"__DEFAULT__"}
    assert names(api, "?is_public=None") == {"__DEFAULT__", "private"}
    assert names(api, "?is_public=False") == {"private"}
    bad = api.get("/v3/types?is_public=perhaps")
    assert message(bad) == "Invalid is_public filter [perhaps]"


def test_access_is_said_once_and_of_private_types(api, private):
    act(api, private, "addProjectAccess")
    again = act(api, private, "addProjectAccess")
    assert message(again, 409) == f"Volume type access for {private} / {PROJECT} combination already exists."
    assert again.status_code == 409
    gone = act(api, private, "removeProjectAccess", OTHER)
    assert message(gone, 404) == f"Volume type access not found for {private} / {OTHER} combination."
    assert gone.status_code == 404
    public = api.post("/v3/types", {"volume_type": {"name": "public"}}).json["volume_type"]["id"]
    for action in ("addProjectAccess", "removeProjectAccess"):
        refused = act(api, public, action)
        assert refused.status_code == 400
        assert message(refused).endswith("Type access modification is not applicable to public volume type.")
        assert api.post(f"/v3/types/{private}/action", {action: {}}).status_code == 400
    listed = api.get(f"/v3/types/{public}/os-volume-type-access")
    assert message(listed, 404) == "Access list not available for public volume types."


def test_access_is_the_administrators_matter(api_as, private):
    member = api_as("member", project=PROJECT)
    assert act(member, private, "addProjectAccess").status_code == 403
    assert member.get(f"/v3/types/{private}/os-volume-type-access").status_code == 403
    shown = member.get("/v3/types").json["volume_types"][0]
    assert shown["os-volume-type-access:is_public"] is True
    assert "os-volume-type-access:is_public" not in api_as("reader").get("/v3/types").json["volume_types"][0]


def test_filters_by_extra_specs_tell_nothing_hidden(api, api_as, private):
    act(api, private, "addProjectAccess")
    assert names(api, "?is_public=None&extra_specs={'secret': 's'}") == {"private"}
    member = api_as("member", project=PROJECT)
    assert names(member, "?extra_specs={'secret': 's'}") == set()
    assert names(member, "?extra_specs={'multiattach': '<is> False'}") == {"private"}
    assert api.get("/v3/types?extra_specs=odd").status_code == 400
    assert api.get("/v3/types?x=1", version="3.51").status_code == 200
    assert api.get("/v3/types?x=1", version="3.52").status_code == 400


def test_a_projects_default_type(api, api_as, private):
    path = f"/v3/default-types/{PROJECT}"
    none = api.get(path)
    assert message(none, 404) == f"Default type for project {PROJECT} not found."
    quick = api.post("/v3/types", {"volume_type": {"name": "quick"}}).json["volume_type"]["id"]
    put = api.put(path, {"default_type": {"volume_type": "quick"}})
    assert put.status_code == 200
    assert put.json == {"default_type": {"project_id": PROJECT, "volume_type_id": quick}}
    assert api.get(path).json == put.json
    assert api.get("/v3/default-types").json == {"default_types": [put.json["default_type"]]}
    member = api_as("member", project=PROJECT)
    assert member.get("/v3/types/default").json["volume_type"]["id"] == quick
    assert member.post("/v3/volumes", {"volume": {"size": 1}}).json["volume"]["volume_type"] == "quick"
    assert api_as("member", project=OTHER).get("/v3/types/default").json["volume_type"]["name"] == "__DEFAULT__"
    assert member.get(path).status_code == 403
    kept = api.delete(f"/v3/types/{quick}")
    assert kept.status_code == 400
    assert message(kept) == f"The volume type {quick} is a default volume type and cannot be deleted."
    assert api.delete(path).status_code == 204
    assert api.delete(path).status_code == 204
    assert api.get(path).status_code == 404


def test_default_types_refuse(api):
    path = f"/v3/default-types/{PROJECT}"
    unknown = api.put(path, {"default_type": {"volume_type": "nothing"}})
    assert message(unknown) == "Volume type nothing could not be found."
    assert api.put(path, {"default_type": {}}).status_code == 400
    assert api.get(path, version="3.61").status_code == 404
    assert api.get("/v3/default-types", version="3.61").status_code == 404
