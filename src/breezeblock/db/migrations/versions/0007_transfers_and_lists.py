"""Offers of volumes to other projects, and indexes for the common lists."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

INDEXES: dict[str, dict[str, list[str]]] = {
    "volumes": {
        "project_id_status_created_at_id": ["project_id", "status", "created_at", "id"],
        "status_created_at_id": ["status", "created_at", "id"],
        "project_id_name_id": ["project_id", "coalesce(name, '')", "id"],
        "name_id": ["coalesce(name, '')", "id"],
        "volume_type_id": ["volume_type_id"],
    },
    "snapshots": {
        "created_at_id": ["created_at", "id"],
        "project_id_status_created_at_id": ["project_id", "status", "created_at", "id"],
        "project_id_name_id": ["project_id", "coalesce(name, '')", "id"],
    },
    "attachments": {
        "created_at_id": ["created_at", "id"],
        "instance_uuid": ["instance_uuid"],
    },
}
"""By table, the end of the name and what it is of."""


def upgrade() -> None:
    """Make the table and the indexes."""
    op.create_table(
        "transfers",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("volume_id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("salt", sa.Text(), nullable=False),
        sa.Column("crypt_hash", sa.Text(), nullable=False),
        sa.Column("no_snapshots", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_transfers")),
    )
    op.create_index(op.f("ix_transfers_volume_id"), "transfers", ["volume_id"])
    op.create_index(op.f("ix_transfers_project_id_created_at_id"), "transfers", ["project_id", "created_at", "id"])
    for table, indexes in INDEXES.items():
        for name, parts in indexes.items():
            columns = [sa.text(part) if "(" in part else part for part in parts]
            op.create_index(op.f(f"ix_{table}_{name}"), table, columns)


def downgrade() -> None:
    """Not offered: a downgrade would lose what the new release keeps there."""
    raise NotImplementedError
