"""Calls on snapshots."""

from typing import Any

import sqlalchemy as sa
from msgspec import UNSET

from breezeblock.api import listing
from breezeblock.api.call import Call
from breezeblock.api.listing import Condition, Filter, Listing, boolean, equals, members, named, number, times
from breezeblock.api.schemas.fields import flag, trimmed
from breezeblock.api.schemas.snapshots import SnapshotCreate, SnapshotUpdate, StatusReset, StatusUpdate
from breezeblock.api.views import snapshots as view
from breezeblock.api.views.snapshots import SnapshotView
from breezeblock.db import tables
from breezeblock.errors import InvalidInput, NotFound
from breezeblock.services import snapshots

IN_USE = 66


def _in_zone(column: sa.Column[Any], name: str, value: str) -> Condition:
    """The snapshot's volume lies in this zone."""
    volumes = tables.volumes
    return sa.exists().where(volumes.c.id == column, volumes.c.availability_zone == value)


LISTING = Listing(
    noun="Snapshot",
    table=tables.snapshots,
    filters={
        "name": Filter(make=named),
        "display_name": Filter(make=named, column="name"),
        "description": Filter(make=equals),
        "status": Filter(make=equals),
        "volume_id": Filter(make=equals),
        "availability_zone": Filter(make=_in_zone, column="volume_id"),
        "volume_size": Filter(make=number),
        "metadata": Filter(make=members, since=22),
        "user_id": Filter(make=equals),
        "created_at": Filter(make=times, since=60),
        "updated_at": Filter(make=times, since=60),
        "consumes_quota": Filter(make=boolean, since=65),
        "id": Filter(make=equals),
        "project_id": Filter(make=equals, admin=True),
        "tenant_id": Filter(make=equals, column="project_id", admin=True),
        "host": Filter(make=equals, admin=True),
    },
    sort_keys=frozenset(
        "id name display_name status volume_id volume_size created_at updated_at project_id user_id".split()
    ),
    renamed={"display_name": "name"},
    keys_since={"name": 30},
)


def create(call: Call) -> view.OneSnapshot:
    """POST /snapshots. From 3.66 on a volume in use needs no force, and `force` may only be true."""
    body: SnapshotCreate = call.body.content
    if body.volume_id is None:
        raise NotFound("Volume None could not be found.")
    force = flag(body.force, "force")
    if call.version >= IN_USE:
        if body.force is not None and not force:
            raise InvalidInput(
                "Since microversion 3.66 the 'force' flag is invalid for this request. For backward compatability, "
                "however, when the 'force' flag is passed with a value evaluating to True, it is silently ignored."
            )
        force = True
    snapshot = snapshots.create_snapshot(
        call.database,
        call.settings,
        call.context,
        volume_id=body.volume_id,
        name=trimmed(body.name if body.name is not None else body.display_name),
        description=trimmed(body.description),
        metadata=body.metadata,
        force=force,
        idempotency_key=call.idempotency_key,
    )
    return {"snapshot": SnapshotView(call, extended=False).detail(view.row_of(snapshot))}


def show(call: Call) -> view.OneSnapshot:
    """GET /snapshots/{id}."""
    with call.database.read() as connection:
        row = listing.one(call, connection, LISTING, view.COLUMNS, call.id)
    return {"snapshot": SnapshotView(call, extended=True).detail(row)}


def summaries(call: Call) -> view.SnapshotSummaries:
    """GET /snapshots."""
    page = listing.page(call, LISTING, view.COLUMNS, "snapshots")
    summary = SnapshotView(call, extended=False).summary
    return page.whole(view.SnapshotSummaries(snapshots=[summary(row) for row in page.rows]))


def details(call: Call) -> view.SnapshotDetails:
    """GET /snapshots/detail."""
    page = listing.page(call, LISTING, view.COLUMNS, "snapshots/detail")
    detail = SnapshotView(call, extended=True).detail
    return page.whole(view.SnapshotDetails(snapshots=[detail(row) for row in page.rows]))


def update(call: Call) -> view.OneSnapshot:
    """PUT /snapshots/{id}: name and description."""
    body: SnapshotUpdate = call.body.content
    values: dict[str, Any] = {}
    for key, spellings in {
        "name": (body.name, body.display_name),
        "description": (body.description, body.display_description),
    }.items():
        given = [one for one in spellings if one is not UNSET]
        if given:
            values[key] = trimmed(given[0])
    if not values:
        raise InvalidInput("Invalid input for field/attribute snapshot. One of name, description is required.")
    snapshot = snapshots.update_snapshot(call.database, call.context, call.id, **values)
    return {"snapshot": SnapshotView(call, extended=False).detail(view.row_of(snapshot))}


def delete(call: Call) -> None:
    """DELETE /snapshots/{id}."""
    snapshots.delete_snapshot(call.database, call.context, call.id)


def force_delete(call: Call) -> None:
    """os-force_delete (administrators)."""
    snapshots.delete_snapshot(call.database, call.context, call.id, force=True)


def reset_status(call: Call) -> None:
    """os-reset_status (administrators)."""
    body: StatusReset = call.body
    snapshots.reset_status(call.database, call.context, call.id, body.status.lower())


def update_status(call: Call) -> None:
    """os-update_snapshot_status: how far it is with what is under way."""
    body: StatusUpdate = call.body
    snapshots.update_status(call.database, call.context, call.id, body.status, body.progress)
