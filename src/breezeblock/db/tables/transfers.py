"""Offers of volumes to other projects."""

import sqlalchemy as sa

from breezeblock.db.tables.columns import flag, id_column, metadata, text

transfers = sa.Table(
    "transfers",
    metadata,
    id_column(),
    text("volume_id", required=True, index=True),
    text("project_id", required=True),
    text("name"),
    text("salt", required=True),
    text("crypt_hash", required=True),
    flag("no_snapshots"),
    text("created_at", required=True),
    sa.Index(None, "project_id", "created_at", "id"),
)
