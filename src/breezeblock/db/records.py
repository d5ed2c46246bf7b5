"""Rows to records and back: what the query modules of all nouns share."""

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
    connection.execute(table.insert(), columns_of(record))


def fetch_one(connection: Connection, query: sa.Select[Any], kind: type[Record]) -> Record | None:
    """The one row a query finds, as a record."""
    row = connection.execute(query).one_or_none()
    return None if row is None else kind(**row._mapping)


def fetch_all(connection: Connection, query: sa.Select[Any], kind: type[Record]) -> list[Record]:
    """All rows a query finds, as records."""
    return [kind(**row._mapping) for row in connection.execute(query)]
