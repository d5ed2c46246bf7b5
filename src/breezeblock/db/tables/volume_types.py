"""Volume types, and what belongs to one."""

import sqlalchemy as sa

from breezeblock.db.tables.columns import flag, id_column, json, metadata, text

volume_types = sa.Table(
    "volume_types",
    metadata,
    id_column(),
    text("name", required=True, unique=True),
    text("description"),
    flag("is_public", True),
    json("extra_specs"),
    text("qos_specs_id", index=True),
    text("created_at", required=True),
    text("updated_at"),
)

volume_type_encryptions = sa.Table(
    "volume_type_encryptions",
    metadata,
    text("volume_type_id", primary_key=True),
    text("encryption_id", required=True),
    text("provider", required=True),
    text("control_location", required=True),
    text("cipher"),
    sa.Column("key_size", sa.Integer),
    text("created_at", required=True),
    text("updated_at"),
)

volume_type_projects = sa.Table(
    "volume_type_projects",
    metadata,
    text("volume_type_id", primary_key=True),
    text("project_id", primary_key=True),
)
"""Which projects a private type is there for."""

default_volume_types = sa.Table(
    "default_volume_types",
    metadata,
    text("project_id", primary_key=True),
    text("volume_type_id", required=True),
)
"""The type of a project's volumes where none is named."""
