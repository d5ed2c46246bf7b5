"""Whether a backend can be failed over, and where it works."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Add the columns; every backend works at its own storage so far."""
    op.add_column("services", sa.Column("replication_status", sa.Text(), nullable=True))
    op.add_column("services", sa.Column("active_backend_id", sa.Text(), nullable=True))
