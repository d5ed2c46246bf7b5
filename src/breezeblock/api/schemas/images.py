"""Bodies of the image API (Glance v2), whose images have any keys beside their fixed ones."""

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from breezeblock.api.bodies import Schema

PATCH_TYPES = frozenset(
    {
        "application/openstack-images-v2.1-json-patch",
        "application/openstack-images-v2.0-json-patch",
    }
)

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


CREATE = Schema(dict[str, Any])
PATCH = Schema(list[Change])


def _each(names: Iterable[str], schema: dict[str, Any]) -> dict[str, Any]:
    return {name: schema for name in names}


_TEXT = {"type": ["null", "string"]}
_NUMBER = {"type": ["null", "integer"]}
IMAGE_SCHEMA: dict[str, Any] = {
    "name": "image",
    "properties": {
        **_each(("id", "status", "visibility", "created_at", "updated_at"), {"type": "string"}),
        **_each("name owner checksum os_hash_algo os_hash_value disk_format container_format".split(), _TEXT),
        **_each(("size", "virtual_size"), _NUMBER),
        **_each(("min_disk", "min_ram"), {"type": "integer"}),
        **_each(("protected", "os_hidden"), {"type": "boolean"}),
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 255}},
        **_each(("self", "file", "schema"), {"type": "string", "readOnly": True}),
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
        **_each(("first", "next", "schema"), {"type": "string"}),
    },
    "links": [
        {"rel": "first", "href": "{first}"},
        {"rel": "next", "href": "{next}"},
        {"rel": "describedby", "href": "{schema}"},
    ],
}
