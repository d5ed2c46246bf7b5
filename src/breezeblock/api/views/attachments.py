"""What an attachment looks like (Cinder: `api/v3/views/attachments.py`)."""

from typing import Any

from breezeblock.db import tables
from breezeblock.model.attachment import Attachment

COLUMNS = tuple(tables.attachments.c)


def summary(attachment: Attachment) -> dict[str, Any]:
    """An attachment in the short list."""
    return {
        "id": attachment.id,
        "status": attachment.attach_status,
        "instance": attachment.instance_uuid,
        "volume_id": attachment.volume_id,
    }


def detail(attachment: Attachment) -> dict[str, Any]:
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
