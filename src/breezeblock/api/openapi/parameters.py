"""What stands in the path, the query and the headers of a call, as OpenAPI's parameters."""

import re
from collections.abc import Iterator
from typing import Any

from breezeblock.api import listing, microversions
from breezeblock.api.listing import Filter, Filtered, Listing
from breezeblock.api.openapi.components import Components, JsonSchema
from breezeblock.api.schemas.fields import MAX_INT
from breezeblock.api.shapes import EXTENSION

_TEXT: JsonSchema = {"type": "string"}
_FLAG: JsonSchema = {"type": "boolean"}
_WHOLE: JsonSchema = {"type": "integer", "minimum": 0, "maximum": MAX_INT}
_KINDS: dict[Any, JsonSchema] = {
    listing.number: {"type": "integer", "minimum": 0, "maximum": 999_999_999},
    listing.boolean: _FLAG,
    listing.one_of_either: _FLAG,
    listing.members: {**_TEXT, "description": "Keys and values: `{'key': 'value'}`.", "examples": ["{'key': 'value'}"]},
    listing.times: {
        **_TEXT,
        "description": "Comparisons with commas between them; the operators are gt, gte, eq, neq, lt, lte.",
        "examples": ["gt:2026-01-31T12:00:00"],
    },
}


def of_path(path: str) -> list[JsonSchema]:
    """Those in braces."""
    return [
        {"name": name, "in": "path", "required": True, "schema": {**_TEXT, "minLength": 1}}
        for name in re.findall(r"{(\w+)}", path)
    ]


def of_query(components: Components, query: Listing | Filtered | type | None, version: int) -> list[JsonSchema]:
    """Those of the query in this version."""
    if query is None:
        return []
    if isinstance(query, Listing):
        return [*_page(query, version), *_filters(query, version)]
    if isinstance(query, Filtered):
        return [_ALL_TENANTS, *_filters(query.listing, version)]
    return _of_shape(components, query, "query")


def of_headers(components: Components, headers: type | None) -> list[JsonSchema]:
    """Those of the headers."""
    return [] if headers is None else _of_shape(components, headers, "header")


def _of_shape(components: Components, shape: type, place: str) -> list[JsonSchema]:
    """A parameter for each field of a `TypedDict`."""
    fields = components.alone(shape)["properties"]
    required: frozenset[str] = shape.__required_keys__  # type: ignore[attr-defined]
    return [
        {
            "name": name,
            "in": place,
            "required": name in required,
            "schema": {key: value for key, value in field.items() if key != EXTENSION},
            **{key: value for key, value in field.items() if key == EXTENSION},
        }
        for name, field in fields.items()
    ]


def _query(name: str, schema: JsonSchema, description: str | None = None, since: int = 0) -> JsonSchema:
    told: JsonSchema = {"name": name, "in": "query", "schema": schema}
    if description:
        told["description"] = description
    if since:
        told[EXTENSION] = {"min-ver": microversions.text(since)}
    return told


_ALL_TENANTS = _query("all_tenants", _FLAG, "Those of all projects, for administrators; passed over for all others.")


def _page(listed: Listing, version: int) -> Iterator[JsonSchema]:
    keys = sorted(key for key in listed.sort_keys if version >= listed.keys_since.get(key, 0))
    one = f"({'|'.join(keys)})(:(asc|desc))?"
    yield _query("limit", _WHOLE, "How many at most; not more than osapi_max_limit.")
    yield _query("marker", _TEXT, "The id of the last one of the page before.")
    yield _query("offset", _WHOLE, "How many to leave out.")
    yield _query(
        "sort",
        {**_TEXT, "pattern": f"^{one}(,{one})*$"},
        "Keys with their directions; the newest come first where nothing is said.",
    )
    yield _query("sort_key", {**_TEXT, "enum": keys}, "Older than `sort`, and not together with it.")
    yield _query("sort_dir", {**_TEXT, "enum": ["asc", "desc"]}, "Older than `sort`, and not together with it.")
    if "project_id" in listed.table.c:
        yield _ALL_TENANTS
    if version >= listing.WITH_COUNT:
        yield _query("with_count", _FLAG, "Tell how many there are on all pages.", listing.WITH_COUNT)


def _filters(listed: Listing, version: int) -> Iterator[JsonSchema]:
    for name, one in listed.filters.items():
        if version < one.since:
            continue
        yield _query(name, _KINDS.get(one.make, _TEXT), _only(one), one.since)
        if listing.has_parts(one) and version >= listing.LIKE:
            told = " ".join(filter(None, ("A part of it.", _only(one))))
            yield _query(f"{name}~", _TEXT, told, max(one.since, listing.LIKE))


def _only(one: Filter) -> str | None:
    return "For administrators." if one.admin else None
