"""Messages that tell users what failed (3.3)."""

import pytest

from breezeblock.config import DEFAULT_PROJECT
from tests.api.test_volumes import message

NOBODY = "0b3d8b1e-0000-4000-8000-00000000000f"


@pytest.fixture
def volume(api):
    """One that no backend takes."""
    kind = api.post("/v3/types", {"volume_type": {"name": "odd", "extra_specs": {"vendor_name": "nobody"}}})
    assert kind.status_code == 200
    made = api.post("/v3/volumes", {"volume": {"size": 1, "volume_type": "odd"}})
    assert made.status_code == 202
    return made.json["volume"]


def test_what_no_backend_takes_is_in_error_and_tells_why(api, volume):
    assert api.get(f"/v3/volumes/{volume['id']}").json["volume"]["status"] == "error"
    told = api.get("/v3/messages").json["messages"]
    assert [{**told[0], "id": "", "links": "", "created_at": "", "guaranteed_until": ""}] == [
        {
            "id": "",
            "event_id": "VOLUME_VOLUME_001_003",
            "user_message": "schedule allocate volume:Could not find any available weighted backend.",
            "message_level": "ERROR",
            "created_at": "",
            "guaranteed_until": "",
            "request_id": told[0]["request_id"],
            "links": "",
            "resource_type": "VOLUME",
            "resource_uuid": volume["id"],
        }
    ]
    assert told[0]["request_id"].startswith("req-")
    assert told[0]["created_at"] < told[0]["guaranteed_until"]
    assert [link["rel"] for link in told[0]["links"]] == ["self", "bookmark"]
    assert api.get(f"/v3/messages/{told[0]['id']}").json == {"message": told[0]}
    explained = api.get(f"/v3/operations?resource_id={volume['id']}").json["operations"][0]
    assert "vendor_name" in explained["message"]
    assert api.delete(f"/v3/volumes/{volume['id']}").status_code == 202
    assert api.get(f"/v3/volumes/{volume['id']}").status_code == 404


def test_a_message_is_deleted(api, volume):
    told = api.get("/v3/messages").json["messages"][0]["id"]
    assert api.delete(f"/v3/messages/{told}").status_code == 204
    for method in ("GET", "DELETE"):
        assert message(api.call(method, f"/v3/messages/{told}"), 404) == f"Message {told} could not be found."


def test_filters_and_pages_come_with_3_5(api, volume):
    api.post("/v3/volumes", {"volume": {"size": 1, "volume_type": "odd"}})

    def count(query, version="3.71"):
        return len(api.get(f"/v3/messages{query}", version=version).json["messages"])

    assert count(f"?resource_uuid={volume['id']}") == 1
    assert count("?limit=1&sort=created_at:asc") == 1
    assert "messages_links" in api.get("/v3/messages?limit=1").json
    assert count("?resource_type=VOLUME_SNAPSHOT") == 0
    assert count("?event_id=VOLUME_VOLUME_001_003&message_level=ERROR") == 2
    assert count(f"?resource_uuid={volume['id']}&limit=1", "3.4") == 2
    assert api.get("/v3/messages?colour=red").status_code == 400
    assert api.get("/v3/messages", version="3.2").status_code == 404


def test_another_projects_is_not_there(api, api_as, volume):
    told = api.get("/v3/messages").json["messages"][0]["id"]
    stranger = api_as("member", project="0b3d8b1e000040008000000000000aaa")
    assert stranger.get("/v3/messages").json == {"messages": []}
    assert stranger.get(f"/v3/messages/{told}").status_code == 404
    assert stranger.delete(f"/v3/messages/{told}").status_code == 404
    reader = api_as("reader", project=DEFAULT_PROJECT)
    assert reader.get(f"/v3/messages/{told}").status_code == 200
    assert reader.delete(f"/v3/messages/{told}").status_code == 403
