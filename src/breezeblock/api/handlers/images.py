"""The part of the image API (Glance v2) that image clients need, answered from the local image store."""

from collections.abc import Iterator
from typing import Any, cast
from urllib.parse import parse_qsl, urlencode

import falcon

from breezeblock.api.call import Call, Reply
from breezeblock.api.schemas.images import DATA, IMAGE_SCHEMA, IMAGES_SCHEMA, READ_ONLY, SETTABLE, Change
from breezeblock.api.views import images as view
from breezeblock.db.images import ImageQuery
from breezeblock.errors import Forbidden, InvalidInput, NotFound, UnsupportedMediaType
from breezeblock.images.local import LocalCatalog
from breezeblock.model.image import Image

PIECE = 1 << 20
DEFAULT_PAGE = 25
MAX_PAGE = 1000


def _store(call: Call) -> LocalCatalog:
    """The local store; these routes are served only where the image service is it."""
    return cast(LocalCatalog, call.catalog)


def create(call: Call) -> Reply[view.ImageDetail]:
    """POST /v2/images: the image without its data."""
    body: dict[str, Any] = call.body
    fields = _fields({key: value for key, value in body.items() if key != "id"})
    image = _store(call).create(call.context, image_id=body.get("id"), **fields)
    return Reply(content=view.detail(image), headers={"Location": f"{call.links.root}/image/v2/images/{image.id}"})


def _fields(given: dict[str, Any]) -> dict[str, Any]:
    """Fixed attributes as they are, all others among the properties."""
    fields: dict[str, Any] = {}
    properties: dict[str, str] = {}
    for key, value in given.items():
        if key in READ_ONLY:
            raise Forbidden(f"Attribute '{key}' is read-only.")
        if key in SETTABLE:
            fields[key] = value
        elif isinstance(value, str):
            properties[_property(key)] = value
        else:
            raise InvalidInput(f"The property {key} of an image must be text, and not null.")
    return {**fields, "properties": properties}


def _property(key: str) -> str:
    if not key or len(key) > 255 or "\0" in key:
        raise InvalidInput("The name of an image property has 1 to 255 characters.")
    return key


def index(call: Call) -> view.Images:
    """GET /v2/images."""
    limit = _limit(call.query.get("limit"))
    found = _store(call).list_images(call.context, _query(call, limit))
    body: view.Images = {
        "images": [view.detail(image) for image in found],
        "first": "/v2/images" + _tail(call.query, None),
        "schema": "/v2/schemas/images",
    }
    if limit and len(found) == limit:
        body["next"] = "/v2/images" + _tail(call.query, found[-1].id)
    return body


def _tail(query: dict[str, str], marker: str | None) -> str:
    rest = {key: value for key, value in query.items() if key != "marker"} | ({"marker": marker} if marker else {})
    return f"?{urlencode(rest)}" if rest else ""


def _limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_PAGE
    if not text.isascii() or not text.isdigit():
        raise InvalidInput("limit param must be a whole number.")
    return min(int(text[:9]), MAX_PAGE)


_TEXTS = ("name", "status", "visibility", "owner", "disk_format", "container_format")


def _query(call: Call, limit: int) -> ImageQuery:
    asked = dict(call.query)
    pairs = parse_qsl(call.request.query_string, keep_blank_values=True)
    wanted: dict[str, Any] = {name: asked.pop(name) for name in _TEXTS if name in asked}
    for name in ("protected", "os_hidden"):
        if name in asked:
            wanted[name] = call.flag(name)
            del asked[name]
    for name in ("size_min", "size_max"):
        if name in asked:
            wanted[name] = _whole(asked.pop(name), name)
    if "id" in asked:
        wanted["ids"] = asked.pop("id").removeprefix("in:").split(",")
    for name in ("created_at", "updated_at"):
        if name in asked:
            raise InvalidInput(f"Images cannot be filtered by {name} here.")
    wanted["tags"] = [value for key, value in pairs if key == "tag"]
    wanted["sort"] = _sort(pairs)
    for name in ("tag", "sort", "sort_key", "sort_dir", "limit", "member_status"):
        asked.pop(name, None)
    return ImageQuery(**wanted, marker=asked.pop("marker", None), limit=limit, properties=asked)


def _whole(text: str, name: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise InvalidInput(f"{name} must be a whole number.")
    return int(text)


def _sort(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The order: `sort=name:asc,…`, or sort_key and sort_dir, each as often as wanted."""
    whole = [value for key, value in pairs if key == "sort"]
    keys = [value for key, value in pairs if key == "sort_key"]
    ways = [value for key, value in pairs if key == "sort_dir"]
    if whole:
        parts = [part.partition(":") for part in whole[-1].split(",")]
        return [(key.strip(), way.strip() or "desc") for key, _, way in parts]
    if not keys:
        keys = ["created_at"]
    ways += [ways[-1] if ways else "desc"] * (len(keys) - len(ways))
    return list(zip(keys, ways, strict=False))


def show(call: Call) -> view.ImageDetail:
    """GET /v2/images/{id}."""
    return view.detail(_store(call).get(call.context, call.id))


def update(call: Call) -> view.ImageDetail:
    """PATCH /v2/images/{id}: a JSON patch of attributes, properties and tags."""
    store = _store(call)
    image = store.get(call.context, call.id)
    changes: dict[str, Any] = {}
    properties = dict(image.properties)
    for change in call.body:
        _apply(change, changes, properties)
    if properties != image.properties:
        changes["properties"] = properties
    return view.detail(store.update(call.context, call.id, changes) if changes else image)


def _apply(change: Change, changes: dict[str, Any], properties: dict[str, str]) -> None:
    if not change.path.startswith("/") or "/" in change.path[1:]:
        raise InvalidInput(f"The path {change.path} of a change does not name an attribute of the image.")
    key = change.path[1:].replace("~1", "/").replace("~0", "~")
    if key in READ_ONLY:
        raise Forbidden(f"Attribute '{key}' is read-only.")
    if change.op == "remove":
        if key in SETTABLE:
            raise Forbidden(f"Attribute '{key}' cannot be removed.")
        if properties.pop(key, None) is None:
            raise InvalidInput(f"The image has no property {key}.")
    elif key in SETTABLE:
        changes[key] = _fields({key: change.value})[key]
    else:
        properties |= _fields({key: change.value})["properties"]


def delete(call: Call) -> None:
    """DELETE /v2/images/{id}."""
    _store(call).delete(call.context, call.id)


def upload(call: Call) -> None:
    """PUT /v2/images/{id}/file: the data as they come; they are on disk, inspected and checked before the answer."""
    if (call.request.content_type or "").partition(";")[0] not in {DATA, ""}:
        raise UnsupportedMediaType(f"The data of an image come as {DATA}.")
    _store(call).upload(call.context, call.id, _pieces(call.request))


def _pieces(request: falcon.Request) -> Iterator[bytes]:
    """The body piece by piece. Raises `InvalidInput` when it ends before its length: the client is gone."""
    length = request.content_length
    stream = request.stream if length is None else request.bounded_stream
    came = 0
    while piece := stream.read(PIECE):
        came += len(piece)
        yield piece
    if length is not None and came < length:
        raise InvalidInput(f"The data ended after {came} of {length} bytes.")


def download(call: Call) -> Reply[bytes]:
    """GET /v2/images/{id}/file; 204 for an image without data."""
    image: Image = _store(call).get(call.context, call.id)
    path = _store(call).local_path(call.id)
    if path is None or image.status != "active":
        return Reply(status=204)
    headers = {"Content-Length": str(image.size)}
    if image.checksum:
        headers["Content-MD5"] = image.checksum
    return Reply(stream=path.open("rb"), headers=headers)


def add_tag(call: Call) -> None:
    """PUT /v2/images/{id}/tags/{tag}."""
    image, tag = _store(call).get(call.context, call.id), call.path["tag"]
    if tag not in image.tags:
        _store(call).update(call.context, call.id, {"tags": [*image.tags, tag]})


def remove_tag(call: Call) -> None:
    """DELETE /v2/images/{id}/tags/{tag}."""
    image, tag = _store(call).get(call.context, call.id), call.path["tag"]
    if tag not in image.tags:
        raise NotFound(f"The image {call.id} has no tag {tag}.")
    _store(call).update(call.context, call.id, {"tags": [one for one in image.tags if one != tag]})


def image_schema(call: Call) -> dict[str, Any]:
    """GET /v2/schemas/image."""
    return IMAGE_SCHEMA


def images_schema(call: Call) -> dict[str, Any]:
    """GET /v2/schemas/images."""
    return IMAGES_SCHEMA
