"""Forgetting what is old: events that everybody has, operations that ended, messages. A batch is a short transaction."""

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breezeblock.db import tables

BATCH = 1000


def prune_events(connection: Connection, before: str, delivered: int | None) -> int:
    """Forget up to `BATCH` of the oldest events from before that time, not above the number `delivered` (None: any).

    Reads from the lowest number on and stops at the first that stays, so it never looks through the table.
    Returns how many went.
    """
    events = tables.events
    oldest = sa.select(events.c.number, events.c.created_at).order_by(events.c.number).limit(BATCH)
    doomed: list[int] = []
    for row in connection.execute(oldest):
        if row.created_at >= before or (delivered is not None and row.number > delivered):
            break
        doomed.append(row.number)
    if doomed:
        connection.execute(sa.delete(events).where(events.c.number.between(doomed[0], doomed[-1])))
    return len(doomed)


def prune_operations(connection: Connection, before: str) -> int:
    """Forget up to `BATCH` operations that ended before that time. Returns how many went."""
    operations = tables.operations
    old = sa.select(operations.c.id).where(operations.c.finished_at < before).order_by(operations.c.finished_at)
    doomed = list(connection.execute(old.limit(BATCH)).scalars())
    if doomed:
        connection.execute(sa.delete(operations).where(operations.c.id.in_(doomed)))
    return len(doomed)


def prune_messages(connection: Connection, now: str) -> int:
    """Forget up to `BATCH` messages to users that need not be kept any more. Returns how many went."""
    messages = tables.user_messages
    old = sa.select(messages.c.id).where(messages.c.expires_at < now).order_by(messages.c.expires_at).limit(BATCH)
    doomed = list(connection.execute(old).scalars())
    if doomed:
        connection.execute(sa.delete(messages).where(messages.c.id.in_(doomed)))
    return len(doomed)
