"""What an operation waits for; pins of the image-volume cache, and which flow fills an entry."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the columns; entries that are there are whole."""
    op.add_column("operations", sa.Column("waiting", sa.Text(), nullable=True))
    op.add_column("operations", sa.Column("waits_for", sa.Text(), nullable=True))
    op.create_index(op.f("ix_operations_waits_for"), "operations", ["waits_for"], unique=False)
    op.add_column("image_cache_entries", sa.Column("pinned", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("image_cache_entries", sa.Column("operation_id", sa.Text(), nullable=True))


def downgrade() -> None:
    """Not offered: a downgrade would lose what the new release keeps there."""
    raise NotImplementedError
