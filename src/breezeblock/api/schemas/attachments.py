"""Bodies of the calls on attachments (Cinder: `api/schemas/attachments.py`)."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from breezeblock.api.bodies import envelope
from breezeblock.api.schemas.fields import Uuid


class AttachmentCreate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """POST /attachments (3.27)."""

    volume_uuid: Uuid
    instance_uuid: Uuid | None = None
    connector: dict[str, Any] | None = None


class AttachmentCreateWithMode(AttachmentCreate, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same from 3.54 on."""

    mode: Literal["rw", "ro"] | None = None


class AttachmentUpdate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """PUT /attachments/{id}."""

    connector: Annotated[dict[str, Any], Meta(min_length=1)]


CREATE = {0: envelope("attachment", AttachmentCreate), 54: envelope("attachment", AttachmentCreateWithMode)}
UPDATE = envelope("attachment", AttachmentUpdate)
