"""What a volume looks like, by microversion and role (Cinder: `api/v3/views/volumes.py` and the extensions' keys)."""

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breezeblock.api.call import Call
from breezeblock.api.views.groups import legacy_type
from breezeblock.db import tables
from breezeblock.model.volume import Volume
from breezeblock.model.volume_type import VolumeType
from breezeblock.services.uploads import Uploading

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

SUMMARY_COLUMNS = (_volumes.c.id, _volumes.c.name)

_STATUS = {"managing": "creating", "error_managing": "error", "error_managing_deleting": "deleting"}
_SHOWN_ADMIN_METADATA = ("readonly", "attached_mode")

Attachments = Mapping[str, list[dict[str, Any]]]
"""The attachments of volumes, by the volume's id."""


def row_of(volume: Volume) -> tuple[Any, ...]:
    """A record as the row that the view takes."""
    return tuple(
        msgspec.json.encode(getattr(volume, name)).decode() if name in _JSON else getattr(volume, name)
        for name in FIELDS
    )


def type_names(connection: Connection) -> dict[str, str]:
    """The names of all types, by id."""
    types = tables.volume_types
    return {row[0]: row[1] for row in connection.execute(sa.select(types.c.id, types.c.name))}


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
    found: dict[str, list[dict[str, Any]]] = {}
    if not attached:
        return found
    c = _attachments.c
    query = sa.select(c.id, c.volume_id, c.instance_uuid, c.attached_host, c.mountpoint, c.attach_time)
    query = query.where(c.volume_id.in_(attached), c.attach_status == "attached").order_by(c.created_at, c.id)
    for attachment_id, volume_id, server, host, mountpoint, time in connection.execute(query):
        shown = {
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

    def detail(self, row: Sequence[Any], attachments: Attachments) -> dict[str, Any]:
        """All that this version tells of a volume."""
        (
            volume_id, status, size, zone, created_at, updated_at, name, description, type_id, snapshot_id, source_volid,
            metadata, user_id, bootable, key_id, replication_status, multiattach, _, migration_status,
            provider_id, consumes_quota, host, project_id, admin_metadata, image_metadata, group_id,
        ) = row  # fmt: skip
        version = self._version
        shown: dict[str, Any] = {
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
            "metadata": msgspec.Raw(metadata) if admin_metadata == "{}" else _merged(metadata, admin_metadata),
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
            shown["volume_image_metadata"] = msgspec.Raw(image_metadata)
        return shown

    def _add_newer(self, shown: dict[str, Any], type_id: str | None, key_id: str | None, consumes_quota: bool) -> None:
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


def summary(call: Call, row: Sequence[Any]) -> dict[str, Any]:
    """A volume in the short list."""
    return {"id": row[0], "name": row[1], "links": call.links.of("volumes", row[0])}


def uploading(begun: Uploading) -> dict[str, Any]:
    """What os-volume_upload_image answers; the type is the whole record, as Cinder gives it, without its extra specs."""
    volume, image, kind = begun.volume, begun.image, begun.volume_type
    return {
        "id": volume.id,
        "updated_at": volume.updated_at,
        "status": volume.status,
        "display_description": volume.description,
        "size": volume.size,
        "volume_type": kind and _type_record(kind),
        "image_id": image.id,
        "container_format": image.container_format,
        "disk_format": image.disk_format,
        "image_name": image.name,
        "protected": image.protected,
        "visibility": image.visibility,
    }


def _type_record(kind: VolumeType) -> dict[str, Any]:
    return {
        "id": kind.id,
        "name": kind.name,
        "description": kind.description,
        "is_public": kind.is_public,
        "qos_specs_id": None,
        "created_at": kind.created_at,
        "updated_at": kind.updated_at,
        "deleted": False,
        "deleted_at": None,
    }


def _merged(metadata: str, admin_metadata: str) -> dict[str, str]:
    """The user's metadata with those of the administrators' that Cinder shows there."""
    hidden = msgspec.json.decode(admin_metadata)
    shown = {key: hidden[key] for key in _SHOWN_ADMIN_METADATA if key in hidden}
    merged: dict[str, str] = msgspec.json.decode(metadata) | shown
    return merged
