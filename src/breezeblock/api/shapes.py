"""What answers look like: the kinds of fields that the shapes of views are made of, and since when a field is there.

A shape is a `TypedDict` beside the view that makes it. The view and the handler are annotated with it, so that mypy holds
them to it, and the OpenAPI document (`api.openapi`) is made of the same annotations.
"""

from collections.abc import Callable
from typing import Annotated, Any, NotRequired, TypedDict, cast

import msgspec
from msgspec import Meta

from breezeblock.api import microversions

EXTENSION = "x-openstack"
"""Where the schema of a field tells its first microversion: OpenStack's extension of OpenAPI."""

Time = Annotated[str, Meta(description="UTC, without a zone.", examples=["2026-01-31T12:00:00.000000"])]
GiB = Annotated[int, Meta(description="GiB.")]

stored = cast(Callable[[str], dict[str, str]], msgspec.Raw)
"""JSON text of the database as the object that it is: it goes out as it came, without being decoded."""


class Link(TypedDict):
    """Where something lies."""

    rel: str
    href: str


def since(version: int, *, always: bool = True) -> Meta:
    """Of a field that is `NotRequired`: the microversion from which on it is there.

    `always` false: from then on it may be there, as who asks and what is shown have it.
    """
    told: dict[str, Any] = {"min-ver": microversions.text(version)}
    if not always:
        told["optional"] = True
    return Meta(extra_json_schema={EXTENSION: told})


class Counted(TypedDict):
    """What may stand beside a list."""

    count: NotRequired[Annotated[int, since(45, always=False), Meta(description="Of all pages, by `with_count`.")]]
