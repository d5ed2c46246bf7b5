"""What a group type looks like (Cinder: `api/v3/views/group_types.py`)."""

from typing import Any

from breezeblock.api.call import Call
from breezeblock.db import tables
from breezeblock.model.group_type import GroupType

COLUMNS = tuple(tables.group_types.columns)


class GroupTypeView:
    """The view for one show or list."""

    def __init__(self, call: Call) -> None:
        self._specs = call.may("group:access_group_types_specs")

    def detail(self, group_type: GroupType) -> dict[str, Any]:
        """A group type."""
        shown: dict[str, Any] = {
            "id": group_type.id,
            "name": group_type.name,
            "description": group_type.description,
            "is_public": group_type.is_public,
        }
        if self._specs:
            shown["group_specs"] = group_type.group_specs
        return shown
