"""OS-SCH-HNT:scheduler_hints: where a volume goes, and what the plan says of it."""

import pytest

from tests.api.test_volumes import message

VOLUME = "0b3d8b1e-0000-4000-8000-000000000001"
ELSEWHERE = "0b3d8b1e-0000-4000-8000-000000000002"
SERVER = "0b3d8b1e-0000-4000-8000-000000000003"
NOBODY = "0b3d8b1e-0000-4000-8000-00000000000f"


@pytest.fixture
def backend(api):
    own = api.cloud.settings.backends[0].backend
    api.insert("volumes", VOLUME, host=f"{own}#one")
    api.insert("volumes", ELSEWHERE, host="far@two#two")
    api.insert("attachments", SERVER, volume_id=VOLUME, instance_uuid=SERVER, attached_host=own.partition("@")[0])
    return own


@pytest.mark.parametrize(
    ("hints", "reason"),
    [
        ({"same_host": VOLUME}, None),
        ({"same_host": [VOLUME, ELSEWHERE]}, None),
        ({"same_host": ELSEWHERE}, "same_host asks for far@two"),
        ({"same_host": NOBODY}, "same_host asks for a place that is not known"),
        ({"different_host": ELSEWHERE}, None),
        ({"different_host": [NOBODY]}, None),
        ({"different_host": [VOLUME]}, "different_host asks for another backend"),
        ({"local_to_instance": SERVER}, None),
        ({"local_to_instance": NOBODY}, "local_to_instance asks for a server that is not known here"),
        ({"query": '[">=", "$free_capacity_gb", 1]'}, None),
        ({"query": ["and", ["=", "$pool_name", "one"], ["not", ["in", "$host", "a", "b"]]]}, None),
        ({"query": '["<", "$total_capacity_gb", 1]'}, "does not hold"),
        ({"query": '[">", "$vendor_name", 1]'}, "does not hold"),
        ({"query": '["=", "$a.b", 1]'}, "does not hold"),
        ({"query": "[]"}, None),
        ({"other": 1, "group": NOBODY}, None),
        (None, None),
    ],
)
def test_where_a_volume_goes(api, backend, hints, reason):
    body = {"volume": {"size": 1}, "OS-SCH-HNT:scheduler_hints": hints}
    plan = api.post("/v3/volumes/plan", body).json["plan"]
    made = api.post("/v3/volumes", body).json["volume"]
    if reason is None:
        assert plan["possible"], plan
        assert made["status"] == "creating"
    else:
        assert reason in plan["reason"]
        assert made["status"] == "error"


@pytest.mark.parametrize(
    "hints",
    [
        {"same_host": "x"},
        {"different_host": [VOLUME, VOLUME]},
        {"local_to_instance": "x"},
        {"query": "not json"},
        {"query": ["~", "$host", "a"]},
        7,
    ],
)
def test_hints_that_are_none(api, backend, hints):
    body = {"volume": {"size": 1}, "OS-SCH-HNT:scheduler_hints": hints}
    assert api.post("/v3/volumes", body).status_code == 400


def test_another_projects_volume_is_no_hint(api, api_as, backend):
    stranger = api_as("member", project="0b3d8b1e000040008000000000000aaa")
    body = {"volume": {"size": 1}, "OS-SCH-HNT:scheduler_hints": {"same_host": VOLUME}}
    assert "not known" in stranger.post("/v3/volumes/plan", body).json["plan"]["reason"]


def test_the_reason_is_kept_with_the_volume(api, backend):
    body = {"volume": {"size": 1}, "OS-SCH-HNT:scheduler_hints": {"different_host": VOLUME}}
    made = api.post("/v3/volumes", body).json["volume"]
    told = api.get(f"/v3/operations?resource_id={made['id']}").json["operations"][0]
    assert told["answers"][0]["reason"].endswith("different_host asks for another backend")
    assert "nobody" not in message(api.post("/v3/volumes", {"volume": {}}))
