"""Operations: what a flow does and did, as it happens; plans; cancelling."""

import json
import threading

import pytest
from falcon import testing

from breezeblock.db import operations, outbox

GONE = "0b3d8b1e-0000-4000-8000-00000000000f"


def test_operations_of_a_volume(api):
    with api.cloud.running():
        volume = api.post("/v3/volumes", {"volume": {"size": 1}}).json["volume"]["id"]
        api.cloud.settled(volume)
    (operation,) = api.get(f"/v3/operations?resource_id={volume}").json["operations"]
    assert (operation["kind"], operation["state"], operation["resource_id"]) == ("create_volume", "succeeded", volume)
    assert [answer["outcome"] for answer in operation["answers"]][:1] == ["fits"]
    assert api.get(f"/v3/operations/{operation['id']}").json["operation"] == operation
    assert api.get(f"/v3/operations/{GONE}").status_code == 404
    ended = api.post(f"/v3/operations/{operation['id']}/action", {"cancel": None})
    assert ended.status_code == 400
    assert "already ended" in ended.text


def test_cancel(api):
    volume = api.post("/v3/volumes", {"volume": {"size": 1}}).json["volume"]["id"]
    (operation,) = api.get(f"/v3/operations?resource_id={volume}").json["operations"]
    answer = api.post(f"/v3/operations/{operation['id']}/action", {"cancel": None})
    assert (answer.status_code, answer.text) == (202, "")
    assert api.get(f"/v3/operations/{operation['id']}").json["operation"]["cancel_requested"] is True


def test_operations_of_others(api_as):
    admin = api_as("admin", project="mine")
    admin.cloud.report()
    volume = admin.post("/v3/volumes", {"volume": {"size": 1}}).json["volume"]["id"]
    (operation,) = admin.get("/v3/operations").json["operations"]
    other = api_as("member", project="other")
    assert other.get(f"/v3/operations?resource_id={volume}").json["operations"] == []
    assert other.get(f"/v3/operations/{operation['id']}").status_code == 404
    assert other.get(f"/v3/operations/{operation['id']}/events").status_code == 404
    assert other.post(f"/v3/operations/{operation['id']}/action", {"cancel": None}).status_code == 404
    everybodys = api_as("admin", project="other")
    assert len(everybodys.get(f"/v3/operations?resource_id={volume}").json["operations"]) == 1


def test_events_until_the_end(api):
    volume = api.post("/v3/volumes", {"volume": {"size": 1}}).json["volume"]["id"]
    (operation,) = api.get(f"/v3/operations?resource_id={volume}").json["operations"]

    def end():
        with api.cloud.database.begin() as connection:
            operations.finish(connection, operation["id"], "succeeded", had_checkpoints=False)
            outbox.end_open(connection, operation["id"], "end")

    timer = threading.Timer(0.05, end)
    timer.start()
    answer = api.get(f"/v3/operations/{operation['id']}/events")
    timer.join()
    assert answer.headers["content-type"] == "text/event-stream"
    events = [part.split("data: ")[1] for part in answer.text.split("\n\n") if "data: " in part]
    states = [json.loads(event)["operation"]["state"] for event in events]
    assert states in (["queued", "succeeded"], ["succeeded"])


def test_event_streams_leave_threads_for_others(api):
    """Each stream holds a thread, so only half of them may be open, and a closed one makes room."""
    volume = api.post("/v3/volumes", {"volume": {"size": 1}}).json["volume"]["id"]
    (operation,) = api.get(f"/v3/operations?resource_id={volume}").json["operations"]
    path = f"/v3/operations/{operation['id']}/events"
    streams = [open_stream(api, path) for _ in range(4)]
    assert [status for status, _ in streams] == ["200 OK"] * 4
    assert open_stream(api, path)[0].startswith("503")
    for _, body in streams:
        next(iter(body))
        body.close()
        body.close()
    status, body = open_stream(api, path)
    assert status == "200 OK"
    body.close()


def open_stream(api, path):
    said = []
    body = api.app(testing.create_environ(path=path), lambda status, headers, info=None: said.append(status))
    return said[0], body


def test_a_head_of_a_stream_holds_no_place(api):
    volume = api.post("/v3/volumes", {"volume": {"size": 1}}).json["volume"]["id"]
    (operation,) = api.get(f"/v3/operations?resource_id={volume}").json["operations"]
    for _ in range(9):
        assert api.call("HEAD", f"/v3/operations/{operation['id']}/events").status_code == 200


@pytest.mark.parametrize(
    ("volume", "possible", "reason"),
    [({"size": 1}, True, None), ({"size": 200000}, False, "exceeded"), ({"source_volid": GONE}, False, "not be found")],
)
def test_a_plan_changes_nothing(api, volume, possible, reason):
    before = [api.cloud.count(table) for table in ("volumes", "operations", "flow_requests", "events")]
    plan = api.post("/v3/volumes/plan", {"volume": volume}).json["plan"]
    assert plan["possible"] is possible
    assert reason is None or reason in plan["reason"]
    assert before == [api.cloud.count(table) for table in ("volumes", "operations", "flow_requests", "events")]
