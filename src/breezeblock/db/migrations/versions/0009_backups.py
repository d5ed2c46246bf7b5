"""The metadata of the volumes that backups are of; backups are found by their volume and by their parent."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Make the column and the indexes."""
    op.add_column("backups", sa.Column("volume_metadata", sa.Text(), nullable=False, server_default="{}"))
    op.create_index(op.f("ix_backups_volume_id"), "backups", ["volume_id"])
    op.create_index(op.f("ix_backups_parent_id"), "backups", ["parent_id"])


def downgrade() -> None:
    """Not offered: a downgrade would lose what the new release keeps there."""
    raise NotImplementedError
