"""Queries on transfers."""

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breezeblock.db import records, tables
from breezeblock.errors import NotFound
from breezeblock.model.transfer import Transfer

_table = tables.transfers


def insert(connection: Connection, transfer: Transfer) -> None:
    """Add a transfer."""
    records.insert(connection, _table, transfer)


def get(connection: Connection, transfer_id: str, project_id: str | None = None, *, lock: bool = False) -> Transfer:
    """The transfer; of that project's volume where one is given. Raises `NotFound`.

    With `lock`, nobody else takes it up or withdraws it until the transaction ends.
    """
    query = sa.select(_table).where(_table.c.id == transfer_id)
    transfer = records.fetch_one(connection, query.with_for_update() if lock else query, Transfer)
    if transfer is None or (project_id is not None and transfer.project_id != project_id):
        raise NotFound(f"Transfer {transfer_id} could not be found.")
    return transfer


def remove(connection: Connection, transfer_id: str) -> None:
    """Forget a transfer."""
    connection.execute(sa.delete(_table).where(_table.c.id == transfer_id))
