"""Calls on messages to users (3.3)."""

from typing import Any, NotRequired, TypedDict

from breezeblock.api import listing
from breezeblock.api.call import Call
from breezeblock.api.listing import Filter, Listing, equals
from breezeblock.api.shapes import Counted, Link, Time
from breezeblock.db import tables, user_messages
from breezeblock.model.user_message import UserMessage

COLUMNS = tuple(tables.user_messages.columns)
PAGED = 5

LISTING = Listing(
    noun="Message",
    table=tables.user_messages,
    filters={
        name: Filter(make=equals)
        for name in ("resource_uuid", "resource_type", "event_id", "request_id", "message_level")
    },
    sort_keys=frozenset(
        "id project_id event_id message_level request_id resource_type resource_uuid created_at expires_at".split()
    ),
)


class MessageShown(TypedDict):
    """A message."""

    id: str
    event_id: str
    user_message: str
    message_level: str
    created_at: Time
    guaranteed_until: Time
    request_id: str | None
    links: list[Link]
    resource_type: str
    resource_uuid: str | None


class OneMessage(TypedDict):
    """A message."""

    message: MessageShown


class Messages(Counted):
    """Messages."""

    messages: list[MessageShown]
    messages_links: NotRequired[list[Link]]


def index(call: Call) -> Messages:
    """GET /messages; filters, sorting and pages from 3.5 on."""
    if call.version < PAGED:
        call.query = {}
    page = listing.page(call, LISTING, COLUMNS, "messages")
    return page.whole(Messages(messages=[_shown(call, row) for row in page.rows]))


def show(call: Call) -> OneMessage:
    """GET /messages/{id}."""
    with call.database.read() as connection:
        return {"message": _shown(call, listing.one(call, connection, LISTING, COLUMNS, call.id))}


def delete(call: Call) -> None:
    """DELETE /messages/{id}."""
    with call.database.begin() as connection:
        listing.one(call, connection, LISTING, COLUMNS, call.id)
        user_messages.remove(connection, call.id)


def _shown(call: Call, row: Any) -> MessageShown:
    """As Cinder shows it (`api/v3/views/messages.py`)."""
    message = UserMessage(**row._mapping)
    return {
        "id": message.id,
        "event_id": message.event_id,
        "user_message": message.text,
        "message_level": message.message_level,
        "created_at": message.created_at,
        "guaranteed_until": message.expires_at,
        "request_id": message.request_id,
        "links": call.links.of("messages", message.id),
        "resource_type": message.resource_type,
        "resource_uuid": message.resource_uuid,
    }
