"""Calls on volumes."""

from typing import Any, TypedDict

import msgspec
import sqlalchemy as sa
from msgspec import UNSET

from breezeblock.api import listing
from breezeblock.api.call import Call
from breezeblock.api.listing import Filter, Listing, boolean, equals, members, named, number, one_of_either, times
from breezeblock.api.schemas.fields import flag, trimmed
from breezeblock.api.schemas.volumes import SchedulerHints, VolumeCreate, VolumeUpdate
from breezeblock.api.shapes import Time
from breezeblock.api.views import volumes as view
from breezeblock.api.views.volumes import VolumeView
from breezeblock.db import tables
from breezeblock.errors import InvalidInput
from breezeblock.model.volume import Volume
from breezeblock.services import volumes
from breezeblock.services.hints import AskedHints

FROM_BACKUP = 47

LISTING = Listing(
    noun="Volume",
    table=tables.volumes,
    filters={
        "name": Filter(make=named),
        "description": Filter(make=equals),
        "display_name": Filter(make=named, column="name"),
        "status": Filter(make=equals),
        "metadata": Filter(make=members),
        "glance_metadata": Filter(make=members, column="image_metadata", since=4),
        "bootable": Filter(make=boolean),
        "multiattach": Filter(make=boolean),
        "migration_status": Filter(make=equals),
        "replication_status": Filter(make=equals),
        "attach_status": Filter(make=equals),
        "availability_zone": Filter(make=equals),
        "size": Filter(make=number),
        "snapshot_id": Filter(make=equals),
        "source_volid": Filter(make=equals),
        "volume_type_id": Filter(make=equals),
        "user_id": Filter(make=equals),
        "group_id": Filter(make=equals, since=10),
        "created_at": Filter(make=times, since=60),
        "updated_at": Filter(make=times, since=60),
        "consumes_quota": Filter(make=boolean, since=65),
        "encrypted": Filter(make=one_of_either, column="encryption_key_id"),
        "id": Filter(make=equals),
        "project_id": Filter(make=equals, admin=True),
        "tenant_id": Filter(make=equals, column="project_id", admin=True),
        "host": Filter(make=equals, admin=True),
    },
    sort_keys=frozenset(
        "id name display_name status size created_at updated_at availability_zone bootable host attach_status "
        "volume_type_id project_id user_id snapshot_id source_volid launched_at scheduled_at".split()
    ),
    renamed={"display_name": "name"},
)


def create(call: Call) -> view.OneVolume:
    """POST /volumes: the volume in `creating`; a flow makes it."""
    request, key = create_request(call), call.idempotency_key
    volume = volumes.create_volume(call.database, call.settings, call.catalog, call.context, request, key)
    return _answer(call, volume)


def create_request(call: Call) -> volumes.CreateVolume:
    """What a create (or its plan) asks for, of the body's several spellings."""
    body: VolumeCreate = call.body.content
    if flag(body.multiattach, "multiattach"):
        raise InvalidInput(
            "multiattach parameter has been removed. The default behavior is to use multiattach enabled volume types. "
            "Contact your administrator to create a multiattach enabled volume type and use it to create multiattach "
            "volumes."
        )
    image_ref = body.image_ref if body.image_ref is not None else body.image_id
    if image_ref is not None:
        call.must("volume:create_from_image")
    return volumes.CreateVolume(
        size=body.size,
        name=trimmed(body.name if body.name is not None else body.display_name),
        description=trimmed(body.description if body.description is not None else body.display_description),
        availability_zone=body.availability_zone,
        volume_type=body.volume_type or None,
        group_id=(body.group_id if call.version >= 13 else None) or body.consistencygroup_id,
        metadata=body.metadata or {},
        snapshot_id=body.snapshot_id,
        source_volid=body.source_volid,
        source_replica=body.source_replica,
        image_ref=image_ref.rpartition("/")[2] if image_ref is not None else None,
        backup_id=body.backup_id if call.version >= FROM_BACKUP else None,
        hints=_hints(call.body.hints),
    )


def _hints(asked: SchedulerHints | None) -> AskedHints:
    """The scheduler hints; one volume may be said instead of several. Raises `InvalidInput`."""
    if asked is None:
        return AskedHints()
    same, different = (
        (one,) if isinstance(one, str) else tuple(one or ()) for one in (asked.same_host, asked.different_host)
    )
    if len(set(same)) != len(same) or len(set(different)) != len(different):
        raise InvalidInput("Invalid input for field/attribute OS-SCH-HNT:scheduler_hints. It has non-unique elements.")
    query = asked.query
    return AskedHints(
        same_host=same or None,
        different_host=different,
        local_to_instance=asked.local_to_instance,
        query=query if query is None or isinstance(query, str) else msgspec.json.encode(query).decode(),
    )


class VolumePlan(TypedDict):
    """What a create would do. One that is not possible says why, and with which status it would be refused."""

    plan: volumes.Plan


def plan(call: Call) -> VolumePlan:
    """POST /volumes/plan (ours): what the create of the same body would do, and why."""
    request = create_request(call)
    return {"plan": volumes.plan_volume(call.database, call.settings, call.catalog, call.context, request)}


def show(call: Call) -> view.OneVolume:
    """GET /volumes/{id}."""
    with call.database.read() as connection:
        row = listing.one(call, connection, LISTING, view.COLUMNS, call.id)
        attachments = view.attachments_of(connection, [row], _sees_hosts(call))
        types, legacy = view.type_names(connection), view.legacy_groups(connection, [row])
    return {"volume": VolumeView(call, types, legacy).detail(row, attachments)}


def summaries(call: Call) -> view.VolumeSummaries:
    """GET /volumes."""
    page = listing.page(call, LISTING, view.SUMMARY_COLUMNS, "volumes")
    return page.whole(view.VolumeSummaries(volumes=[view.summary(call, row) for row in page.rows]))


def details(call: Call) -> view.VolumeDetails:
    """GET /volumes/detail."""
    page = listing.page(call, LISTING, view.COLUMNS, "volumes/detail")
    with call.database.read() as connection:
        attachments = view.attachments_of(connection, page.rows, _sees_hosts(call))
        legacy = view.legacy_groups(connection, page.rows)
        detail = VolumeView(call, view.type_names(connection), legacy).detail
    return page.whole(view.VolumeDetails(volumes=[detail(row, attachments) for row in page.rows]))


def summary(call: Call) -> view.VolumesSummed:
    """GET /volumes/summary (3.12): number, GiB, and from 3.36 the values of each metadata key."""
    table = tables.volumes
    conditions = listing.conditions(call, LISTING)
    columns = [sa.func.count(), sa.func.coalesce(sa.func.sum(table.c.size), 0)]
    with call.database.read() as connection:
        count, size = connection.execute(sa.select(*columns).select_from(table).where(*conditions)).one()
        shown: view.VolumeTotals = {"total_count": count, "total_size": int(size)}
        if call.version >= 36:
            texts = connection.scalars(sa.select(table.c.metadata).where(*conditions).distinct())
            shown["metadata"] = _distinct(texts)
    return {"volume-summary": shown}


def _distinct(metadata: Any) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for one in metadata:
        for key, value in one.items():
            known = values.setdefault(key, [])
            if value not in known:
                known.append(value)
    return values


def update(call: Call) -> view.OneVolume:
    """PUT /volumes/{id}: name, description, metadata."""
    body: VolumeUpdate = call.body.content
    values: dict[str, Any] = {}
    for key, spellings in {
        "name": (body.name, body.display_name),
        "description": (body.description, body.display_description),
    }.items():
        given = [one for one in spellings if one is not UNSET]
        if given:
            values[key] = trimmed(given[0])
    if body.metadata is not UNSET:
        values["metadata"] = body.metadata
    if not values and call.version >= 53:
        raise InvalidInput("Invalid input for field/attribute volume. One of name, description, metadata is required.")
    volume = volumes.update_volume(call.database, call.context, call.id, **values)
    return _answer(call, volume)


def delete(call: Call) -> None:
    """DELETE /volumes/{id}?cascade=&force= (force from 3.23, for administrators)."""
    force = call.version >= 23 and call.flag("force")
    if force:
        call.must("volume:force_delete")
    volumes.delete_volume(call.database, call.context, call.id, cascade=call.flag("cascade"), force=force)


class Replication(TypedDict):
    """Whether a volume has a replica, and when it was last in step."""

    volume_id: str
    status: str
    last_in_step_at: Time | None


class VolumeReplication(TypedDict):
    """The replication of a volume."""

    replication: Replication


def replication(call: Call) -> VolumeReplication:
    """GET /volumes/{id}/replication (ours): whether the volume has a replica and when it was last in step."""
    table = tables.volumes
    columns = (table.c.id, table.c.replication_status, table.c.replicated_at)
    with call.database.read() as connection:
        volume_id, status, replicated_at = listing.one(call, connection, LISTING, columns, call.id)
    return {
        "replication": {
            "volume_id": volume_id,
            "status": status or "disabled",
            "last_in_step_at": replicated_at,
        }
    }


def _sees_hosts(call: Call) -> bool:
    return call.context.is_admin or call.context.is_service


def _answer(call: Call, volume: Volume) -> view.OneVolume:
    """What create and update answer: the volume without the extensions' keys."""
    row = view.row_of(volume)
    with call.database.read() as connection:
        attachments = view.attachments_of(connection, [row], _sees_hosts(call))
        types, legacy = view.type_names(connection), view.legacy_groups(connection, [row])
    return {"volume": VolumeView(call, types, legacy, extended=False).detail(row, attachments)}
