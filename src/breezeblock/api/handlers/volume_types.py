"""Calls on volume types, their extra specs, and who may use private ones."""

from typing import Any

import sqlalchemy as sa

from breezeblock.api import listing
from breezeblock.api.call import Call
from breezeblock.api.listing import Condition, Filter, Listing, equals, members, passed_over
from breezeblock.api.schemas.fields import flag
from breezeblock.api.schemas.volume_types import ProjectAccess, TypeCreate, TypeUpdate
from breezeblock.api.views import volume_types as view
from breezeblock.api.views.volume_types import COLUMNS, VISIBLE_SPECS, TypeView, managed
from breezeblock.db import tables, volume_types
from breezeblock.errors import InvalidInput, NotFound
from breezeblock.model.volume_type import VolumeType
from breezeblock.services import volume_types as services

LISTING = Listing(
    noun="Volume type",
    table=tables.volume_types,
    filters={
        "is_public": Filter(make=passed_over),
        "extra_specs": Filter(make=members, since=52),
        "name": Filter(make=equals, admin=True),
        "description": Filter(make=equals, admin=True),
    },
    sort_keys=frozenset("id name is_public created_at updated_at description".split()),
    links="volume_type_links",
    strict_since=52,
)


def create(call: Call) -> view.CreatedType:
    """POST /types."""
    body: TypeCreate = call.body.content
    name = body.name.strip()
    if not name:
        raise InvalidInput("The 'name' can not be empty.")
    made = services.create_type(
        call.database,
        name=name,
        description=body.description,
        is_public=flag(body.is_public, "os-volume-type-access:is_public"),
        extra_specs=_texts(body.extra_specs),
    )
    return {"volume_type": {**managed(made), "os-volume-type-access:is_public": made.is_public}}


def index(call: Call) -> view.Types:
    """GET /types: those that the caller's project may use; an administrator chooses by `is_public` (None is all)."""
    asked = asked_is_public(call)
    visible: list[Condition] = []
    if asked is True:
        visible.append(volume_types.usable_by(call.context.project_id))
    elif asked is False:
        visible.append(tables.volume_types.c.is_public.is_(False))
    if _asks_for_hidden_specs(call):
        visible.append(sa.false())
    page = listing.page(call, LISTING, COLUMNS, "types", *visible)
    detail = TypeView(call).detail
    return page.whole(view.Types(volume_types=[detail(VolumeType(**row._mapping)) for row in page.rows]))


def asked_is_public(call: Call) -> bool | None:
    """Which types a list is to show: what an administrator says, by default the public ones; None is all.

    Raises `InvalidInput` for a word that is neither.
    """
    asked = call.query.get("is_public")
    if asked is None or not call.context.is_admin:
        return True
    if asked.strip().lower() == "none":
        return None
    try:
        return flag(asked, "is_public")
    except InvalidInput:
        raise InvalidInput(f"Invalid is_public filter [{asked}]") from None


def _asks_for_hidden_specs(call: Call) -> bool:
    """Whether the list is filtered by extra specs that the caller may not see: then it is empty, which tells nothing."""
    if "extra_specs" not in call.query or call.version < 52:
        return False
    if call.may("volume_extension:types_extra_specs:read_sensitive"):
        return False
    return not listing.dictionary("extra_specs", call.query["extra_specs"]).keys() <= set(VISIBLE_SPECS)


def show(call: Call) -> view.OneType:
    """GET /types/{id}, and /types/default."""
    return {"volume_type": TypeView(call).detail(_visible(call))}


def update(call: Call) -> view.UpdatedType:
    """PUT /types/{id}."""
    body: TypeUpdate = call.body.content
    values: dict[str, Any] = {}
    if body.name is not None:
        values["name"] = body.name.strip()
        if not values["name"]:
            raise InvalidInput("Volume type name can not be empty.")
    if body.description is not None:
        values["description"] = body.description
    if body.is_public is not None:
        values["is_public"] = flag(body.is_public, "is_public")
    if not values:
        raise InvalidInput("Specify volume type name, description, is_public or a combination thereof.")
    return {"volume_type": managed(services.update_type(call.database, call.id, **values))}


def delete(call: Call) -> None:
    """DELETE /types/{id}."""
    services.delete_type(call.database, call.settings, call.id)


def list_specs(call: Call) -> view.ExtraSpecs:
    """GET /types/{id}/extra_specs."""
    return {"extra_specs": {**TypeView(call).specs(_visible(call))}}


def set_specs(call: Call) -> view.ExtraSpecs:
    """POST /types/{id}/extra_specs."""
    services.set_extra_specs(call.database, call.id, _texts(call.body.content))
    return {"extra_specs": call.body.content}


def show_spec(call: Call) -> dict[str, str]:
    """GET /types/{id}/extra_specs/{key}."""
    key = call.path["key"]
    specs = TypeView(call).specs(_visible(call))
    if key not in specs:
        raise NotFound(f"Volume Type {call.id} has no extra specs with key {key}.")
    return {key: specs[key]}


def set_spec(call: Call) -> dict[str, str | None]:
    """PUT /types/{id}/extra_specs/{key}."""
    if call.path["key"] not in call.body:
        raise InvalidInput("Request body and URI mismatch")
    services.set_extra_specs(call.database, call.id, _texts(call.body))
    body: dict[str, str | None] = call.body
    return body


def remove_spec(call: Call) -> None:
    """DELETE /types/{id}/extra_specs/{key}."""
    services.remove_extra_spec(call.database, call.id, call.path["key"])


def list_access(call: Call) -> view.TypeAccesses:
    """GET /types/{id}/os-volume-type-access: the projects that a private type is there for."""
    projects = services.projects_of(call.database, call.id)
    return {"volume_type_access": [{"volume_type_id": call.id, "project_id": project} for project in projects]}


def add_access(call: Call) -> None:
    """POST /types/{id}/action {addProjectAccess}."""
    body: ProjectAccess = call.body
    services.add_project(call.database, call.id, body.project)


def remove_access(call: Call) -> None:
    """POST /types/{id}/action {removeProjectAccess}."""
    body: ProjectAccess = call.body
    services.remove_project(call.database, call.id, body.project)


def _texts(specs: dict[str, str | None]) -> dict[str, str]:
    """Specs as they are kept: null is an empty text."""
    return {key: value or "" for key, value in specs.items()}


def _visible(call: Call) -> VolumeType:
    """The type that the path names, if the caller may see it. Raises `NotFound`."""
    with call.database.read() as connection:
        if call.id == "default":
            return volume_types.default_of(connection, call.settings, call.context.project_id)
        found = volume_types.get(connection, call.id, call.context.own_project)
    if call.id != found.id:
        raise NotFound(f"Volume type {call.id} could not be found.")
    return found
