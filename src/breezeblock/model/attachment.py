"""An attachment: the right of one host or instance to open a volume, and how it does."""

from typing import Any

import msgspec


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table `attachments`. Status goes reserved, attaching, attached, detached as in Cinder."""

    id: str
    volume_id: str
    project_id: str
    instance_uuid: str | None = None
    attached_host: str | None = None
    mountpoint: str | None = None
    attach_mode: str = "rw"
    attach_status: str
    connector: dict[str, Any] | None = None
    connection_info: dict[str, Any] | None = None
    attach_time: str | None = None
    detach_time: str | None = None
    created_at: str
    updated_at: str | None = None
