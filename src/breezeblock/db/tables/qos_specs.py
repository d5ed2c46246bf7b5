"""QoS specs."""

import sqlalchemy as sa

from breezeblock.db.tables.columns import id_column, json, metadata, text

qos_specs = sa.Table(
    "qos_specs",
    metadata,
    id_column(),
    text("name", required=True, unique=True),
    text("consumer", required=True),
    json("specs"),
    text("created_at", required=True),
    text("updated_at"),
)
