"""What an attachment looks like (Cinder: `api/v3/views/attachments.py`)."""

from typing import Annotated, Any, TypedDict

from msgspec import Meta

from breezeblock.api.shapes import Time
from breezeblock.db import tables
from breezeblock.model.attachment import Attachment

COLUMNS = tuple(tables.attachments.c)

TimeOrEmpty = Annotated[Time, Meta(description="UTC, without a zone; empty where it has not been.")]


class AttachmentSummary(TypedDict):
    """An attachment in the short list."""

    id: str
    status: str
    instance: str | None
    volume_id: str


class AttachmentDetail(AttachmentSummary):
    """An attachment with how to open it: the connection's data stand beside its kind."""

    attached_at: TimeOrEmpty
    detached_at: TimeOrEmpty
    attach_mode: str
    connection_info: dict[str, Any]


class OneAttachment(TypedDict):
    """An attachment."""

    attachment: AttachmentDetail


class AttachmentSummaries(TypedDict):
    """Attachments."""

    attachments: list[AttachmentSummary]


class AttachmentDetails(TypedDict):
    """Attachments with how to open them."""

    attachments: list[AttachmentDetail]


def summary(attachment: Attachment) -> AttachmentSummary:
    """An attachment in the short list."""
    return {
        "id": attachment.id,
        "status": attachment.attach_status,
        "instance": attachment.instance_uuid,
        "volume_id": attachment.volume_id,
    }


def detail(attachment: Attachment) -> AttachmentDetail:
    """An attachment with how to open it. The connection's data stand beside its kind, as Cinder shows them here."""
    info = dict(attachment.connection_info or {})
    data = info.pop("data", {})
    return {
        **summary(attachment),
        "attached_at": attachment.attach_time or "",
        "detached_at": attachment.detach_time or "",
        "attach_mode": attachment.attach_mode,
        "connection_info": {**data, **info},
    }
