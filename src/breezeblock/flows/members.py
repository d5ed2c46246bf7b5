"""Flows about many resources, each of which has a flow of its own: the members are waited for, not worked on.

So each member is done by the owner of its slot, with its own events, undo and explanation.
"""

from collections.abc import Collection

from breezeblock.db import operations
from breezeblock.errors import BreezeblockError
from breezeblock.flows.engine import Flow, Parked


class MembersFailed(BreezeblockError):
    """A member could not be done, so the whole was not."""


def wait_for(flow: Flow, kind: str, resource_ids: Collection[str], backend: str | None = None) -> None:
    """Go on when no flow of this kind has still to end for these resources (on `backend`); raises `Parked` until then."""
    with flow.backend.database.read() as connection:
        awaited = operations.next_under_way(connection, kind, resource_ids, backend)
    if awaited is None:
        return
    with flow.backend.database.begin() as connection:
        flow.park(connection, kind, f"waits for {kind} of {awaited.resource_id}", awaited.id)
    raise Parked
