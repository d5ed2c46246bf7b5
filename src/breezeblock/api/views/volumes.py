"""What a volume looks like, by microversion and role (Cinder: `api/v3/views/volumes.py` and the extensions' keys)."""

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breezeblock.api.call import Call
from breezeblock.api.shapes import Counted, GiB, Link, Time, since, stored
from breezeblock.api.views.groups import legacy_type
from breezeblock.db import tables
from breezeblock.model.volume import Volume

_volumes = tables.volumes
_attachments = tables.attachments

FIELDS = (
    "id status size availability_zone created_at updated_at name description volume_type_id snapshot_id source_volid "
    "metadata user_id bootable encryption_key_id replication_status multiattach attach_status migration_status "
    "provider_id consumes_quota host project_id admin_metadata image_metadata group_id"
).split()
"""The columns that a view needs, in the order in which it takes them."""

_JSON = frozenset({"metadata", "admin_metadata", "image_metadata"})

COLUMNS = tuple(sa.type_coerce(_volumes.c[name], sa.Text) if name in _JSON else _volumes.c[name] for name in FIELDS)
"""The columns to select: JSON as text, which goes out as it is."""

_TYPE_NAMES = sa.select(tables.volume_types.c.id, tables.volume_types.c.name)

SUMMARY_COLUMNS = (_volumes.c.id, _volumes.c.name)

_STATUS = {"managing": "creating", "error_managing": "error", "error_managing_deleting": "deleting"}
_SHOWN_ADMIN_METADATA = ("readonly", "attached_mode")


class VolumeAttachment(TypedDict):
    """An attachment as its volume shows it. `id` is the volume's; the host is for administrators and services."""

    id: str
    attachment_id: str
    volume_id: str
    server_id: str | None
    host_name: str | None
    device: str | None
    attached_at: Time | None


_Extended = TypedDict(
    "_Extended",
    {
        "os-vol-host-attr:host": NotRequired[str | None],
        "os-vol-mig-status-attr:migstat": NotRequired[str | None],
        "os-vol-mig-status-attr:name_id": NotRequired[None],
        "os-vol-tenant-attr:tenant_id": NotRequired[str],
        "volume_image_metadata": NotRequired[dict[str, str]],
    },
)
"""The keys of Cinder's extensions: for those whom policy tells them, and not in what create and update answer."""


class VolumeSummary(TypedDict):
    """A volume in the short list."""

    id: str
    name: str | None
    links: list[Link]


class VolumeDetail(VolumeSummary, _Extended):
    """A volume. `migration_status`, `provider_id` and `cluster_name` are for administrators."""

    status: str
    size: GiB
    availability_zone: str | None
    created_at: Time
    updated_at: Time | None
    description: str | None
    volume_type: str | None
    snapshot_id: str | None
    source_volid: str | None
    metadata: dict[str, str]
    user_id: str
    bootable: Literal["true", "false"]
    encrypted: bool
    replication_status: str | None
    consistencygroup_id: str | None
    multiattach: bool
    attachments: Sequence[VolumeAttachment]
    migration_status: NotRequired[str | None]
    group_id: NotRequired[Annotated[str | None, since(13)]]
    provider_id: NotRequired[Annotated[str | None, since(21, always=False)]]
    shared_targets: NotRequired[Annotated[bool, since(48)]]
    service_uuid: NotRequired[Annotated[str | None, since(48)]]
    cluster_name: NotRequired[Annotated[None, since(61, always=False)]]
    volume_type_id: NotRequired[Annotated[str | None, since(63)]]
    encryption_key_id: NotRequired[Annotated[str, since(64, always=False)]]
    consumes_quota: NotRequired[Annotated[bool, since(65)]]


class OneVolume(TypedDict):
    """A volume."""

    volume: VolumeDetail


class VolumeSummaries(Counted):
    """Volumes."""

    volumes: list[VolumeSummary]
    volumes_links: NotRequired[list[Link]]


class VolumeDetails(Counted):
    """Volumes, with all that is told of them."""

    volumes: list[VolumeDetail]
    volumes_links: NotRequired[list[Link]]


class VolumeTotals(TypedDict):
    """Number and GiB of volumes, and the values that each key of their metadata has."""

    total_count: int
    total_size: GiB
    metadata: NotRequired[Annotated[dict[str, list[str]], since(36)]]


VolumesSummed = TypedDict("VolumesSummed", {"volume-summary": VolumeTotals})

Attachments = Mapping[str, list[VolumeAttachment]]
"""The attachments of volumes, by the volume's id."""


def row_of(volume: Volume) -> tuple[Any, ...]:
    """A record as the row that the view takes."""
    return tuple(
        msgspec.json.encode(getattr(volume, name)).decode() if name in _JSON else getattr(volume, name)
        for name in FIELDS
    )


def type_names(connection: Connection) -> dict[str, str]:
    """The names of all types, by id."""
    return {row[0]: row[1] for row in connection.execute(_TYPE_NAMES)}


def legacy_groups(connection: Connection, rows: Iterable[Sequence[Any]]) -> Set[str]:
    """Which of the groups of these volumes are consistency groups; no statement where no volume has a group."""
    place = FIELDS.index("group_id")
    wanted = {row[place] for row in rows} - {None}
    if not wanted:
        return frozenset()
    groups = tables.groups
    query = sa.select(groups.c.id).where(groups.c.id.in_(wanted), legacy_type(groups.c.group_type_id))
    return frozenset(connection.execute(query).scalars())


def attachments_of(connection: Connection, rows: Iterable[Sequence[Any]], show_host: bool) -> Attachments:
    """The attachments to show with these volumes, in one statement; none where no volume is attached.

    The host is for administrators and services alone.
    """
    place = FIELDS.index("attach_status")
    attached = [row[0] for row in rows if row[place] != "detached"]
    found: dict[str, list[VolumeAttachment]] = {}
    if not attached:
        return found
    c = _attachments.c
    query = sa.select(c.id, c.volume_id, c.instance_uuid, c.attached_host, c.mountpoint, c.attach_time)
    query = query.where(c.volume_id.in_(attached), c.attach_status == "attached").order_by(c.created_at, c.id)
    for attachment_id, volume_id, server, host, mountpoint, time in connection.execute(query):
        shown: VolumeAttachment = {
            "id": volume_id,
            "attachment_id": attachment_id,
            "volume_id": volume_id,
            "server_id": server,
            "host_name": host if show_host else None,
            "device": mountpoint,
            "attached_at": time,
        }
        found.setdefault(volume_id, []).append(shown)
    return found


class VolumeView:
    """The view for one call: what depends on the caller alone is settled once, then a row costs one dictionary."""

    def __init__(
        self, call: Call, types: Mapping[str, str], legacy: Set[str] = frozenset(), *, extended: bool = True
    ) -> None:
        """`extended` is for show and list: the keys of Cinder's extensions, which create and update do not answer.

        `legacy` are the groups among those shown that are consistency groups.
        """
        self._legacy = legacy
        self._version = call.version
        self._types = types
        self._admin = call.context.is_admin
        self._self = call.links.own + "volumes/"
        self._bookmark = call.links.bookmark + "volumes/"
        self._host = extended and call.may("volume_extension:volume_host_attribute")
        self._migration = extended and call.may("volume_extension:volume_mig_status_attribute")
        self._tenant = extended and call.may("volume_extension:volume_tenant_attribute")
        self._image = extended and call.may("volume_extension:volume_image_metadata:show")

    def detail(self, row: Sequence[Any], attachments: Attachments) -> VolumeDetail:
        """All that this version tells of a volume."""
        (
            volume_id, status, size, zone, created_at, updated_at, name, description, type_id, snapshot_id, source_volid,
            metadata, user_id, bootable, key_id, replication_status, multiattach, _, migration_status,
            provider_id, consumes_quota, host, project_id, admin_metadata, image_metadata, group_id,
        ) = row  # fmt: skip
        version = self._version
        shown: VolumeDetail = {
            "id": volume_id,
            "status": _STATUS.get(status, status),
            "size": size,
            "availability_zone": zone,
            "created_at": created_at,
            "updated_at": updated_at,
            "name": name,
            "description": description,
            "volume_type": self._types.get(type_id, type_id),
            "snapshot_id": snapshot_id,
            "source_volid": source_volid,
            "metadata": stored(metadata) if admin_metadata == "{}" else _merged(metadata, admin_metadata),
            "links": [
                {"rel": "self", "href": self._self + volume_id},
                {"rel": "bookmark", "href": self._bookmark + volume_id},
            ],
            "user_id": user_id,
            "bootable": "true" if bootable else "false",
            "encrypted": key_id is not None,
            "replication_status": replication_status,
            "consistencygroup_id": group_id if group_id in self._legacy else None,
            "multiattach": multiattach,
            "attachments": attachments.get(volume_id, ()),
        }
        if self._admin:
            shown["migration_status"] = migration_status
        if version >= 13:
            shown["group_id"] = group_id
            if version >= 21 and self._admin:
                shown["provider_id"] = provider_id
            if version >= 48:
                self._add_newer(shown, type_id, key_id, consumes_quota)
        if self._host:
            shown["os-vol-host-attr:host"] = host
        if self._migration:
            shown["os-vol-mig-status-attr:migstat"] = migration_status
            shown["os-vol-mig-status-attr:name_id"] = None
        if self._tenant:
            shown["os-vol-tenant-attr:tenant_id"] = project_id
        if self._image and image_metadata != "{}":
            shown["volume_image_metadata"] = stored(image_metadata)
        return shown

    def _add_newer(self, shown: VolumeDetail, type_id: str | None, key_id: str | None, consumes_quota: bool) -> None:
        """The keys from 3.48 on. No backend here shares its targets, so that nobody need lock a host for one."""
        version = self._version
        shown["shared_targets"] = False
        shown["service_uuid"] = None
        if version >= 61 and self._admin:
            shown["cluster_name"] = None
        if version >= 63:
            shown["volume_type_id"] = type_id
        if version >= 64 and key_id is not None:
            shown["encryption_key_id"] = key_id
        if version >= 65:
            shown["consumes_quota"] = consumes_quota


def summary(call: Call, row: Sequence[Any]) -> VolumeSummary:
    """A volume in the short list."""
    return {"id": row[0], "name": row[1], "links": call.links.of("volumes", row[0])}


def _merged(metadata: str, admin_metadata: str) -> dict[str, str]:
    """The user's metadata with those of the administrators' that Cinder shows there."""
    hidden = msgspec.json.decode(admin_metadata)
    shown = {key: hidden[key] for key in _SHOWN_ADMIN_METADATA if key in hidden}
    merged: dict[str, str] = msgspec.json.decode(metadata) | shown
    return merged
