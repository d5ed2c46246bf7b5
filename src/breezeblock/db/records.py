"""Rows to records and back: what the query modules of all nouns share.

A statement that is asked for all the time is built once, with bound parameters: to build it costs more than to run it.
"""

import functools
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

Record = TypeVar("Record", bound=msgspec.Struct)


def columns_of(record: msgspec.Struct) -> dict[str, Any]:
    """A record's fields as values of columns."""
    return {name: getattr(record, name) for name in record.__struct_fields__}


def insert(connection: Connection, table: sa.Table, record: msgspec.Struct) -> None:
    """Insert a record as a row."""
    connection.execute(_insert(table), columns_of(record))


@functools.cache
def _insert(table: sa.Table) -> sa.Insert:
    return table.insert()


@functools.cache
def with_id(table: sa.Table) -> sa.Select[Any]:
    """The row of an `id`, to be executed with `{"row_id": …}`."""
    return sa.select(table).where(table.c.id == sa.bindparam("row_id"))


def find(connection: Connection, table: sa.Table, row_id: str, kind: type[Record]) -> Record | None:
    """The row of that `id` as a record, or None."""
    row = connection.execute(with_id(table), {"row_id": row_id}).one_or_none()
    return None if row is None else kind(**row._mapping)


def update(connection: Connection, table: sa.Table, row_id: str, values: dict[str, Any]) -> None:
    """Set columns of the row of that `id`, to plain values; not there is done."""
    connection.execute(_update(table), {"row_id": row_id, **values})


@functools.cache
def _update(table: sa.Table) -> sa.Update:
    return sa.update(table).where(table.c.id == sa.bindparam("row_id"))


def fetch_one(
    connection: Connection, query: sa.Select[Any], kind: type[Record], bound: dict[str, Any] | None = None
) -> Record | None:
    """The one row a query finds, as a record; `bound` are the values of its bound parameters."""
    row = connection.execute(query, bound or {}).one_or_none()
    return None if row is None else kind(**row._mapping)


def fetch_all(
    connection: Connection, query: sa.Select[Any], kind: type[Record], bound: dict[str, Any] | None = None
) -> list[Record]:
    """All rows a query finds, as records; `bound` are the values of its bound parameters."""
    return [kind(**row._mapping) for row in connection.execute(query, bound)]
