"""Groups of volumes, and their snapshots."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Make the tables and the columns of what belongs to them."""
    op.create_table(
        "groups",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("group_type_id", sa.Text(), nullable=False),
        sa.Column("volume_type_ids", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=True),
        sa.Column("availability_zone", sa.Text(), nullable=True),
        sa.Column("group_snapshot_id", sa.Text(), nullable=True),
        sa.Column("source_group_id", sa.Text(), nullable=True),
        sa.Column("replication_status", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_groups")),
    )
    op.create_index(op.f("ix_groups_project_id_created_at_id"), "groups", ["project_id", "created_at", "id"])
    op.create_table(
        "group_snapshots",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("group_id", sa.Text(), nullable=False),
        sa.Column("group_type_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=True),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_group_snapshots")),
    )
    op.create_index(op.f("ix_group_snapshots_group_id"), "group_snapshots", ["group_id"])
    op.create_index(
        op.f("ix_group_snapshots_project_id_created_at_id"), "group_snapshots", ["project_id", "created_at", "id"]
    )
    op.add_column("volumes", sa.Column("group_id", sa.Text(), nullable=True))
    op.create_index(op.f("ix_volumes_group_id"), "volumes", ["group_id"])
    op.add_column("snapshots", sa.Column("group_snapshot_id", sa.Text(), nullable=True))
    op.create_index(op.f("ix_snapshots_group_snapshot_id"), "snapshots", ["group_snapshot_id"])


def downgrade() -> None:
    """Not offered: a downgrade would lose what the new release keeps there."""
    raise NotImplementedError
