"""What is known of images: the local store, the image cache, checks that passed."""

import sqlalchemy as sa

from breezeblock.db.tables.columns import Json, flag, id_column, json, metadata, text

image_cache_entries = sa.Table(
    "image_cache_entries",
    metadata,
    text("backend", primary_key=True),
    text("image_id", primary_key=True),
    text("image_updated_at", required=True),
    text("checksum"),
    text("volume_id", required=True, unique=True),
    sa.Column("size", sa.Integer, nullable=False),
    text("last_used", required=True),
    flag("pinned"),
    text("operation_id"),
)
"""What `db.image_cache.CacheEntry` tells; at most one entry of an image on a backend, so one flow fills it."""

verified_images = sa.Table(
    "verified_images",
    metadata,
    text("image_id", primary_key=True),
    text("location", primary_key=True),
    text("hash", required=True),
    text("verified_at", required=True),
)

image_keys = sa.Table(
    "image_keys",
    metadata,
    id_column(),
    text("project_id", required=True),
    text("host", required=True),
    text("encryption_key_id", required=True),
    text("created_at", required=True),
)
"""What `model.image.ImageKey` tells."""

images = sa.Table(
    "images",
    metadata,
    id_column(),
    text("name"),
    text("status", required=True),
    text("disk_format"),
    text("container_format"),
    sa.Column("size", sa.BigInteger),
    sa.Column("virtual_size", sa.BigInteger),
    sa.Column("min_disk", sa.Integer, nullable=False, default=0),
    sa.Column("min_ram", sa.Integer, nullable=False, default=0),
    text("checksum"),
    text("os_hash_algo"),
    text("os_hash_value"),
    text("owner"),
    text("visibility", required=True),
    flag("protected"),
    flag("os_hidden"),
    sa.Column("tags", Json, nullable=False, default=list),
    json("properties"),
    text("direct_url"),
    sa.Column("locations", Json, nullable=False, default=list),
    text("created_at", required=True),
    text("updated_at", required=True),
)
