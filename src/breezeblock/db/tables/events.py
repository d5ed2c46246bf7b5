"""The outbox."""

import sqlalchemy as sa

from breezeblock.db.tables.columns import json, metadata, text

events = sa.Table(
    "events",
    metadata,
    sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    text("type", required=True),
    text("resource_type", required=True),
    text("resource_id", required=True),
    text("project_id", required=True),
    text("operation_id"),
    json("payload"),
    text("created_at", required=True),
    sa.Index(None, "resource_id"),
    sa.Index(None, "operation_id"),
    sqlite_autoincrement=True,
)
"""The outbox: what happened, written with the change it tells of."""

deliveries = sa.Table(
    "deliveries",
    metadata,
    text("sink", primary_key=True),
    sa.Column("last_number", sa.BigInteger, nullable=False),
    text("updated_at", required=True),
)
"""Up to which number each sink has the events."""
