"""The metadata of volumes and snapshots, as resources of their own below them."""

import hashlib
from typing import Any, TypedDict

import msgspec
import sqlalchemy as sa

from breezeblock.api import listing
from breezeblock.api.call import Call, Reply
from breezeblock.api.listing import Listing
from breezeblock.errors import InvalidInput, NotFound, PreconditionFailed
from breezeblock.services import metadata

ETAGS = 15


class MetadataShown(TypedDict):
    """Keys and values."""

    metadata: dict[str, str]


class MetaShown(TypedDict):
    """One key and its value."""

    meta: dict[str, str]


class MetadataHandlers:
    """The handlers for one kind of resource.

    With `etags`, from 3.15 on, all the metadata have an Etag, and are changed by PUT only where they match If-Match.
    """

    def __init__(self, owner: Listing, *, etags: bool = False) -> None:
        self._owner = owner
        self.etags = etags

    def _read(self, call: Call) -> dict[str, str]:
        with call.database.read() as connection:
            column: sa.Column[Any] = self._owner.table.c.metadata
            found: dict[str, str] = listing.one(call, connection, self._owner, (column,), call.id)[0]
        return found

    def _change(self, call: Call, change: metadata.Change) -> dict[str, str]:
        return metadata.change(call.database, call.context, self._owner.noun.lower(), call.id, "metadata", change)

    def show(self, call: Call) -> Reply[MetadataShown]:
        """GET …/metadata."""
        content: MetadataShown = {"metadata": self._read(call)}
        etag = {"Etag": _etag(content["metadata"])} if self._has_etags(call) else {}
        return Reply(content=content, headers=etag)

    def add(self, call: Call) -> MetadataShown:
        """POST …/metadata: adds to what is there."""
        return {"metadata": self._change(call, lambda old: old | call.body.content)}

    def replace(self, call: Call) -> MetadataShown:
        """PUT …/metadata: all of it anew."""

        def change(old: dict[str, str]) -> dict[str, str]:
            self._check_match(call, old)
            new: dict[str, str] = call.body.content
            return new

        return {"metadata": self._change(call, change)}

    def show_one(self, call: Call) -> MetaShown:
        """GET …/metadata/{key}."""
        key = call.path["key"]
        found = self._read(call)
        if key not in found:
            raise self._missing(call, key)
        return {"meta": {key: found[key]}}

    def set_one(self, call: Call) -> MetaShown:
        """PUT …/metadata/{key}."""
        key = call.path["key"]
        asked: dict[str, str] = call.body.content
        if key not in asked:
            raise InvalidInput("Request body and URI mismatch")

        def change(old: dict[str, str]) -> dict[str, str]:
            self._check_match(call, old)
            return old | asked

        self._change(call, change)
        return {"meta": asked}

    def remove_one(self, call: Call) -> None:
        """DELETE …/metadata/{key}."""
        key = call.path["key"]

        def change(old: dict[str, str]) -> dict[str, str]:
            if key not in old:
                raise self._missing(call, key)
            return {name: value for name, value in old.items() if name != key}

        self._change(call, change)

    def _has_etags(self, call: Call) -> bool:
        return self.etags and call.version >= ETAGS

    def _check_match(self, call: Call, old: dict[str, str]) -> None:
        """Raises `PreconditionFailed` where If-Match names other metadata than these."""
        wanted = call.request.get_header("If-Match")
        if not wanted or wanted.strip() == "*" or not self._has_etags(call):
            return
        if _etag(old) not in {one.strip().strip('"') for one in wanted.split(",")}:
            raise PreconditionFailed

    def _missing(self, call: Call, key: str) -> NotFound:
        return NotFound(f"{self._owner.noun} {call.id} has no metadata with key {key}.")


def _etag(metadata: dict[str, str]) -> str:
    """Cinder's: the MD5 of the body, here with its keys in order, since the order has no meaning."""
    return hashlib.md5(msgspec.json.encode(metadata, order="sorted"), usedforsecurity=False).hexdigest()
