"""An attachment: the right of one host or instance to open a volume, and how it does."""

from typing import Any

import msgspec


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table `attachments`. Status goes reserved, attaching, attached, as in Cinder.

    One in `detached` is a bare connection: os-initialize_connection made it, which attaches nobody. The volume is
    exported for it, but it is no attachment to anybody who asks for attachments.
    """

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

    @property
    def is_bare(self) -> bool:
        """Whether it is a connection without an attachment."""
        return self.attach_status == "detached"
