"""Looking into columns of JSON text, on SQLite and PostgreSQL alike."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction


class json_member(GenericFunction[str]):  # noqa: N801 - a function of SQL
    """`json_member(column, key)`: the member of a JSON object as text, NULL where there is none.

    The key must be free of quotation marks and backslashes, as keys of metadata are.
    """

    type = sa.Text()
    inherit_cache = True


@compiles(json_member, "sqlite")
def _sqlite(element: json_member, compiler: Any, **kw: Any) -> str:
    column, key = element.clauses
    return f"json_extract({compiler.process(column, **kw)}, '$.\"' || {compiler.process(key, **kw)} || '\"')"


@compiles(json_member, "postgresql")
def _postgresql(element: json_member, compiler: Any, **kw: Any) -> str:
    column, key = element.clauses
    return f"(CAST({compiler.process(column, **kw)} AS json) ->> CAST({compiler.process(key, **kw)} AS text))"
