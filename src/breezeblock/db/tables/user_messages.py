"""Messages that tell users what failed."""

import sqlalchemy as sa

from breezeblock.db.tables.columns import id_column, metadata, text

user_messages = sa.Table(
    "messages",
    metadata,
    id_column(),
    text("project_id", required=True),
    text("request_id"),
    text("resource_type", required=True),
    text("resource_uuid"),
    text("event_id", required=True),
    text("action_id", required=True),
    text("detail_id", required=True),
    text("message_level", required=True),
    text("created_at", required=True),
    text("expires_at", required=True),
    sa.Index(None, "project_id", "created_at", "id"),
    sa.Index(None, "expires_at"),
)
