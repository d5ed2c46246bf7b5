"""Operations (ours): what every flow does and did, as it happens, and how to stop one."""

import threading
from collections.abc import Iterator

import msgspec

from breezeblock.api import listing
from breezeblock.api.call import Call, Reply
from breezeblock.api.listing import Filter, Listing, equals
from breezeblock.api.views import operations as view
from breezeblock.db import tables
from breezeblock.db.operations import of_row
from breezeblock.errors import NotFound, ServiceUnavailable
from breezeblock.model.operation import Operation
from breezeblock.services import operations

LOOK_SECONDS = 0.5
KEEPALIVE_LOOKS = 30
"""After so many looks without news a comment is sent, which finds out whether the client is still there."""

ENDED = frozenset({"succeeded", "failed", "cancelled"})

LISTING = Listing(
    noun="Operation",
    table=tables.operations,
    filters={
        "resource_id": Filter(make=equals),
        "resource_type": Filter(make=equals),
        "kind": Filter(make=equals),
        "state": Filter(make=equals),
        "request_id": Filter(make=equals),
        "project_id": Filter(make=equals, admin=True),
    },
    sort_keys=frozenset("id kind state resource_id created_at started_at finished_at".split()),
)


def index(call: Call) -> view.Operations:
    """GET /operations[?resource_id=…]. An administrator who names a resource sees it whosever it is."""
    if call.context.is_admin and "resource_id" in call.query:
        call.query.setdefault("all_tenants", "true")
    page = listing.page(call, LISTING, tuple(tables.operations.c), "operations")
    return page.whole(view.Operations(operations=_shown(call, [of_row(row) for row in page.rows])))


def show(call: Call) -> view.OneOperation:
    """GET /operations/{id}."""
    return {"operation": _shown(call, [operations.get_operation(call.database, call.context, call.id)])[0]}


def cancel(call: Call) -> None:
    """POST /operations/{id}/action {"cancel": null}: the flow stops when it next looks, and undoes what it did."""
    operations.cancel_operation(call.database, call.context, call.id)


def events(call: Call) -> Reply[bytes]:
    """GET /operations/{id}/events: server-sent events, one at each change, until it has ended.

    Raises `ServiceUnavailable` while half of the API's threads hold such streams already.
    """
    first = operations.get_operation(call.database, call.context, call.id)
    if not call.parts.streams.acquire(blocking=False):
        raise ServiceUnavailable("Too many event streams are open; look at the operation itself instead.")
    return Reply(
        stream=EventStream(call, first),
        headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
    )


def _shown(call: Call, found: list[Operation]) -> list[view.OperationShown]:
    """Operations as they are told; for those that wait for another's end, one more statement."""
    awaited = operations.awaited(call.database, found)
    return [view.shown(one, awaited.get(one.waits_for or "")) for one in found]


class EventStream:
    """The body of an event stream. The WSGI server closes it when the client is gone."""

    def __init__(self, call: Call, first: Operation) -> None:
        self._call = call
        self._first = first
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[bytes]:
        told, quiet, now = b"", 0, self._first
        while True:
            event = msgspec.json.encode({"operation": _shown(self._call, [now])[0]})
            quiet += 1
            if event != told:
                told, quiet = event, 0
                yield b"event: operation\ndata: " + event + b"\n\n"
            elif quiet % KEEPALIVE_LOOKS == 0:
                yield b": still there\n\n"
            if now.state in ENDED or self._closed.wait(LOOK_SECONDS):
                return
            try:
                now = operations.get_operation(self._call.database, self._call.context, self._call.id)
            except NotFound:
                return

    def close(self) -> None:
        """Give the place back; PEP 3333 has the server call this once, however the answer ended."""
        if not self._closed.is_set():
            self._closed.set()
            self._call.parts.streams.release()
