"""Groups of volumes, and their snapshots."""

import sqlalchemy as sa

from breezeblock.db.tables.columns import Json, id_column, metadata, text

groups = sa.Table(
    "groups",
    metadata,
    id_column(),
    text("project_id", required=True),
    text("user_id", required=True),
    text("name"),
    text("description"),
    text("status", required=True),
    text("group_type_id", required=True),
    sa.Column("volume_type_ids", Json, nullable=False, default=list),
    text("host"),
    text("availability_zone"),
    text("group_snapshot_id"),
    text("source_group_id"),
    text("replication_status", required=True),
    text("created_at", required=True),
    text("updated_at"),
    sa.Index(None, "project_id", "created_at", "id"),
)

group_snapshots = sa.Table(
    "group_snapshots",
    metadata,
    id_column(),
    text("project_id", required=True),
    text("user_id", required=True),
    text("group_id", required=True, index=True),
    text("group_type_id", required=True),
    text("name"),
    text("description"),
    text("status", required=True),
    text("host"),
    text("created_at", required=True),
    text("updated_at"),
    sa.Index(None, "project_id", "created_at", "id"),
)
