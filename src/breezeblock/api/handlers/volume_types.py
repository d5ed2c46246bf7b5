"""Calls on volume types and their extra specs."""

from typing import Any

from breezeblock.api import listing
from breezeblock.api.call import Call
from breezeblock.api.listing import Condition, Filter, Listing, boolean, equals, members
from breezeblock.api.schemas.fields import flag
from breezeblock.api.schemas.volume_types import TypeCreate, TypeUpdate
from breezeblock.api.views.volume_types import COLUMNS, TypeView, managed
from breezeblock.db import tables, volume_types
from breezeblock.errors import InvalidInput, NotFound
from breezeblock.model.volume_type import VolumeType
from breezeblock.services import volume_types as services

LISTING = Listing(
    noun="Volume type",
    table=tables.volume_types,
    filters={
        "is_public": Filter(make=boolean, admin=True),
        "extra_specs": Filter(make=members, since=52),
        "name": Filter(make=equals),
        "description": Filter(make=equals),
    },
    sort_keys=frozenset("id name is_public created_at updated_at description".split()),
)


def create(call: Call) -> Any:
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
    return {"volume_type": managed(made) | {"os-volume-type-access:is_public": made.is_public}}


def index(call: Call) -> Any:
    """GET /types: the public ones; an administrator chooses by `is_public` (None is all)."""
    asked = call.query.pop("is_public", "true" if not call.context.is_admin else "none").lower()
    visible: list[Condition] = []
    if not call.context.is_admin:
        visible.append(tables.volume_types.c.is_public.is_(True))
    elif asked != "none":
        visible.append(boolean(tables.volume_types.c.is_public, "is_public", asked))
    page = listing.page(call, LISTING, COLUMNS, "types", *visible)
    detail = TypeView(call).detail
    beside = {name.replace("types_links", "volume_type_links"): value for name, value in page.beside.items()}
    return {"volume_types": [detail(VolumeType(**row._mapping)) for row in page.rows], **beside}


def show(call: Call) -> Any:
    """GET /types/{id}, and /types/default."""
    return {"volume_type": TypeView(call).detail(_visible(call))}


def update(call: Call) -> Any:
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


def list_specs(call: Call) -> Any:
    """GET /types/{id}/extra_specs."""
    return {"extra_specs": TypeView(call).specs(_visible(call))}


def set_specs(call: Call) -> Any:
    """POST /types/{id}/extra_specs."""
    services.set_extra_specs(call.database, call.id, _texts(call.body.content))
    return {"extra_specs": call.body.content}


def show_spec(call: Call) -> Any:
    """GET /types/{id}/extra_specs/{key}."""
    key = call.path["key"]
    specs = TypeView(call).specs(_visible(call))
    if key not in specs:
        raise NotFound(f"Volume Type {call.id} has no extra specs with key {key}.")
    return {key: specs[key]}


def set_spec(call: Call) -> Any:
    """PUT /types/{id}/extra_specs/{key}."""
    if call.path["key"] not in call.body:
        raise InvalidInput("Request body and URI mismatch")
    services.set_extra_specs(call.database, call.id, _texts(call.body))
    return call.body


def remove_spec(call: Call) -> None:
    """DELETE /types/{id}/extra_specs/{key}."""
    services.remove_extra_spec(call.database, call.id, call.path["key"])


def _texts(specs: dict[str, str | None]) -> dict[str, str]:
    """Specs as they are kept: null is an empty text."""
    return {key: value or "" for key, value in specs.items()}


def _visible(call: Call) -> VolumeType:
    """The type that the path names, if the caller may see it. Raises `NotFound`."""
    name = call.settings.default_volume_type if call.id == "default" else call.id
    with call.database.read() as connection:
        found = volume_types.get(connection, name)
    if call.id not in {found.id, "default"} or not (found.is_public or call.context.is_admin):
        raise NotFound(f"Volume type {call.id} could not be found.")
    return found
