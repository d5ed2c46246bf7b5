"""Calls on group snapshots."""

from breezeblock.api import listing
from breezeblock.api.call import Call
from breezeblock.api.handlers.groups import check_generic
from breezeblock.api.listing import Filter, Listing, equals
from breezeblock.api.schemas.fields import trimmed
from breezeblock.api.schemas.group_snapshots import GroupSnapshotCreate
from breezeblock.api.schemas.groups import GroupStatusReset
from breezeblock.api.views import group_snapshots as view
from breezeblock.api.views.group_snapshots import GroupSnapshotView
from breezeblock.api.views.groups import legacy_type
from breezeblock.db import group_snapshots as group_snapshot_rows
from breezeblock.db import groups as group_rows
from breezeblock.db import tables
from breezeblock.services import group_snapshots

PAGED = 29
"""Before this version a list is whole, whatever the query says."""

LISTING = Listing(
    noun="GroupSnapshot",
    table=tables.group_snapshots,
    filters={
        "name": Filter(make=equals),
        "description": Filter(make=equals),
        "status": Filter(make=equals),
        "group_id": Filter(make=equals),
        "group_type_id": Filter(make=equals),
        "user_id": Filter(make=equals),
        "id": Filter(make=equals),
        "project_id": Filter(make=equals, admin=True),
    },
    sort_keys=frozenset("id name status group_id group_type_id created_at updated_at project_id".split()),
    links="group_snapshot_links",
)


def create(call: Call) -> view.NewGroupSnapshot:
    """POST /group_snapshots."""
    body: GroupSnapshotCreate = call.body.content
    with call.database.read() as connection:
        group = group_rows.get(connection, body.group_id, call.context.own_project)
    check_generic(call, group.group_type_id)
    made = group_snapshots.create_group_snapshot(
        call.database,
        call.settings,
        call.context,
        group_id=body.group_id,
        name=trimmed(body.name),
        description=trimmed(body.description),
    )
    return {"group_snapshot": {"id": made.id, "name": made.name, "group_type_id": made.group_type_id}}


def show(call: Call) -> view.OneGroupSnapshot:
    """GET /group_snapshots/{id}."""
    with call.database.read() as connection:
        row = listing.one(call, connection, LISTING, view.COLUMNS, call.id)
    check_generic(call, row.group_type_id)
    return {"group_snapshot": GroupSnapshotView(call).detail(row)}


def summaries(call: Call) -> view.GroupSnapshotSummaries:
    """GET /group_snapshots."""
    page = listing.page(_unpaged(call), LISTING, view.SUMMARY_COLUMNS, "group_snapshots", _generic())
    return page.whole(
        view.GroupSnapshotSummaries(group_snapshots=[{"id": row.id, "name": row.name} for row in page.rows])
    )


def details(call: Call) -> view.GroupSnapshotDetails:
    """GET /group_snapshots/detail."""
    page = listing.page(_unpaged(call), LISTING, view.COLUMNS, "group_snapshots/detail", _generic())
    detail = GroupSnapshotView(call).detail
    return page.whole(view.GroupSnapshotDetails(group_snapshots=[detail(row) for row in page.rows]))


def _unpaged(call: Call) -> Call:
    if call.version < PAGED:
        call.query.clear()
    return call


def _generic() -> listing.Condition:
    return ~legacy_type(tables.group_snapshots.c.group_type_id)


def delete(call: Call) -> None:
    """DELETE /group_snapshots/{id}."""
    with call.database.read() as connection:
        taken = group_snapshot_rows.get(connection, call.id, call.context.own_project)
    check_generic(call, taken.group_type_id)
    group_snapshots.delete_group_snapshot(call.database, call.context, call.id)


def reset_status(call: Call) -> None:
    """reset_status (3.19, administrators)."""
    body: GroupStatusReset = call.body
    group_snapshots.reset_status(call.database, call.context, call.id, body.status.strip().lower())
