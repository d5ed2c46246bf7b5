"""Bodies of the calls that manage what lies on a backend (Cinder: `api/schemas/volume_manage.py`, `snapshot_manage.py`)."""

from typing import Annotated, Any, Literal, TypedDict

import msgspec
from msgspec import Meta

from breezeblock.api.bodies import envelope
from breezeblock.api.schemas.fields import Flag, Metadata, Text, Uuid
from breezeblock.api.shapes import since


class VolumeManage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """POST /os-volume-manage."""

    ref: dict[str, Any] | str
    host: Text | None = None
    name: Text | None = None
    description: Text | None = None
    volume_type: Text | None = None
    availability_zone: Text | None = None
    bootable: Flag | None = None
    metadata: Metadata | None = None


class ClusterVolumeManage(VolumeManage, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same from 3.16 on: a host or a cluster."""

    cluster: Text | None = None


class SnapshotManage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """POST /os-snapshot-manage."""

    volume_id: Uuid
    ref: dict[str, Any] | str | None
    name: Text | None = None
    description: Text | None = None
    metadata: Metadata | None = None


class Query(TypedDict, total=False):
    """What lies on a backend: of which host, and which part of it. The marker is a reference, as JSON."""

    host: str
    cluster: Annotated[str, since(17)]
    limit: Annotated[int, Meta(ge=0, le=999_999_999)]
    offset: Annotated[int, Meta(ge=0, le=999_999_999)]
    marker: str
    sort: Annotated[str, Meta(pattern=r"\A(reference|size)(:(asc|desc))?(,(reference|size)(:(asc|desc))?)*\Z")]
    sort_key: Literal["reference", "size"]
    sort_dir: Literal["asc", "desc"]


MANAGE_VOLUME = {0: envelope("volume", VolumeManage), 16: envelope("volume", ClusterVolumeManage)}
MANAGE_SNAPSHOT = envelope("snapshot", SnapshotManage)
