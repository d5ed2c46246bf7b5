"""Events (ours): what happens to a project's resources, as server-sent events, resumed by `Last-Event-ID`."""

import re
import threading
import time
from collections.abc import Iterator
from typing import Annotated, TypedDict

import msgspec
from msgspec import Meta

from breezeblock.api.call import Call, Reply
from breezeblock.db import outbox
from breezeblock.db.horizon import Horizon
from breezeblock.db.outbox import Event
from breezeblock.errors import InvalidInput, ServiceUnavailable

LOOK_SECONDS = 0.5
KEEPALIVE_LOOKS = 30
"""After so many looks without news a comment is sent, which finds out whether the client is still there."""

STREAM_SECONDS = 600.0
"""Then the client has to come again, and to show again that it may."""


EVENT_STREAM = "text/event-stream"


class StreamQuery(TypedDict, total=False):
    """Of all projects, for administrators."""

    all_projects: bool


StreamHeaders = TypedDict(
    "StreamHeaders", {"Last-Event-ID": Annotated[str, Meta(pattern=r"\A[0-9]{1,18}\Z")]}, total=False
)
"""Where the client left off."""


def stream(call: Call) -> Reply[bytes]:
    """GET /events[?all_projects=true]: events as they come, after `Last-Event-ID` where the client has one.

    Raises `InvalidInput` for one that is no number, `Forbidden` for all projects unless an administrator asks, and
    `ServiceUnavailable` while half of the API's threads hold streams already.
    """
    last = call.request.get_header("Last-Event-ID")
    if last is not None and not re.fullmatch(r"[0-9]{1,18}", last):
        raise InvalidInput(f"Last-Event-ID is the number of an event, not '{last}'.")
    everybodys = call.flag("all_projects")
    if everybodys:
        call.must("breezeblock:event_get_all")
    if not call.parts.streams.acquire(blocking=False):
        raise ServiceUnavailable("Too many event streams are open; try again later.")
    return Reply(
        stream=EventStream(call, None if last is None else int(last), None if everybodys else call.context.project_id),
        headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
    )


class EventStream:
    """The body of the stream. The WSGI server closes it when the client is gone."""

    def __init__(self, call: Call, after: int | None, project_id: str | None) -> None:
        self._call = call
        self._after = after
        self._project_id = project_id
        self._horizon = Horizon()
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[bytes]:
        end = time.monotonic() + STREAM_SECONDS
        quiet = 0
        yield b": events\n\n"
        while time.monotonic() < end:
            found = self._look()
            for event in found:
                yield _told(event)
            quiet = 0 if found else quiet + 1
            if quiet and quiet % KEEPALIVE_LOOKS == 0:
                yield b": still there\n\n"
            if self._closed.wait(0 if found else LOOK_SECONDS):
                return

    def _look(self) -> list[Event]:
        """The next events; the first look of one that has no number settles where the stream begins."""
        with self._call.database.read() as connection:
            upto = self._horizon.look(connection)
            if self._after is None:
                if self._horizon.is_waiting:
                    return []
                self._after = upto
            found = outbox.after(connection, self._after, upto, project_id=self._project_id)
        self._after = max(self._after, found[-1].number if found else upto)
        return found

    def close(self) -> None:
        """Give the place back; PEP 3333 has the server call this once, however the answer ended."""
        if not self._closed.is_set():
            self._closed.set()
            self._call.parts.streams.release()


def _told(event: Event) -> bytes:
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.number, event.type.encode(), msgspec.json.encode(event))
