"""What all tables are made of.

Times are text (`model.clock`), so they sort and go out as they are. Free-form dictionaries are JSON text: a list hands
them through without parsing.
"""

from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Json(TypeDecorator[Any]):
    """A JSON value kept as text, the same on SQLite and PostgreSQL."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """Python to text."""
        return None if value is None else msgspec.json.encode(value).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """Text to Python."""
        return None if value is None else msgspec.json.decode(value)


def by_name(table: str, *before: str) -> sa.Index:
    """An index for finding and sorting by name, as `api.listing` does: without a name is like an empty one."""
    name = "_".join(["ix", table, *before, "name_id"])
    return sa.Index(name, *before, sa.text("coalesce(name, '')"), "id")


def id_column() -> sa.Column[str]:
    """The primary key of a resource, a UUID."""
    return sa.Column("id", sa.Text, primary_key=True)


def text(name: str, required: bool = False, **kw: Any) -> sa.Column[str]:
    """A column of text."""
    return sa.Column(name, sa.Text, nullable=not (required or kw.get("primary_key", False)), **kw)


def json(name: str) -> sa.Column[Any]:
    """A column of a JSON value, by default an empty object."""
    return sa.Column(name, Json, nullable=False, default=dict)


def flag(name: str, default: bool = False) -> sa.Column[bool]:
    """A column that is true or false."""
    return sa.Column(name, sa.Boolean, nullable=False, default=default)
