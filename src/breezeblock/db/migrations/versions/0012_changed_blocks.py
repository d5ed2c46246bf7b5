"""Which backups have their snapshots kept on the storage."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Add the column; no backup has one so far."""
    op.add_column("backups", sa.Column("base_kept", sa.Boolean(), nullable=False, server_default=sa.false()))
