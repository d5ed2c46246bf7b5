"""Quotas of projects, and of the classes that they have theirs from."""

import sqlalchemy as sa

from breezeblock.db.tables.columns import metadata, text

quotas = sa.Table(
    "quotas",
    metadata,
    text("project_id", primary_key=True),
    text("resource", primary_key=True),
    sa.Column("limit", sa.Integer, nullable=False),
)

quota_classes = sa.Table(
    "quota_classes",
    metadata,
    text("class_name", primary_key=True),
    text("resource", primary_key=True),
    sa.Column("limit", sa.Integer, nullable=False),
)
"""The class `default` holds for every project that has no limit of its own."""
