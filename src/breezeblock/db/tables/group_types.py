"""Group types."""

import sqlalchemy as sa

from breezeblock.db.tables.columns import flag, id_column, json, metadata, text

group_types = sa.Table(
    "group_types",
    metadata,
    id_column(),
    text("name", required=True, unique=True),
    text("description"),
    flag("is_public", True),
    json("group_specs"),
    text("created_at", required=True),
    text("updated_at"),
)
