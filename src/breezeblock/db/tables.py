"""All tables. Column names and order are those of the records in `model`; a test holds them together.

Times are text (`model.clock`), so they sort and go out as they are. Free-form dictionaries are JSON text: a list hands
them through without parsing.
"""

from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Json(TypeDecorator[Any]):
    """A JSON value kept as text, the same on SQLite and PostgreSQL."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """Python to text."""
        return None if value is None else msgspec.json.encode(value).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """Text to Python."""
        return None if value is None else msgspec.json.decode(value)


def _id() -> sa.Column[str]:
    return sa.Column("id", sa.Text, primary_key=True)


def _text(name: str, required: bool = False, **kw: Any) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=not (required or kw.get("primary_key", False)), **kw)


def _json(name: str) -> sa.Column[Any]:
    return sa.Column(name, Json, nullable=False, default=dict)


def _flag(name: str, default: bool = False) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean, nullable=False, default=default)


volumes = sa.Table(
    "volumes",
    metadata,
    _id(),
    _text("project_id", required=True),
    _text("user_id", required=True),
    _text("name"),
    _text("description"),
    sa.Column("size", sa.Integer, nullable=False),
    _text("status", required=True),
    _text("previous_status"),
    _text("attach_status", required=True),
    _text("migration_status"),
    _text("host"),
    _text("availability_zone"),
    _text("volume_type_id"),
    _text("snapshot_id"),
    _text("source_volid"),
    _text("image_id"),
    _text("backup_id"),
    _flag("bootable"),
    _flag("multiattach"),
    _flag("consumes_quota", True),
    _text("encryption_key_id"),
    _json("metadata"),
    _json("admin_metadata"),
    _json("image_metadata"),
    _text("replication_status"),
    _text("replication_driver_data"),
    _text("replicated_at"),
    _text("provider_id"),
    _text("provider_location"),
    _text("provider_auth"),
    _text("provider_geometry"),
    _text("created_at", required=True),
    _text("updated_at"),
    _text("scheduled_at"),
    _text("launched_at"),
    sa.Index(None, "project_id", "created_at", "id"),
    sa.Index(None, "created_at", "id"),
    sa.Index(None, "host", "size"),
    sa.Index(None, "snapshot_id"),
    sa.Index(None, "source_volid"),
)

snapshots = sa.Table(
    "snapshots",
    metadata,
    _id(),
    _text("project_id", required=True),
    _text("user_id", required=True),
    _text("volume_id", required=True),
    _text("name"),
    _text("description"),
    _text("status", required=True),
    _text("progress", required=True),
    sa.Column("volume_size", sa.Integer, nullable=False),
    _text("volume_type_id"),
    _text("host"),
    _flag("bootable"),
    _flag("consumes_quota", True),
    _json("metadata"),
    _json("image_metadata"),
    _text("provider_id"),
    _text("provider_location"),
    _text("provider_auth"),
    _text("created_at", required=True),
    _text("updated_at"),
    sa.Index(None, "project_id", "created_at", "id"),
    sa.Index(None, "volume_id"),
)

volume_types = sa.Table(
    "volume_types",
    metadata,
    _id(),
    _text("name", required=True, unique=True),
    _text("description"),
    _flag("is_public", True),
    _json("extra_specs"),
    _text("created_at", required=True),
    _text("updated_at"),
)

volume_type_encryptions = sa.Table(
    "volume_type_encryptions",
    metadata,
    _text("volume_type_id", primary_key=True),
    _text("encryption_id", required=True),
    _text("provider", required=True),
    _text("control_location", required=True),
    _text("cipher"),
    sa.Column("key_size", sa.Integer),
    _text("created_at", required=True),
    _text("updated_at"),
)

attachments = sa.Table(
    "attachments",
    metadata,
    _id(),
    _text("volume_id", required=True, index=True),
    _text("project_id", required=True),
    _text("instance_uuid"),
    _text("attached_host"),
    _text("mountpoint"),
    _text("attach_mode", required=True),
    _text("attach_status", required=True),
    sa.Column("connector", Json),
    sa.Column("connection_info", Json),
    _text("attach_time"),
    _text("detach_time"),
    _text("created_at", required=True),
    _text("updated_at"),
    sa.Index(None, "project_id", "created_at", "id"),
)

backups = sa.Table(
    "backups",
    metadata,
    _id(),
    _text("project_id", required=True),
    _text("user_id", required=True),
    _text("volume_id", required=True),
    _text("snapshot_id"),
    _text("parent_id"),
    _text("name"),
    _text("description"),
    _text("status", required=True),
    sa.Column("size", sa.Integer, nullable=False),
    _text("container"),
    sa.Column("object_count", sa.Integer, nullable=False, default=0),
    _text("service", required=True),
    _text("service_metadata"),
    _text("fail_reason"),
    _text("restore_volume_id"),
    _text("availability_zone"),
    _text("host"),
    _text("volume_type_id"),
    _flag("volume_bootable"),
    _json("image_metadata"),
    _json("metadata"),
    _text("data_timestamp"),
    _text("encryption_key_id"),
    _text("created_at", required=True),
    _text("updated_at"),
    sa.Index(None, "project_id", "created_at", "id"),
)

pools = sa.Table(
    "pools",
    metadata,
    _text("name", primary_key=True),
    _text("backend", required=True, index=True),
    sa.Column("total_capacity_gb", sa.Float, nullable=False),
    sa.Column("free_capacity_gb", sa.Float, nullable=False),
    sa.Column("reserved_percentage", sa.Integer, nullable=False),
    sa.Column("max_over_subscription_ratio", sa.Float, nullable=False),
    _flag("thin_provisioning_support", True),
    _flag("thick_provisioning_support"),
    _json("capabilities"),
    _flag("up", True),
    _text("availability_zone", required=True),
    _text("updated_at", required=True),
)

services = sa.Table(
    "services",
    metadata,
    _text("host", primary_key=True),
    _text("binary", primary_key=True),
    _text("availability_zone", required=True),
    _text("disabled_reason"),
    _flag("disabled"),
    _text("started_at", required=True),
    _text("updated_at", required=True),
)

quotas = sa.Table(
    "quotas",
    metadata,
    _text("project_id", primary_key=True),
    _text("resource", primary_key=True),
    sa.Column("limit", sa.Integer, nullable=False),
)

image_cache_entries = sa.Table(
    "image_cache_entries",
    metadata,
    _text("backend", primary_key=True),
    _text("image_id", primary_key=True),
    _text("image_updated_at", required=True),
    _text("checksum"),
    _text("volume_id", required=True, unique=True),
    sa.Column("size", sa.Integer, nullable=False),
    _text("last_used", required=True),
    _flag("pinned"),
    _text("operation_id"),
)
"""What `db.image_cache.CacheEntry` tells; at most one entry of an image on a backend, so one flow fills it."""

verified_images = sa.Table(
    "verified_images",
    metadata,
    _text("image_id", primary_key=True),
    _text("location", primary_key=True),
    _text("hash", required=True),
    _text("verified_at", required=True),
)

images = sa.Table(
    "images",
    metadata,
    _id(),
    _text("name"),
    _text("status", required=True),
    _text("disk_format"),
    _text("container_format"),
    sa.Column("size", sa.BigInteger),
    sa.Column("virtual_size", sa.BigInteger),
    sa.Column("min_disk", sa.Integer, nullable=False, default=0),
    sa.Column("min_ram", sa.Integer, nullable=False, default=0),
    _text("checksum"),
    _text("os_hash_algo"),
    _text("os_hash_value"),
    _text("owner"),
    _text("visibility", required=True),
    _flag("protected"),
    _flag("os_hidden"),
    sa.Column("tags", Json, nullable=False, default=list),
    _json("properties"),
    _text("direct_url"),
    sa.Column("locations", Json, nullable=False, default=list),
    _text("created_at", required=True),
    _text("updated_at", required=True),
)

operations = sa.Table(
    "operations",
    metadata,
    _id(),
    _text("kind", required=True),
    _text("resource_type", required=True),
    _text("resource_id", required=True, index=True),
    _text("project_id", required=True),
    _text("user_id", required=True),
    _text("request_id", required=True),
    _text("state", required=True),
    _text("step"),
    _text("waiting"),
    _text("waits_for", index=True),
    sa.Column("bytes_done", sa.BigInteger, nullable=False, default=0),
    sa.Column("bytes_total", sa.BigInteger),
    sa.Column("rate", sa.Float),
    sa.Column("answers", Json, nullable=False, default=list),
    _text("message"),
    _flag("cancel_requested"),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    _text("created_at", required=True),
    _text("started_at"),
    _text("finished_at"),
    sa.Index(None, "project_id", "created_at", "id"),
    sa.Index(None, "finished_at"),
)

flow_requests = sa.Table(
    "flow_requests",
    metadata,
    _id(),
    _text("slot", required=True),
    _text("flow", required=True),
    sa.Column("version", sa.Integer, nullable=False, default=1),
    sa.Column("arguments", Json, nullable=False),
    sa.Column("context", Json, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    _text("created_at", required=True),
    sa.Index(None, "slot", "created_at"),
)
"""A flow that has to run: the id is the operation's. The row goes in the transaction that ends the flow."""

idempotency_keys = sa.Table(
    "idempotency_keys",
    metadata,
    _text("project_id", primary_key=True),
    _text("key", primary_key=True),
    _text("fingerprint", required=True),
    _text("resource_id", required=True),
    _text("created_at", required=True),
)

flow_checkpoints = sa.Table(
    "flow_checkpoints",
    metadata,
    _text("flow_id", primary_key=True),
    _text("step", primary_key=True),
    sa.Column("result", Json),
    _text("created_at", required=True),
)
"""What a durable step of a live flow answered, so that it is not done again."""

slots = sa.Table(
    "slots",
    metadata,
    _text("slot", primary_key=True),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    _text("host", required=True),
    _text("machine", required=True),
    sa.Column("pid", sa.Integer),
    sa.Column("process_started", sa.BigInteger, nullable=False),
    _text("taken_at", required=True),
)
"""Who owns a slot, PostgreSQL only; each owner has an epoch of its own. No pid: it was given back."""

events = sa.Table(
    "events",
    metadata,
    sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    _text("type", required=True),
    _text("resource_type", required=True),
    _text("resource_id", required=True),
    _text("project_id", required=True),
    _text("operation_id"),
    _json("payload"),
    _text("created_at", required=True),
    sa.Index(None, "resource_id"),
    sa.Index(None, "operation_id"),
    sqlite_autoincrement=True,
)
"""The outbox: what happened, written with the change it tells of."""

deliveries = sa.Table(
    "deliveries",
    metadata,
    _text("sink", primary_key=True),
    sa.Column("last_number", sa.BigInteger, nullable=False),
    _text("updated_at", required=True),
)
"""Up to which number each sink has the events."""
