"""Queries on the images of the local image store."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breezeblock.db import records, tables
from breezeblock.model.image import Image, ImageLocation

_images = tables.images

SORT_KEYS = {
    "name": sa.func.coalesce(_images.c.name, ""),
    "status": _images.c.status,
    "disk_format": sa.func.coalesce(_images.c.disk_format, ""),
    "container_format": sa.func.coalesce(_images.c.container_format, ""),
    "size": sa.func.coalesce(_images.c.size, -1),
    "owner": sa.func.coalesce(_images.c.owner, ""),
    "visibility": _images.c.visibility,
    "created_at": _images.c.created_at,
    "updated_at": _images.c.updated_at,
    "id": _images.c.id,
}
"""What a list may be sorted by; no value is NULL, so that a page can begin anywhere."""


class ImageQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which images a list shows. None is no condition; `sort` is (key of `SORT_KEYS`, "asc" or "desc")."""

    ids: Sequence[str] | None = None
    name: str | None = None
    status: str | None = None
    visibility: str | None = None
    owner: str | None = None
    disk_format: str | None = None
    container_format: str | None = None
    protected: bool | None = None
    os_hidden: bool | None = False
    tags: Sequence[str] = ()
    """The image has all of these."""
    properties: Mapping[str, str] = {}
    """The image has all of these, with these values."""
    size_min: int | None = None
    size_max: int | None = None
    sort: Sequence[tuple[str, str]] = (("created_at", "desc"), ("id", "desc"))
    marker: str | None = None
    """The id of the image before the page's first one."""
    limit: int | None = None


def insert(connection: Connection, image: Image) -> None:
    """Insert an image. Raises `sqlalchemy.exc.IntegrityError` where the id is taken."""
    records.insert(connection, _images, image)


def get(connection: Connection, image_id: str) -> Image | None:
    """The image of that id."""
    row = connection.execute(sa.select(_images).where(_images.c.id == image_id)).one_or_none()
    return None if row is None else _record(row)


def find(connection: Connection, query: ImageQuery, project_id: str | None) -> list[Image]:
    """The images of the query that a project sees in lists; None sees all.

    Glance's rules: its own and public ones; another project's community images only when `visibility` asks for them.
    """
    select = sa.select(_images).where(*_conditions(query))
    if project_id is not None:
        # nobody is a member of a shared image here, so such an image is its owner's alone
        shown = ("public", "community") if query.visibility == "community" else ("public",)
        select = select.where(sa.or_(_images.c.owner == project_id, _images.c.visibility.in_(shown)))
    sort = [*query.sort, *([] if any(key == "id" for key, _ in query.sort) else [("id", "asc")])]
    if query.marker is not None:
        select = select.where(_after(connection, query.marker, sort))
    order = [SORT_KEYS[key].desc() if direction == "desc" else SORT_KEYS[key].asc() for key, direction in sort]
    return [_record(row) for row in connection.execute(select.order_by(*order).limit(query.limit))]


def update(connection: Connection, image_id: str, changes: Mapping[str, Any], *, status: Sequence[str]) -> bool:
    """Set columns of an image that is in one of these states; whether it was."""
    done = connection.execute(
        _images.update().where(_images.c.id == image_id, _images.c.status.in_(status)).values(**changes)
    )
    return done.rowcount == 1


def delete(connection: Connection, image_id: str) -> bool:
    """Remove the row of an image that is not protected; whether there was one."""
    unprotected = sa.and_(_images.c.id == image_id, _images.c.protected.is_(False))
    return connection.execute(_images.delete().where(unprotected)).rowcount == 1


def _record(row: sa.Row[Any]) -> Image:
    values = dict(row._mapping)
    locations = msgspec.convert(values.pop("locations"), list[ImageLocation])
    return Image(**values, locations=locations)


def _conditions(query: ImageQuery) -> list[sa.ColumnElement[bool]]:
    columns = ("name", "status", "visibility", "owner", "disk_format", "container_format", "protected", "os_hidden")
    wanted = {name: getattr(query, name) for name in columns}
    if wanted["visibility"] == "all":
        wanted["visibility"] = None
    conditions = [_images.c[name] == value for name, value in wanted.items() if value is not None]
    if query.ids is not None:
        conditions.append(_images.c.id.in_(query.ids))
    conditions += [_holds(_images.c.tags, _json(tag)) for tag in query.tags]
    conditions += [_holds(_images.c.properties, f"{_json(k)}:{_json(v)}") for k, v in query.properties.items()]
    if query.size_min is not None:
        conditions.append(_images.c.size >= query.size_min)
    if query.size_max is not None:
        conditions.append(_images.c.size <= query.size_max)
    return conditions


def _json(value: str) -> str:
    return msgspec.json.encode(value).decode()


def _holds(column: sa.Column[Any], part: str) -> sa.ColumnElement[bool]:
    """Whether a JSON text has a part; `replace` minds the case on every database, `LIKE` does not."""
    text = sa.type_coerce(column, sa.Text)
    return sa.func.replace(text, sa.literal(part, sa.Text), "") != text


def _after(connection: Connection, marker: str, sort: Sequence[tuple[str, str]]) -> sa.ColumnElement[bool]:
    """What comes after the marker in this order: equal in the first keys and beyond it in the next."""
    values = connection.execute(sa.select(*(SORT_KEYS[key] for key, _ in sort)).where(_images.c.id == marker)).one()
    choices = []
    for position, (key, direction) in enumerate(sort):
        equal = [SORT_KEYS[before] == value for (before, _), value in zip(sort[:position], values, strict=False)]
        column, value = SORT_KEYS[key], values[position]
        choices.append(sa.and_(*equal, column < value if direction == "desc" else column > value))
    return sa.or_(*choices)
