"""Changes of status: the only statements that write one, each a compare-and-swap on the table of legal moves."""

import functools
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breezeblock.db import tables
from breezeblock.errors import InvalidState, NotFound
from breezeblock.model import clock
from breezeblock.model.states import (
    BACKUP_MOVES,
    GROUP_MOVES,
    GROUP_SNAPSHOT_MOVES,
    SNAPSHOT_MOVES,
    STRANDED,
    VOLUME_MOVES,
    Move,
)

_MACHINES: dict[str, tuple[sa.Table, dict[str, Move]]] = {
    "volume": (tables.volumes, VOLUME_MOVES),
    "snapshot": (tables.snapshots, SNAPSHOT_MOVES),
    "backup": (tables.backups, BACKUP_MOVES),
    "group": (tables.groups, GROUP_MOVES),
    "group_snapshot": (tables.group_snapshots, GROUP_SNAPSHOT_MOVES),
}


def try_move(
    connection: Connection, noun: str, resource_id: str, move: str, to: str | None = None, **values: Any
) -> bool:
    """Move a volume, snapshot or backup and set further columns with it; False when its status does not allow it.

    `to` is needed where the move has several ends. The status it had is kept in `previous_status` of a volume.
    """
    step = _MACHINES[noun][1][move]
    end = to if to is not None else step.end[0]
    if end not in step.end or (to is None and len(step.end) > 1):
        raise ValueError(f"The move {move} of a {noun} does not end in {to}.")
    change = _change(noun, move, keeps_status=noun == "volume" and "previous_status" not in values)
    changed = {"row_id": resource_id, "status": end, "updated_at": clock.now(), **values}
    return connection.execute(change, changed).rowcount == 1


@functools.cache
def _change(noun: str, move: str, keeps_status: bool) -> sa.Update:
    """The statement of a move, to be executed with `row_id` and the columns."""
    table, moves = _MACHINES[noun]
    change = sa.update(table).where(table.c.id == sa.bindparam("row_id"))
    if start := moves[move].start:
        change = change.where(table.c.status.in_(sorted(start)))
    return change.values(previous_status=table.c.status) if keeps_status else change


def move(connection: Connection, noun: str, resource_id: str, move: str, to: str | None = None, **values: Any) -> None:
    """As `try_move`, but raises `InvalidState` or `NotFound` where it did not happen."""
    if try_move(connection, noun, resource_id, move, to, **values):
        return
    table, moves = _MACHINES[noun]
    status = connection.execute(sa.select(table.c.status).where(table.c.id == resource_id)).scalar_one_or_none()
    if status is None:
        raise NotFound(f"{noun.capitalize()} {resource_id} could not be found.")
    allowed = ", ".join(sorted(moves[move].start))
    raise InvalidState(f"Invalid {noun}: {noun.capitalize()} {resource_id} status must be {allowed}, but is {status}.")


def strand(connection: Connection, noun: str, resource_id: str) -> bool:
    """Take a resource out of a passing status whose flow can neither end nor be undone; False when it is in none."""
    if noun not in _MACHINES:
        return False
    table, _ = _MACHINES[noun]
    status = connection.execute(sa.select(table.c.status).where(table.c.id == resource_id)).scalar_one_or_none()
    end = STRANDED.get(status or "")
    return end is not None and try_move(connection, noun, resource_id, "strand", end)
