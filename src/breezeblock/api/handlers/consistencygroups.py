"""The old calls on consistency groups and their snapshots: groups of the type `default_cgsnapshot_type`.

As in Cinder they also show and change the groups of other types.
"""

import msgspec

from breezeblock.api import listing
from breezeblock.api.call import Call
from breezeblock.api.handlers import group_snapshots as snapshot_handlers
from breezeblock.api.handlers import groups as group_handlers
from breezeblock.api.schemas.consistencygroups import (
    CgsnapshotCreate,
    ConsistencyGroupCopy,
    ConsistencyGroupCreate,
    ConsistencyGroupUpdate,
)
from breezeblock.api.schemas.fields import flag, trimmed
from breezeblock.api.views import group_snapshots as snapshot_view
from breezeblock.api.views import groups as view
from breezeblock.db.group_types import DEFAULT_CGSNAPSHOT_TYPE
from breezeblock.errors import InvalidInput
from breezeblock.services import group_snapshots, groups

BLANK_PROPERTIES = 6
"""From this version on a name or description may become empty."""

LISTING = msgspec.structs.replace(group_handlers.LISTING, strict_since=None, links="consistencygroup_links")
SNAPSHOT_LISTING = msgspec.structs.replace(snapshot_handlers.LISTING, strict_since=None)


def create(call: Call) -> view.NewConsistencyGroup:
    """POST /consistencygroups."""
    body: ConsistencyGroupCreate = call.body.content
    types = group_handlers.ids(body.volume_types)
    if not types:
        raise InvalidInput(f"volume_types must be provided to create consistency group {body.name}.")
    made = groups.create_group(
        call.database,
        call.settings,
        call.context,
        group_type=DEFAULT_CGSNAPSHOT_TYPE,
        wanted_types=types,
        name=trimmed(body.name),
        description=trimmed(body.description),
        availability_zone=body.availability_zone,
    )
    return {"consistencygroup": view.summary(made.id, made.name)}


def create_from_src(call: Call) -> view.NewConsistencyGroup:
    """POST /consistencygroups/create_from_src."""
    body: ConsistencyGroupCopy = call.body.content
    if not body.cgsnapshot_id and not body.source_cgid:
        raise InvalidInput(
            f"Either 'cgsnapshot_id' or 'source_cgid' must be provided to create consistency group {body.name} from "
            "source."
        )
    if body.cgsnapshot_id and body.source_cgid:
        raise InvalidInput(
            f"Cannot provide both 'cgsnapshot_id' and 'source_cgid' to create consistency group {body.name} from "
            "source."
        )
    made = groups.create_group_from_src(
        call.database,
        call.settings,
        call.context,
        name=trimmed(body.name),
        description=trimmed(body.description),
        group_snapshot_id=body.cgsnapshot_id or None,
        source_group_id=body.source_cgid or None,
    )
    return {"consistencygroup": view.summary(made.id, made.name)}


def show(call: Call) -> view.OneConsistencyGroup:
    """GET /consistencygroups/{id}."""
    with call.database.read() as connection:
        row = listing.one(call, connection, LISTING, view.COLUMNS, call.id)
    return {"consistencygroup": view.consistency_group(row)}


def summaries(call: Call) -> view.ConsistencyGroupSummaries:
    """GET /consistencygroups."""
    page = listing.page(call, LISTING, view.SUMMARY_COLUMNS, "consistencygroups")
    return page.whole(view.ConsistencyGroupSummaries(consistencygroups=[view.summary(*row) for row in page.rows]))


def details(call: Call) -> view.ConsistencyGroupDetails:
    """GET /consistencygroups/detail."""
    page = listing.page(call, LISTING, view.COLUMNS, "consistencygroups/detail")
    return page.whole(
        view.ConsistencyGroupDetails(consistencygroups=[view.consistency_group(row) for row in page.rows])
    )


def update(call: Call) -> None:
    """PUT /consistencygroups/{id}/update, and without the last word, as clients ask."""
    body: ConsistencyGroupUpdate = call.body.content
    adding, removing = group_handlers.ids(body.add_volumes), group_handlers.ids(body.remove_volumes)
    named = (body.name, body.description)
    if not adding and not removing:
        if call.version >= BLANK_PROPERTIES and named == (None, None):
            raise InvalidInput(
                "Must specify one or more of the following keys to update: name, description, add_volumes, "
                "remove_volumes."
            )
        if call.version < BLANK_PROPERTIES and not any(named):
            raise InvalidInput(
                "Name, description, add_volumes, and remove_volumes can not be all empty in the request body."
            )
    groups.update_group(
        call.database,
        call.context,
        call.id,
        add_volumes=adding,
        remove_volumes=removing,
        name=trimmed(body.name),
        description=trimmed(body.description),
    )


def delete(call: Call) -> None:
    """POST /consistencygroups/{id}/delete, with its volumes by `force`."""
    force = call.body is not None and flag(call.body.content.force, "force")
    groups.delete_group(call.database, call.context, call.id, force)


def create_snapshot(call: Call) -> snapshot_view.NewCgsnapshot:
    """POST /cgsnapshots."""
    body: CgsnapshotCreate = call.body.content
    made = group_snapshots.create_group_snapshot(
        call.database,
        call.settings,
        call.context,
        group_id=body.consistencygroup_id,
        name=trimmed(body.name),
        description=trimmed(body.description),
    )
    return {"cgsnapshot": {"id": made.id, "name": made.name}}


def show_snapshot(call: Call) -> snapshot_view.OneCgsnapshot:
    """GET /cgsnapshots/{id}."""
    with call.database.read() as connection:
        row = listing.one(call, connection, SNAPSHOT_LISTING, snapshot_view.COLUMNS, call.id)
    return {"cgsnapshot": snapshot_view.cgsnapshot(row)}


def snapshot_summaries(call: Call) -> snapshot_view.CgsnapshotSummaries:
    """GET /cgsnapshots."""
    page = listing.page(call, SNAPSHOT_LISTING, snapshot_view.SUMMARY_COLUMNS, "cgsnapshots")
    return {"cgsnapshots": [{"id": row.id, "name": row.name} for row in page.rows]}


def snapshot_details(call: Call) -> snapshot_view.CgsnapshotDetails:
    """GET /cgsnapshots/detail."""
    page = listing.page(call, SNAPSHOT_LISTING, snapshot_view.COLUMNS, "cgsnapshots/detail")
    return {"cgsnapshots": [snapshot_view.cgsnapshot(row) for row in page.rows]}


def delete_snapshot(call: Call) -> None:
    """DELETE /cgsnapshots/{id}."""
    group_snapshots.delete_group_snapshot(call.database, call.context, call.id)
