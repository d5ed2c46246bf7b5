"""Quota classes, messages to users, frozen services, log levels."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Make the tables and the column."""
    op.create_table(
        "quota_classes",
        sa.Column("class_name", sa.Text(), nullable=False),
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("limit", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("class_name", "resource", name=op.f("pk_quota_classes")),
    )
    op.create_table(
        "messages",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("resource_type", sa.Text(), nullable=False),
        sa.Column("resource_uuid", sa.Text(), nullable=True),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("action_id", sa.Text(), nullable=False),
        sa.Column("detail_id", sa.Text(), nullable=False),
        sa.Column("message_level", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_messages")),
    )
    op.create_index(op.f("ix_messages_project_id_created_at_id"), "messages", ["project_id", "created_at", "id"])
    op.create_index(op.f("ix_messages_expires_at"), "messages", ["expires_at"])
    op.add_column("services", sa.Column("frozen", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("services", sa.Column("log_levels", sa.Text(), nullable=False, server_default="{}"))


def downgrade() -> None:
    """Not offered: a downgrade would lose what the new release keeps there."""
    raise NotImplementedError
