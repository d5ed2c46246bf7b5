"""The stream of a project's events."""

import threading

from falcon import testing

from breezeblock.api.handlers import events
from breezeblock.config import DEFAULT_PROJECT
from breezeblock.db import outbox
from breezeblock.db.horizon import Horizon


def tell(cloud, project, *types):
    with cloud.database.begin() as connection:
        for event_type in types:
            outbox.write(
                connection,
                event_type,
                resource_type="volume",
                resource_id="volume",
                project_id=project,
                operation_id="operation",
                payload={"size": 1},
            )


def told(answer):
    """The numbers and types of the events in a stream."""
    blocks = [dict(line.split(": ", 1) for line in block.splitlines()) for block in answer.text.split("\n\n") if block]
    return [(int(block["id"]), block["event"]) for block in blocks if "id" in block]


def test_resumes_behind_the_last_number_with_ones_own_events_alone(api_as):
    api = api_as("reader", project="mine")
    tell(api.cloud, "mine", "one", "two")
    tell(api.cloud, "other", "three")
    tell(api.cloud, "mine", "four")
    answer = api.get("/v3/events", headers={"Last-Event-ID": "1"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream")
    assert told(answer) == [(2, "two"), (4, "four")]
    assert '"payload":{"size":1}' in answer.text


def test_resumes_behind_any_number_with_exactly_the_rest(api_as):
    api = api_as("reader", project="mine")
    types = ["image_volume_cache.miss", "backup.create.start", "backup.create.end", "image_volume_cache.evict"]
    tell(api.cloud, "mine", *types)
    everything = list(enumerate(types, 1))
    for number in range(len(types) + 1):
        assert told(api.get("/v3/events", headers={"Last-Event-ID": str(number)})) == everything[number:]


def test_an_administrator_sees_all_on_request(api_as):
    api = api_as("admin", project="mine")
    tell(api.cloud, "mine", "one")
    tell(api.cloud, "other", "two")
    assert told(api.get("/v3/events", headers={"Last-Event-ID": "0"})) == [(1, "one")]
    assert len(told(api.get("/v3/events?all_projects=true", headers={"Last-Event-ID": "0"}))) == 2
    member = api_as("member", project="mine")
    assert member.get("/v3/events?all_projects=true").status_code == 403


def test_begins_now_without_a_number_and_tells_what_comes(api, monkeypatch):
    looked = threading.Event()

    class Told(Horizon):
        def look(self, connection):
            upto = super().look(connection)
            looked.set()
            return upto

    monkeypatch.setattr(events, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(events, "Horizon", Told)
    tell(api.cloud, DEFAULT_PROJECT, "before")
    body = open_stream(api)[1]

    def tell_later():
        assert looked.wait(10)
        tell(api.cloud, DEFAULT_PROJECT, "after")

    teller = threading.Thread(target=tell_later)
    teller.start()
    assert b"event: after" in next(piece for piece in body if not piece.startswith(b":"))
    teller.join()
    body.close()


def open_stream(api):
    said = []
    environ = testing.create_environ(path="/v3/events")
    body = api.app(environ, lambda status, headers, info=None: said.append(status))
    return said[0], body


def test_streams_leave_threads_for_others(api):
    streams = [open_stream(api) for _ in range(4)]
    assert [status for status, _ in streams] == ["200 OK"] * 4
    assert open_stream(api)[0].startswith("503")
    for _, body in streams:
        body.close()
    status, body = open_stream(api)
    assert status == "200 OK"
    body.close()


def test_a_last_event_id_that_is_no_number(api):
    assert api.get("/v3/events", headers={"Last-Event-ID": "yesterday"}).status_code == 400
