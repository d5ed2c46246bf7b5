"""Calls on attachments (3.27)."""

from breezeblock.api import listing
from breezeblock.api.call import Call
from breezeblock.api.listing import Filter, Listing, equals
from breezeblock.api.schemas.attachments import AttachmentCreate, AttachmentCreateWithMode, AttachmentUpdate
from breezeblock.api.views import attachments as view
from breezeblock.db import attachments, tables
from breezeblock.model.attachment import Attachment
from breezeblock.services import attachments as services

LISTING = Listing(
    noun="Volume attachment",
    table=tables.attachments,
    filters={
        "volume_id": Filter(make=equals),
        "status": Filter(make=equals, column="attach_status"),
        "attach_status": Filter(make=equals),
        "instance_id": Filter(make=equals, column="instance_uuid"),
        "instance_uuid": Filter(make=equals),
        "attached_host": Filter(make=equals, admin=True),
        "project_id": Filter(make=equals, admin=True),
    },
    sort_keys=frozenset("id volume_id attach_status instance_uuid created_at updated_at attach_time".split()),
)


def create(call: Call) -> view.OneAttachment:
    """POST /attachments: reserve; with a connector, connect too."""
    body: AttachmentCreate = call.body.content
    mode = body.mode if isinstance(body, AttachmentCreateWithMode) else None
    made = services.create_attachment(
        call.database,
        call.context,
        volume_id=body.volume_uuid,
        instance_uuid=body.instance_uuid,
        connector=body.connector or None,
        mode=mode or "null",
    )
    return {"attachment": view.detail(made)}


def _page(call: Call, path: str) -> list[Attachment]:
    page = listing.page(call, LISTING, view.COLUMNS, path, tables.attachments.c.attach_status != "detached")
    return [Attachment(**row._mapping) for row in page.rows]


def summaries(call: Call) -> view.AttachmentSummaries:
    """GET /attachments."""
    return {"attachments": [view.summary(one) for one in _page(call, "attachments")]}


def details(call: Call) -> view.AttachmentDetails:
    """GET /attachments/detail."""
    return {"attachments": [view.detail(one) for one in _page(call, "attachments/detail")]}


def show(call: Call) -> view.OneAttachment:
    """GET /attachments/{id}."""
    with call.database.read() as connection:
        return {"attachment": view.detail(attachments.get(connection, call.id, call.context.own_project))}


def update(call: Call) -> view.OneAttachment:
    """PUT /attachments/{id}: give it a connector."""
    body: AttachmentUpdate = call.body.content
    return {"attachment": view.detail(services.connect(call.database, call.context, call.id, body.connector))}


def delete(call: Call) -> view.AttachmentSummaries:
    """DELETE /attachments/{id}: the attachments that the volume still has."""
    left = services.delete_attachment(call.database, call.context, call.id, call.has_compute)
    return {"attachments": [view.summary(one) for one in left]}


def complete(call: Call) -> None:
    """os-complete (3.44): the host has opened the volume."""
    services.complete(call.database, call.context, call.id)
