"""What the workers say of themselves and their storages."""

import sqlalchemy as sa

from breezeblock.db.tables.columns import flag, json, metadata, text

pools = sa.Table(
    "pools",
    metadata,
    text("name", primary_key=True),
    text("backend", required=True, index=True),
    sa.Column("total_capacity_gb", sa.Float, nullable=False),
    sa.Column("free_capacity_gb", sa.Float, nullable=False),
    sa.Column("reserved_percentage", sa.Integer, nullable=False),
    sa.Column("max_over_subscription_ratio", sa.Float, nullable=False),
    flag("thin_provisioning_support", True),
    flag("thick_provisioning_support"),
    json("capabilities"),
    flag("up", True),
    text("availability_zone", required=True),
    text("updated_at", required=True),
)

services = sa.Table(
    "services",
    metadata,
    text("host", primary_key=True),
    text("binary", primary_key=True),
    text("availability_zone", required=True),
    text("disabled_reason"),
    flag("disabled"),
    flag("frozen"),
    json("log_levels"),
    text("replication_status"),
    text("active_backend_id"),
    text("started_at", required=True),
    text("updated_at", required=True),
)

slots = sa.Table(
    "slots",
    metadata,
    text("slot", primary_key=True),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    text("host", required=True),
    text("machine", required=True),
    sa.Column("pid", sa.Integer),
    sa.Column("process_started", sa.BigInteger, nullable=False),
    text("taken_at", required=True),
)
"""Who owns a slot, PostgreSQL only; each owner has an epoch of its own. No pid: it was given back."""
