"""The first tables."""

from alembic import op

from breezeblock.db import tables

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make all tables as this release knows them; until the first release this migration follows the tables."""
    tables.metadata.create_all(op.get_bind())


def downgrade() -> None:
    """Not offered: a downgrade would lose volumes."""
    raise NotImplementedError
