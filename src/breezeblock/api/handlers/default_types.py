"""Calls on the default types of projects (3.62)."""

from typing import TypedDict

from breezeblock.api.call import Call
from breezeblock.api.schemas.default_types import DefaultType
from breezeblock.db import default_types
from breezeblock.services import default_types as services


class DefaultTypeShown(TypedDict):
    """The type of a project's volumes that name none."""

    project_id: str
    volume_type_id: str


class OneDefaultType(TypedDict):
    """The default type of a project."""

    default_type: DefaultTypeShown


class DefaultTypes(TypedDict):
    """The default types of projects."""

    default_types: list[DefaultTypeShown]


def index(call: Call) -> DefaultTypes:
    """GET /default-types: those of all projects."""
    with call.database.read() as connection:
        found = default_types.all_defaults(connection)
    return {"default_types": [_shown(project, type_id) for project, type_id in found.items()]}


def show(call: Call) -> OneDefaultType:
    """GET /default-types/{project}."""
    return {"default_type": _shown(call.id, services.get_default(call.database, call.id))}


def update(call: Call) -> OneDefaultType:
    """PUT /default-types/{project}."""
    body: DefaultType = call.body.content
    return {"default_type": _shown(call.id, services.set_default(call.database, call.id, body.volume_type))}


def delete(call: Call) -> None:
    """DELETE /default-types/{project}."""
    services.unset_default(call.database, call.id)


def _shown(project_id: str, type_id: str) -> DefaultTypeShown:
    return {"project_id": project_id, "volume_type_id": type_id}
