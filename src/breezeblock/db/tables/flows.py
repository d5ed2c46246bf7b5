"""Operations, and the flows behind them."""

import sqlalchemy as sa

from breezeblock.db.tables.columns import Json, flag, id_column, metadata, text

operations = sa.Table(
    "operations",
    metadata,
    id_column(),
    text("kind", required=True),
    text("resource_type", required=True),
    text("resource_id", required=True, index=True),
    text("project_id", required=True),
    text("user_id", required=True),
    text("request_id", required=True),
    text("state", required=True),
    text("step"),
    text("waiting"),
    text("waits_for", index=True),
    sa.Column("bytes_done", sa.BigInteger, nullable=False, default=0),
    sa.Column("bytes_total", sa.BigInteger),
    sa.Column("rate", sa.Float),
    sa.Column("answers", Json, nullable=False, default=list),
    text("message"),
    flag("cancel_requested"),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    text("created_at", required=True),
    text("started_at"),
    text("finished_at"),
    sa.Index(None, "project_id", "created_at", "id"),
    sa.Index(None, "finished_at"),
)

flow_requests = sa.Table(
    "flow_requests",
    metadata,
    id_column(),
    text("slot", required=True),
    text("flow", required=True),
    sa.Column("version", sa.Integer, nullable=False, default=1),
    sa.Column("arguments", Json, nullable=False),
    sa.Column("context", Json, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    text("created_at", required=True),
    sa.Index(None, "slot", "created_at"),
)
"""A flow that has to run: the id is the operation's. The row goes in the transaction that ends the flow."""

flow_checkpoints = sa.Table(
    "flow_checkpoints",
    metadata,
    text("flow_id", primary_key=True),
    text("step", primary_key=True),
    sa.Column("result", Json),
    text("created_at", required=True),
)
"""What a durable step of a live flow answered, so that it is not done again."""

idempotency_keys = sa.Table(
    "idempotency_keys",
    metadata,
    text("project_id", primary_key=True),
    text("key", primary_key=True),
    text("fingerprint", required=True),
    text("resource_id", required=True),
    text("created_at", required=True),
)
