"""Quotas."""

import sqlalchemy as sa

from breezeblock.db.tables.columns import metadata, text

quotas = sa.Table(
    "quotas",
    metadata,
    text("project_id", primary_key=True),
    text("resource", primary_key=True),
    sa.Column("limit", sa.Integer, nullable=False),
)
