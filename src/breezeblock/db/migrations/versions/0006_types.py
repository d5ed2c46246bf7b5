"""Group types, QoS specs, private volume types and the default types of projects."""

import sqlalchemy as sa
from alembic import op

from breezeblock.model import clock

revision = "0006"
down_revision = "0005"

DEFAULT_GROUP_TYPE = {
    "id": "00000000-0000-4000-8000-000000000011",
    "name": "default_cgsnapshot_type",
    "description": "Default group type for migrating cgsnapshot",
    "is_public": True,
    "group_specs": '{"consistent_group_snapshot_enabled":"<is> True"}',
}


def upgrade() -> None:
    """Make the tables, the column, and the default group type."""
    group_types = op.create_table(
        "group_types",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("is_public", sa.Boolean(), nullable=False),
        sa.Column("group_specs", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_group_types")),
        sa.UniqueConstraint("name", name=op.f("uq_group_types_name")),
    )
    op.bulk_insert(group_types, [{**DEFAULT_GROUP_TYPE, "created_at": clock.now()}])
    op.create_table(
        "qos_specs",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("consumer", sa.Text(), nullable=False),
        sa.Column("specs", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_qos_specs")),
        sa.UniqueConstraint("name", name=op.f("uq_qos_specs_name")),
    )
    op.create_table(
        "volume_type_projects",
        sa.Column("volume_type_id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("volume_type_id", "project_id", name=op.f("pk_volume_type_projects")),
    )
    op.create_table(
        "default_volume_types",
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("volume_type_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", name=op.f("pk_default_volume_types")),
    )
    op.add_column("volume_types", sa.Column("qos_specs_id", sa.Text(), nullable=True))
    op.create_index(op.f("ix_volume_types_qos_specs_id"), "volume_types", ["qos_specs_id"], unique=False)


def downgrade() -> None:
    """Not offered: a downgrade would lose what the new release keeps there."""
    raise NotImplementedError
