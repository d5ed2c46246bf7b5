"""All tables. Column names and order are those of the records in `model`; a test holds them together."""

from breezeblock.db.tables.backends import pools, services, slots
from breezeblock.db.tables.columns import Json, metadata
from breezeblock.db.tables.events import deliveries, events
from breezeblock.db.tables.flows import flow_checkpoints, flow_requests, idempotency_keys, operations
from breezeblock.db.tables.images import image_cache_entries, images, verified_images
from breezeblock.db.tables.quotas import quotas
from breezeblock.db.tables.resources import attachments, backups, snapshots, volumes
from breezeblock.db.tables.volume_types import volume_type_encryptions, volume_types

__all__ = [
    "Json",
    "attachments",
    "backups",
    "deliveries",
    "events",
    "flow_checkpoints",
    "flow_requests",
    "idempotency_keys",
    "image_cache_entries",
    "images",
    "metadata",
    "operations",
    "pools",
    "quotas",
    "services",
    "slots",
    "snapshots",
    "verified_images",
    "volume_type_encryptions",
    "volume_types",
    "volumes",
]
