"""Calls on groups."""

from typing import Any

from msgspec import UNSET

from breezeblock.api import listing
from breezeblock.api.call import Call
from breezeblock.api.listing import Filter, Listing, equals, passed_over
from breezeblock.api.schemas.fields import flag, trimmed
from breezeblock.api.schemas.groups import (
    GroupCreate,
    GroupCreateFromSrc,
    GroupDelete,
    GroupFailover,
    GroupStatusReset,
    GroupUpdate,
)
from breezeblock.api.views import groups as view
from breezeblock.api.views.groups import GroupView
from breezeblock.db import group_snapshots as group_snapshot_rows
from breezeblock.db import group_types, tables
from breezeblock.db import groups as group_rows
from breezeblock.errors import InvalidInput
from breezeblock.model.group_type import GroupType
from breezeblock.services import group_replication, groups

LIST_VOLUME = 25

LISTING = Listing(
    noun="Group",
    table=tables.groups,
    filters={
        "name": Filter(make=equals),
        "description": Filter(make=equals),
        "status": Filter(make=equals),
        "availability_zone": Filter(make=equals),
        "group_type_id": Filter(make=equals),
        "group_snapshot_id": Filter(make=equals),
        "source_group_id": Filter(make=equals),
        "user_id": Filter(make=equals),
        "id": Filter(make=equals),
        "list_volume": Filter(make=passed_over, column="id"),
        "project_id": Filter(make=equals, admin=True),
        "host": Filter(make=equals, admin=True),
    },
    sort_keys=frozenset("id name status group_type_id availability_zone created_at updated_at project_id host".split()),
    links="group_links",
)


def create(call: Call) -> view.NewGroup:
    """POST /groups."""
    body: GroupCreate = call.body.content
    if len(set(body.volume_types)) != len(body.volume_types):
        raise InvalidInput("Invalid input for field/attribute volume_types. It has non-unique elements.")
    with call.database.read() as connection:
        kind = group_types.find(connection, body.group_type)
    refuse_legacy(kind, body.group_type)
    made = groups.create_group(
        call.database,
        call.settings,
        call.context,
        group_type=body.group_type,
        wanted_types=body.volume_types,
        name=trimmed(body.name),
        description=trimmed(body.description),
        availability_zone=body.availability_zone,
    )
    return {"group": view.summary(made.id, made.name)}


def create_from_src(call: Call) -> view.NewGroup:
    """create-from-src (3.14): of a group snapshot or of another group."""
    body: GroupCreateFromSrc = call.body
    if (body.group_snapshot_id is None) == (body.source_group_id is None):
        raise InvalidInput(
            "Invalid input for field/attribute create-from-src. Exactly one of group_snapshot_id, source_group_id is "
            "required."
        )
    with call.database.read() as connection:
        if body.group_snapshot_id is not None:
            source: Any = group_snapshot_rows.get(connection, body.group_snapshot_id, call.context.own_project)
        else:
            source = group_rows.get(connection, str(body.source_group_id), call.context.own_project)
    check_generic(call, source.group_type_id)
    made = groups.create_group_from_src(
        call.database,
        call.settings,
        call.context,
        name=trimmed(body.name),
        description=trimmed(body.description),
        group_snapshot_id=body.group_snapshot_id,
        source_group_id=body.source_group_id,
    )
    return {"group": view.summary(made.id, made.name)}


def check_generic(call: Call, group_type_id: str) -> None:
    """Raises `InvalidInput` for the type of consistency groups: their groups have calls of their own."""
    with call.database.read() as connection:
        kind = group_types.find(connection, group_type_id)
    refuse_legacy(kind, group_type_id)


def refuse_legacy(kind: GroupType | None, asked: str) -> None:
    """Raises `InvalidInput` where a type is that of consistency groups."""
    if kind is not None and kind.name == group_types.DEFAULT_CGSNAPSHOT_TYPE:
        raise InvalidInput(
            f"Group_type {asked} is reserved for migrating CGs to groups. Migrated group can only be operated by CG "
            "APIs."
        )


def _check_own(call: Call) -> None:
    """Raises `NotFound`, and what `check_generic` raises, for the group in the path."""
    with call.database.read() as connection:
        group = group_rows.get(connection, call.id, call.context.own_project)
    check_generic(call, group.group_type_id)


def show(call: Call) -> view.OneGroup:
    """GET /groups/{id}, from 3.25 on with its volumes by `?list_volume=True`."""
    with call.database.read() as connection:
        row = listing.one(call, connection, LISTING, view.COLUMNS, call.id)
    check_generic(call, row.group_type_id)
    return {"group": GroupView(call, _volumes(call, [row])).detail(row)}


def _volumes(call: Call, rows: Any) -> dict[str, list[str]] | None:
    """The ids of the volumes of each group, where the call wants them."""
    if call.version < LIST_VOLUME or not call.flag("list_volume"):
        return None
    with call.database.read() as connection:
        return group_rows.volume_ids(connection, [row[0] for row in rows])


def summaries(call: Call) -> view.GroupSummaries:
    """GET /groups."""
    page = listing.page(call, LISTING, view.SUMMARY_COLUMNS, "groups", _generic())
    return page.whole(view.GroupSummaries(groups=[view.summary(*row) for row in page.rows]))


def details(call: Call) -> view.GroupDetails:
    """GET /groups/detail."""
    page = listing.page(call, LISTING, view.COLUMNS, "groups/detail", _generic())
    detail = GroupView(call, _volumes(call, page.rows)).detail
    return page.whole(view.GroupDetails(groups=[detail(row) for row in page.rows]))


def _generic() -> listing.Condition:
    return ~view.legacy_type(tables.groups.c.group_type_id)


def update(call: Call) -> None:
    """PUT /groups/{id}."""
    body: GroupUpdate = call.body.content
    given = (body.name, body.description, body.add_volumes, body.remove_volumes)
    if all(one is UNSET for one in given):
        raise InvalidInput(
            "Invalid input for field/attribute group. One of name, description, add_volumes, remove_volumes is required."
        )
    _check_own(call)
    name, description, adding, removing = (None if one is UNSET else one for one in given)
    groups.update_group(
        call.database,
        call.context,
        call.id,
        add_volumes=ids(adding),
        remove_volumes=ids(removing),
        name=trimmed(name),
        description=trimmed(description),
    )


def ids(text: str | None) -> list[str]:
    """The ids of a text with commas between them, each once."""
    return list(dict.fromkeys(one.strip() for one in (text or "").split(",") if one.strip()))


def delete(call: Call) -> None:
    """The action delete."""
    body: GroupDelete = call.body
    _check_own(call)
    groups.delete_group(call.database, call.context, call.id, flag(body.delete_volumes, "delete-volumes"))


def reset_status(call: Call) -> None:
    """reset_status (3.20, administrators)."""
    body: GroupStatusReset = call.body
    groups.reset_status(call.database, call.context, call.id, body.status.strip().lower())


def enable_replication(call: Call) -> None:
    """enable_replication (3.38)."""
    group_replication.enable(call.database, call.context, call.id)


def disable_replication(call: Call) -> None:
    """disable_replication (3.38)."""
    group_replication.disable(call.database, call.context, call.id)


def failover_replication(call: Call) -> None:
    """failover_replication (3.38)."""
    body: GroupFailover = call.body
    allowed = flag(body.allow_attached_volume, "allow_attached_volume")
    group_replication.fail_over(call.database, call.context, call.id, allowed)


def list_replication_targets(call: Call) -> view.ReplicationTargets:
    """list_replication_targets (3.38)."""
    return {"replication_targets": group_replication.targets(call.database, call.context, call.id)}
