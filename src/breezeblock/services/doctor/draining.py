"""Flows that still wait or run in a version which is not requested any more."""

import msgspec

from breezeblock.db import operations
from breezeblock.db.connect import Database
from breezeblock.model import flows


class Draining(msgspec.Struct, frozen=True, kw_only=True):
    """How many flows of an old version are left. Nothing is wrong with them, but the version's function must stay."""

    flow: str
    version: int
    newest: int
    """The version that is requested now."""
    count: int
    oldest: str
    """When the first of them was requested."""

    def __str__(self) -> str:
        return f"draining: {self.count} of {self.flow} v{self.version} (now v{self.newest}), oldest since {self.oldest}"


def look(database: Database) -> list[Draining]:
    """What drains now, by name and version."""
    with database.read() as connection:
        backlog = operations.backlog(connection)
    return [
        Draining(flow=one.flow, version=one.version, newest=flows.newest(one.flow), count=one.count, oldest=one.oldest)
        for one in backlog
        if flows.is_known(one.flow, one.version) and one.version != flows.newest(one.flow)
    ]
