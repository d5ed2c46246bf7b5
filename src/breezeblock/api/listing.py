"""Lists of every resource: filter, sort, page, count. One description for each resource, one statement for each page.

Query parameters are Cinder's: `marker`, `limit`, `offset`, `sort`, `sort_key`, `sort_dir`, `with_count` (3.45),
`all_tenants`, a filter for each column that may be filtered, `name~` for a part of a name (3.34), comparisons such as
`created_at=gt:2026-01-01T00:00:00` (3.60). From 3.31 on an unknown filter is a 400; before, it is passed over.
"""

import ast
import functools
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breezeblock.api.call import Call
from breezeblock.api.schemas.fields import FALSE, MAX_INT, TRUE
from breezeblock.db.json_text import json_member
from breezeblock.errors import InvalidInput, NotFound
from breezeblock.model import clock

Shape = TypeVar("Shape")
Condition = sa.ColumnElement[bool]
MakeCondition = Callable[[sa.Column[Any], str, str], Condition]
"""The condition of a filter, from its column, its name and its value in the query."""

WITH_COUNT = 45
STRICT_FILTERS = 31
STRICT_BOOLEANS = 2
"""Before, each word but false is true."""
LIKE = 34

_OPERATORS: dict[str, Callable[[Any, str], Any]] = {
    "gt": lambda column, value: column > value,
    "gte": lambda column, value: column >= value,
    "eq": lambda column, value: column == value,
    "neq": lambda column, value: column != value,
    "lt": lambda column, value: column < value,
    "lte": lambda column, value: column <= value,
}
_EMPTY: sa.ColumnElement[str] = sa.literal_column("''", sa.Text)
_KEY = re.compile(r"[a-zA-Z0-9\-_:. /$]{1,255}")


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """One filter. `column` is the filter's name where it is None."""

    make: MakeCondition
    column: str | None = None
    since: int = 0
    admin: bool = False
    """Only an administrator may use it."""


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """How one resource is listed."""

    noun: str
    """For messages: `Volume`."""
    table: sa.Table
    filters: dict[str, Filter]
    sort_keys: frozenset[str]
    renamed: dict[str, str] = {}
    """Sort keys that are called otherwise in the table."""
    links: str | None = None
    """What the member with the link to the next page is called, where it is not the list's name and `_links`."""
    strict_since: int | None = STRICT_FILTERS
    """From which version on an unknown filter is a 400; None: it is always passed over."""
    keys_since: dict[str, int] = {}
    """Sort keys that came later, with the version they came in."""


class Filtered(msgspec.Struct, frozen=True):
    """A call that filters as a list does, and has no pages."""

    listing: Listing


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """What a list answers: rows of the asked columns, and the members that stand beside them."""

    rows: Sequence[Any]
    beside: dict[str, Any]
    """`count`, and the links to the next page, under their names in the body."""

    def whole(self, body: Shape) -> Shape:
        """The body with what stands beside its list."""
        return cast(Shape, {**cast(dict[str, Any], body), **self.beside})


def equals(column: sa.Column[Any], name: str, value: str) -> Condition:
    """The column's value is this text."""
    return column == value


def named(column: sa.Column[Any], name: str, value: str) -> Condition:
    """The name is this text, looked up by the index that lists are sorted with."""
    return sa.func.coalesce(column, _EMPTY) == value if value else column == value


def has_parts(one: Filter) -> bool:
    """Whether there is a filter `name~` too, by a part of the text (3.34)."""
    return one.make in {equals, named}


def number(column: sa.Column[Any], name: str, value: str) -> Condition:
    """The column's value is this whole number."""
    if not re.fullmatch(r"[0-9]{1,9}", value):
        raise InvalidInput(f"Invalid value '{value}' for the filter {name}: it is not a whole number.")
    return column == int(value)


def boolean(column: sa.Column[Any], name: str, value: str) -> Condition:
    """The column's value is this boolean."""
    word = value.strip().lower()
    if word not in TRUE | FALSE:
        raise InvalidInput(f"{name}={value} is not valid: it is not a boolean.")
    return column.is_(word in TRUE)


def members(column: sa.Column[Any], name: str, value: str) -> Condition:
    """A column of JSON text has these members: `{'key': 'value'}`, as Python or as JSON."""
    wanted = dictionary(name, value)
    text = sa.type_coerce(column, sa.Text)
    return sa.and_(sa.true(), *(json_member(text, key) == str(one) for key, one in wanted.items()))


def dictionary(name: str, value: str) -> dict[str, Any]:
    """The `{'key': 'value'}` of a filter. Raises `InvalidInput` for anything else."""
    try:
        wanted = ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        wanted = None
    if not isinstance(wanted, dict) or not all(isinstance(key, str) and _KEY.fullmatch(key) for key in wanted):
        raise InvalidInput(f"Invalid value '{value}' for the filter {name}: it must look like {{'key': 'value'}}.")
    return wanted


def times(column: sa.Column[Any], name: str, value: str) -> Condition:
    """The column's time fulfils these comparisons: `gt:2026-01-01T00:00:00,lt:…`."""
    conditions = []
    for unit in value.split(","):
        operator, _, time = unit.partition(":")
        if operator not in _OPERATORS:
            raise InvalidInput(f"Invalid {operator} operator in the filter {name}; there are {', '.join(_OPERATORS)}.")
        conditions.append(_OPERATORS[operator](column, _clock_text(time)))
    return sa.and_(*conditions)


def passed_over(column: sa.Column[Any], name: str, value: str) -> Condition:
    """No condition: the handler sees to this one."""
    return sa.true()


def one_of_either(column: sa.Column[Any], name: str, value: str) -> Condition:
    """The column is set, or not (`true`, `false`)."""
    return column.is_not(None) if value.strip().lower() == "true" else column.is_(None)


def _clock_text(time: str) -> str:
    try:
        parsed = datetime.fromisoformat(time)
        if parsed.tzinfo is not None:
            parsed = parsed.astimezone(UTC)
        return parsed.strftime(clock.FORMAT)
    except (ValueError, OverflowError):
        raise InvalidInput(f"Invalid time {time}: it must look like 2026-01-31T12:00:00.") from None


def page(call: Call, listing: Listing, columns: Sequence[Any], path: str, *more: Condition) -> Page:
    """The page that the query asks for, of the caller's project unless an administrator wants all.

    `path` is where the list lies (`volumes/detail`), for the link to the next page; `more` are further conditions.

    Raises:
        InvalidInput: a parameter is unknown or wrong.
        NotFound: the marker is not there.
    """
    query = dict(call.query)
    limit, offset = _limit(call, query), _whole(query.pop("offset", "0"), "offset")
    marker = query.pop("marker", None)
    keys, directions = _sorting(listing, query, call.version)
    counted = "with_count" in query and call.version >= WITH_COUNT and call.flag("with_count")
    query.pop("with_count", None)
    where = [*_owned(call, listing, query), *more, *_filtered(call, listing, query)]
    ordered = _order(keys, directions)
    collection = path.partition("/")[0]
    with call.database.read() as connection:
        after = [_after(connection, listing, marker, call.context.own_project, keys, directions)] if marker else []
        statement = sa.select(*columns).select_from(listing.table).where(*where, *after)
        rows = connection.execute(statement.order_by(*ordered).limit(limit).offset(offset)).all()
        beside: dict[str, Any] = {}
        if rows and len(rows) == limit:
            beside[listing.links or f"{collection}_links"] = call.links.next(path, call.query, str(rows[-1][0]))
        if counted:
            count = sa.select(sa.func.count()).select_from(listing.table).where(*where)
            beside["count"] = connection.execute(count).scalar_one()
    return Page(rows=rows, beside=beside)


def conditions(call: Call, listing: Listing) -> list[Condition]:
    """What the query's filters ask for, without a page: for sums over a list."""
    query = dict(call.query)
    return [*_owned(call, listing, query), *_filtered(call, listing, query)]


def one(call: Call, connection: Connection, listing: Listing, columns: Sequence[Any], resource_id: str) -> Any:
    """The row of one resource that the caller may see. Raises `NotFound`, also for another project's."""
    project = call.context.own_project
    bound = {"resource": resource_id, "project": project}
    statement = _of_one(listing.table, tuple(columns), project is not None)
    row = connection.execute(statement, bound).one_or_none()
    if row is None:
        raise NotFound(f"{listing.noun} {resource_id} could not be found.")
    return row


@functools.lru_cache(256)
def _of_one(table: sa.Table, columns: tuple[Any, ...], owned: bool) -> sa.Select[Any]:
    """The statement for a row by `resource`, and by the `project` that owns it where that matters."""
    statement = sa.select(*columns).select_from(table).where(table.c.id == sa.bindparam("resource"))
    if owned and "project_id" in table.c:
        statement = statement.where(table.c.project_id == sa.bindparam("project"))
    return statement


def _visible(listing: Listing, project: str | None) -> list[Condition]:
    owner = listing.table.c.get("project_id")
    return [owner == project] if owner is not None and project is not None else []


def _limit(call: Call, query: dict[str, str]) -> int:
    most = int(call.settings.osapi_max_limit)
    return min(_whole(query.pop("limit", str(most)), "limit"), most)


def _whole(text: str, name: str) -> int:
    if not re.fullmatch(r"\+?[0-9]{1,18}", text.strip()) or int(text) > MAX_INT:
        raise InvalidInput(f"{name} param must be an integer from 0 to {MAX_INT}.")
    return int(text)


def _sorting(listing: Listing, query: dict[str, str], version: int) -> tuple[list[Any], list[str]]:
    """The columns to sort by, each made never null, and the direction of each; the id comes last and settles ties."""
    sort, key, direction = (query.pop(name, None) for name in ("sort", "sort_key", "sort_dir"))
    if sort is not None and (key is not None or direction is not None):
        raise InvalidInput(
            "The 'sort_key' and 'sort_dir' parameters are deprecated and cannot be used with the 'sort' parameter."
        )
    asked = sort.split(",") if sort is not None else [f"{key or 'created_at'}:{direction or 'desc'}"]
    columns, directions = [], []
    for part in [*asked, f"id:{asked[0].partition(':')[2] or 'desc'}"]:
        name, _, way = (piece.strip() for piece in part.partition(":"))
        known = name in listing.sort_keys | {"id"} and version >= listing.keys_since.get(name, 0)
        column = listing.table.c.get(listing.renamed.get(name, name)) if known else None
        if column is None or way not in {"", "asc", "desc"}:
            raise InvalidInput(
                f"Sort key {part.strip()} is not valid; there are {', '.join(sorted(listing.sort_keys))}."
            )
        columns.append(column if not column.nullable else sa.func.coalesce(column, _least(column)))
        directions.append(way or "desc")
    return columns, directions


def _least(column: sa.Column[Any]) -> Any:
    """What a null counts as in an order; written out, not a parameter, so that an index on the same is found."""
    return _EMPTY if isinstance(column.type, sa.Text) else sa.literal_column("0")


def _order(keys: list[Any], directions: list[str]) -> list[Any]:
    return [key.desc() if way == "desc" else key.asc() for key, way in zip(keys, directions, strict=True)]


def _after(
    connection: Connection,
    listing: Listing,
    marker: str,
    project: str | None,
    keys: list[Any],
    directions: list[str],
) -> Condition:
    """What comes after the marker: compared by the sort keys, so that a page costs the same wherever it lies.

    The first key is compared by itself too: SQLite finds no place in an index on an expression by a comparison of rows.
    """
    table = listing.table
    row = connection.execute(sa.select(*keys).where(table.c.id == marker, *_visible(listing, project))).one_or_none()
    if row is None:
        raise NotFound(f"{listing.noun} {marker} could not be found.")
    values = [sa.literal(value, key.type) for value, key in zip(row, keys, strict=True)]
    if len(set(directions)) == 1:
        ours, marked = sa.tuple_(*keys), sa.tuple_(*values)
        if directions[0] == "desc":
            return sa.and_(keys[0] <= values[0], ours < marked)
        return sa.and_(keys[0] >= values[0], ours > marked)
    alternatives = []
    for place, (key, value, way) in enumerate(zip(keys, values, directions, strict=True)):
        same = [keys[i] == values[i] for i in range(place)]
        alternatives.append(sa.and_(*same, key < value if way == "desc" else key > value))
    return sa.or_(*alternatives)


def _owned(call: Call, listing: Listing, query: dict[str, str]) -> list[Condition]:
    """Only the caller's own, unless an administrator says `all_tenants`."""
    everything = call.context.is_admin and "all_tenants" in query and call.flag("all_tenants")
    query.pop("all_tenants", None)
    owner = listing.table.c.get("project_id")
    if owner is None or everything:
        return []
    return [owner == call.context.project_id]


def _filtered(call: Call, listing: Listing, query: dict[str, str]) -> list[Condition]:
    found: list[Condition] = []
    unknown = []
    for key, value in query.items():
        like = key.endswith("~") and call.version >= LIKE
        name = key.removesuffix("~") if like else key
        known = listing.filters.get(name)
        if known is None or call.version < known.since or (known.admin and not call.context.is_admin):
            unknown.append(key)
            continue
        column = listing.table.c[known.column or name]
        if like and has_parts(known):
            found.append(column.contains(value, autoescape=True))
        else:
            loose = known.make is boolean and call.version < STRICT_BOOLEANS
            found.append(known.make(column, name, str(value.lower() != "false") if loose else value))
    if unknown and listing.strict_since is not None and call.version >= listing.strict_since:
        raise InvalidInput(f"Invalid filters {','.join(unknown)} are found in query options.")
    return found
