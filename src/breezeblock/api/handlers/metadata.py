"""The metadata of volumes and snapshots, as resources of their own below them."""

from typing import Any

import sqlalchemy as sa

from breezeblock.api import listing
from breezeblock.api.call import Call
from breezeblock.api.listing import Listing
from breezeblock.errors import InvalidInput, NotFound
from breezeblock.services import metadata


class MetadataHandlers:
    """The handlers for one kind of resource."""

    def __init__(self, owner: Listing) -> None:
        self._owner = owner

    def _read(self, call: Call) -> dict[str, str]:
        with call.database.read() as connection:
            column: sa.Column[Any] = self._owner.table.c.metadata
            found: dict[str, str] = listing.one(call, connection, self._owner, (column,), call.id)[0]
        return found

    def _change(self, call: Call, change: metadata.Change) -> dict[str, str]:
        return metadata.change(call.database, call.context, self._owner.noun.lower(), call.id, "metadata", change)

    def show(self, call: Call) -> Any:
        """GET …/metadata."""
        return {"metadata": self._read(call)}

    def add(self, call: Call) -> Any:
        """POST …/metadata: adds to what is there."""
        return {"metadata": self._change(call, lambda old: old | call.body.content)}

    def replace(self, call: Call) -> Any:
        """PUT …/metadata: all of it anew."""
        return {"metadata": self._change(call, lambda _: call.body.content)}

    def show_one(self, call: Call) -> Any:
        """GET …/metadata/{key}."""
        key = call.path["key"]
        found = self._read(call)
        if key not in found:
            raise self._missing(call, key)
        return {"meta": {key: found[key]}}

    def set_one(self, call: Call) -> Any:
        """PUT …/metadata/{key}."""
        key, asked = call.path["key"], call.body.content
        if key not in asked:
            raise InvalidInput("Request body and URI mismatch")
        self._change(call, lambda old: old | asked)
        return {"meta": asked}

    def remove_one(self, call: Call) -> None:
        """DELETE …/metadata/{key}."""
        key = call.path["key"]

        def change(old: dict[str, str]) -> dict[str, str]:
            if key not in old:
                raise self._missing(call, key)
            return {name: value for name, value in old.items() if name != key}

        self._change(call, change)

    def _missing(self, call: Call, key: str) -> NotFound:
        return NotFound(f"{self._owner.noun} {call.id} has no metadata with key {key}.")
