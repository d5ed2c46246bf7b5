"""All tables. Column names and order are those of the records in `model`; a test holds them together."""

from breezeblock.db.tables.backends import pools, services, slots
from breezeblock.db.tables.columns import Json, metadata
from breezeblock.db.tables.events import deliveries, events
from breezeblock.db.tables.flows import flow_checkpoints, flow_requests, idempotency_keys, operations
from breezeblock.db.tables.group_types import group_types
from breezeblock.db.tables.groups import group_snapshots, groups
from breezeblock.db.tables.images import image_cache_entries, image_keys, images, verified_images
from breezeblock.db.tables.qos_specs import qos_specs
from breezeblock.db.tables.quotas import quota_classes, quotas
from breezeblock.db.tables.resources import attachments, backups, snapshots, volumes
from breezeblock.db.tables.transfers import transfers
from breezeblock.db.tables.user_messages import user_messages
from breezeblock.db.tables.volume_types import (
    default_volume_types,
    volume_type_encryptions,
    volume_type_projects,
    volume_types,
)

__all__ = [
    "Json",
    "attachments",
    "backups",
    "default_volume_types",
    "deliveries",
    "events",
    "flow_checkpoints",
    "flow_requests",
    "group_snapshots",
    "group_types",
    "groups",
    "idempotency_keys",
    "image_cache_entries",
    "image_keys",
    "images",
    "metadata",
    "operations",
    "pools",
    "qos_specs",
    "quota_classes",
    "quotas",
    "services",
    "slots",
    "snapshots",
    "transfers",
    "user_messages",
    "verified_images",
    "volume_type_encryptions",
    "volume_type_projects",
    "volume_types",
    "volumes",
]
