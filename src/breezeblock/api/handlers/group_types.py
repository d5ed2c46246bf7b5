"""Calls on group types and their specs (3.11)."""

from typing import Any

from breezeblock.api import listing
from breezeblock.api.call import Call
from breezeblock.api.handlers.volume_types import asked_is_public
from breezeblock.api.listing import Filter, Listing, passed_over
from breezeblock.api.schemas.fields import flag
from breezeblock.api.schemas.group_types import GroupTypeCreate, GroupTypeUpdate
from breezeblock.api.views.group_types import COLUMNS, GroupSpecs, GroupTypes, GroupTypeView, OneGroupType
from breezeblock.db import group_types, tables
from breezeblock.errors import InvalidInput, NotFound
from breezeblock.model.group_type import GroupType
from breezeblock.services import group_types as services

LISTING = Listing(
    noun="Group type",
    table=tables.group_types,
    filters={"is_public": Filter(make=passed_over)},
    sort_keys=frozenset("id name is_public created_at updated_at description".split()),
    links="group_type_links",
    strict_since=None,
)


def create(call: Call) -> OneGroupType:
    """POST /group_types."""
    body: GroupTypeCreate = call.body.content
    if not body.name.strip():
        raise InvalidInput("The 'name' can not be empty.")
    made = services.create_type(
        call.database,
        name=body.name,
        description=body.description,
        is_public=flag(body.is_public, "is_public"),
        group_specs=body.group_specs or {},
    )
    return {"group_type": GroupTypeView(call).detail(made)}


def index(call: Call) -> GroupTypes:
    """GET /group_types: the public ones; an administrator chooses by `is_public` (None is all)."""
    asked = asked_is_public(call)
    is_public = tables.group_types.c.is_public
    visible = [] if asked is None else [is_public.is_(asked)]
    page = listing.page(call, LISTING, COLUMNS, "group_types", *visible)
    detail = GroupTypeView(call).detail
    return page.whole(GroupTypes(group_types=[detail(GroupType(**row._mapping)) for row in page.rows]))


def show(call: Call) -> OneGroupType:
    """GET /group_types/{id}. There is no default group type until one is configured, as with Cinder."""
    if call.id == "default":
        raise NotFound("Default group type can not be found.")
    return {"group_type": GroupTypeView(call).detail(_visible(call))}


def update(call: Call) -> OneGroupType:
    """PUT /group_types/{id}."""
    body: GroupTypeUpdate = call.body.content
    values: dict[str, Any] = {}
    if body.name:
        if not body.name.strip():
            raise InvalidInput("Group type name can not be empty.")
        values["name"] = body.name
    if body.description is not None:
        values["description"] = body.description
    if body.is_public is not None:
        values["is_public"] = flag(body.is_public, "is_public")
    if not values:
        raise InvalidInput("Specify group type name, description or a combination thereof.")
    return {"group_type": GroupTypeView(call).detail(services.update_type(call.database, call.id, **values))}


def delete(call: Call) -> None:
    """DELETE /group_types/{id}."""
    services.delete_type(call.database, call.id)


def list_specs(call: Call) -> GroupSpecs:
    """GET /group_types/{id}/group_specs."""
    return {"group_specs": _visible(call).group_specs}


def set_specs(call: Call) -> GroupSpecs:
    """POST /group_types/{id}/group_specs."""
    services.set_specs(call.database, call.id, call.body.content)
    return {"group_specs": call.body.content}


def show_spec(call: Call) -> dict[str, str | None]:
    """GET /group_types/{id}/group_specs/{key}."""
    key, specs = call.path["key"], _visible(call).group_specs
    if key not in specs:
        raise NotFound(f"Group Type {call.id} has no extra spec with key {key}.")
    return {key: specs[key]}


def set_spec(call: Call) -> dict[str, str | None]:
    """PUT /group_types/{id}/group_specs/{key}."""
    if call.path["key"] not in call.body:
        raise InvalidInput("Request body and URI mismatch")
    services.set_specs(call.database, call.id, call.body)
    body: dict[str, str | None] = call.body
    return body


def remove_spec(call: Call) -> None:
    """DELETE /group_types/{id}/group_specs/{key}."""
    services.remove_spec(call.database, call.id, call.path["key"])


def _visible(call: Call) -> GroupType:
    with call.database.read() as connection:
        return group_types.get(connection, call.id, private=call.context.is_admin)
