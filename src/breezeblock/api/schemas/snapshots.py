"""Bodies of the calls on snapshots (Cinder: `api/schemas/snapshots.py`)."""

from typing import Annotated

import msgspec
from msgspec import Meta

from breezeblock.api.bodies import Schema, envelope
from breezeblock.api.schemas.fields import Flag, Metadata, OneOfMetadata, Text, Uuid


class SnapshotCreate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """POST /snapshots."""

    volume_id: Uuid | None
    name: Text | None = None
    display_name: Text | None = None
    description: Text | None = None
    force: Flag | None = None
    metadata: Metadata | None = None


class SnapshotUpdate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """PUT /snapshots/{id}. What is not named stays."""

    name: Text | msgspec.UnsetType | None = msgspec.UNSET
    display_name: Text | msgspec.UnsetType | None = msgspec.UNSET
    description: Text | msgspec.UnsetType | None = msgspec.UNSET
    display_description: Text | msgspec.UnsetType | None = msgspec.UNSET


class StatusReset(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """os-reset_status of a snapshot or backup."""

    status: Text


class StatusUpdate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """os-update_snapshot_status, by a compute service that takes the snapshot itself."""

    status: str
    progress: Annotated[str, Meta(pattern=r"\A(100|[0-9]{1,2})%\Z")] | None = None


CREATE = envelope("snapshot", SnapshotCreate)
UPDATE = envelope("snapshot", SnapshotUpdate)
RESET_STATUS = Schema(StatusReset)
UPDATE_STATUS = Schema(StatusUpdate)
METADATA = envelope("metadata", Metadata, "SnapshotMetadataBody", closed=False)
META = envelope("meta", OneOfMetadata, "SnapshotMetaBody", closed=False)
"""Looser than those of volumes, as Cinder's are."""
