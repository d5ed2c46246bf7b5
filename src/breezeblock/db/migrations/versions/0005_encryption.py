"""How types encrypt, and the keys of backups."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the table and the column."""
    op.create_table(
        "volume_type_encryptions",
        sa.Column("volume_type_id", sa.Text(), nullable=False),
        sa.Column("encryption_id", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("control_location", sa.Text(), nullable=False),
        sa.Column("cipher", sa.Text(), nullable=True),
        sa.Column("key_size", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("volume_type_id", name=op.f("pk_volume_type_encryptions")),
    )
    op.add_column("backups", sa.Column("encryption_key_id", sa.Text(), nullable=True))


def downgrade() -> None:
    """Not offered: a downgrade would lose what the new release keeps there."""
    raise NotImplementedError
