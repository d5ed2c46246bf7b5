"""Bodies of the image API (Glance v2), whose images have any keys beside their fixed ones."""

from typing import Annotated, Any, Literal, TypedDict

import msgspec
from msgspec import Meta

from breezeblock.api.bodies import Schema

PATCH_TYPES = frozenset(
    {
        "application/openstack-images-v2.1-json-patch",
        "application/openstack-images-v2.0-json-patch",
    }
)

DATA = "application/octet-stream"

SETTABLE = frozenset("name disk_format container_format min_disk min_ram visibility protected os_hidden tags".split())
READ_ONLY = frozenset(
    "id status owner size virtual_size checksum os_hash_algo os_hash_value created_at updated_at self file schema "
    "direct_url locations first next".split()
)


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One operation of a JSON patch."""

    op: Literal["add", "replace", "remove"]
    path: str
    value: Any = msgspec.UNSET


class Query(TypedDict, total=False):
    """GET /v2/images. Whatever else is asked for is looked for among the properties."""

    name: str
    status: str
    visibility: str
    owner: str
    disk_format: str
    container_format: str
    protected: bool
    os_hidden: bool
    size_min: Annotated[int, Meta(ge=0, lt=10**18)]
    size_max: Annotated[int, Meta(ge=0, lt=10**18)]
    id: str
    tag: str
    sort: str
    sort_key: str
    sort_dir: Literal["asc", "desc"]
    limit: Annotated[int, Meta(ge=0)]
    marker: str
    member_status: str


CREATE = Schema(dict[str, Any])
PATCH = Schema(list[Change])

_STRING = {"type": "string"}
_TEXT = {"type": ["null", "string"]}
_INTEGER = {"type": "integer"}
_BOOLEAN = {"type": "boolean"}
_READ_ONLY = {"type": "string", "readOnly": True}
_NUMBER = {"type": ["null", "integer"]}
IMAGE_SCHEMA: dict[str, Any] = {
    "name": "image",
    "properties": {
        **dict.fromkeys(("id", "status", "visibility", "created_at", "updated_at"), _STRING),
        **dict.fromkeys("name owner checksum os_hash_algo os_hash_value disk_format container_format".split(), _TEXT),
        **dict.fromkeys(("size", "virtual_size"), _NUMBER),
        **dict.fromkeys(("min_disk", "min_ram"), _INTEGER),
        **dict.fromkeys(("protected", "os_hidden"), _BOOLEAN),
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 255}},
        **dict.fromkeys(("self", "file", "schema"), _READ_ONLY),
    },
    "additionalProperties": {"type": "string"},
    "links": [
        {"rel": "self", "href": "{self}"},
        {"rel": "enclosure", "href": "{file}"},
        {"rel": "describedby", "href": "{schema}"},
    ],
}
IMAGES_SCHEMA: dict[str, Any] = {
    "name": "images",
    "properties": {
        "images": {"type": "array", "items": IMAGE_SCHEMA},
        **dict.fromkeys(("first", "next", "schema"), _STRING),
    },
    "links": [
        {"rel": "first", "href": "{first}"},
        {"rel": "next", "href": "{next}"},
        {"rel": "describedby", "href": "{schema}"},
    ],
}
