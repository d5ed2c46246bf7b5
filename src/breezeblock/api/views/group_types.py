"""What a group type looks like (Cinder: `api/v3/views/group_types.py`)."""

from typing import NotRequired, TypedDict

from breezeblock.api.call import Call
from breezeblock.api.shapes import Counted, Link
from breezeblock.db import tables
from breezeblock.model.group_type import GroupType

COLUMNS = tuple(tables.group_types.columns)


class GroupTypeDetail(TypedDict):
    """A group type. Its specs are for those whom policy tells them."""

    id: str
    name: str
    description: str | None
    is_public: bool
    group_specs: NotRequired[dict[str, str | None]]


class OneGroupType(TypedDict):
    """A group type."""

    group_type: GroupTypeDetail


class GroupTypes(Counted):
    """Group types."""

    group_types: list[GroupTypeDetail]
    group_type_links: NotRequired[list[Link]]


class GroupSpecs(TypedDict):
    """The specs of a group type."""

    group_specs: dict[str, str | None]


class GroupTypeView:
    """The view for one show or list."""

    def __init__(self, call: Call) -> None:
        self._specs = call.may("group:access_group_types_specs")

    def detail(self, group_type: GroupType) -> GroupTypeDetail:
        """A group type."""
        shown: GroupTypeDetail = {
            "id": group_type.id,
            "name": group_type.name,
            "description": group_type.description,
            "is_public": group_type.is_public,
        }
        if self._specs:
            shown["group_specs"] = group_type.group_specs
        return shown
