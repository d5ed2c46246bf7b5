"""The documents as they are served and published. Public, like the version documents: they tell what the source tells,
nothing of this installation, and a client reads them before it has a token."""

import functools
from typing import Annotated, Any, TypedDict

import falcon
import msgspec
from msgspec import Meta

from breezeblock import config
from breezeblock.api import microversions
from breezeblock.api.call import Parts, Reply, query_of
from breezeblock.api.dispatch import PublicRoute
from breezeblock.api.openapi import document


class DocumentQuery(TypedDict, total=False):
    """Of which microversion the document is; the newest where nothing is said."""

    version: Annotated[str, Meta(pattern=r"\A3\.[0-9]+\Z")]


def volumes(parts: Parts, request: falcon.Request) -> Reply[bytes]:
    """GET /v3/openapi.json?version=3.N: this document. Raises `InvalidInput`, `VersionNotSupported`."""
    asked = query_of(request).get("version")
    version = microversions.NEWEST if asked is None else microversions.requested(f"{microversions.SERVICE} {asked}")
    root = _root(parts, request)
    return Reply(content=with_servers(_volumes(version), _volume_servers(f"{root}/v3")))


def images(parts: Parts, request: falcon.Request) -> Reply[bytes]:
    """GET /image/openapi.json: the image API where the image service is the local store."""
    return Reply(content=with_servers(_images(), [{"url": f"{_root(parts, request)}/image/v2"}]))


VOLUME_ROUTES = [PublicRoute(path="/v3/openapi.json", handler=volumes, query=DocumentQuery)]
IMAGE_ROUTES = [PublicRoute(path="/image/openapi.json", handler=images)]


def published(version: int = microversions.NEWEST) -> dict[str, Any]:
    """The document of the Block Storage API, on whatever host."""
    return document.volumes(version) | {"servers": _volume_servers("/v3")}


def published_images() -> dict[str, Any]:
    """The document of the image API, on whatever host."""
    return document.images() | {"servers": [{"url": "/image/v2"}]}


def with_servers(encoded: bytes, servers: list[dict[str, Any]]) -> bytes:
    """A document, encoded, with the addresses that it is spoken at."""
    return b'{"servers":%s,%s' % (msgspec.json.encode(servers), encoded[1:])


def _volume_servers(url: str) -> list[dict[str, Any]]:
    """With and without the project in the path; without it, the project is that of the token."""
    project = {"default": config.DEFAULT_PROJECT, "description": "The id of the caller's project."}
    return [{"url": url}, {"url": f"{url}/{{project_id}}", "variables": {"project_id": project}}]


def _root(parts: Parts, request: falcon.Request) -> str:
    return str(parts.settings.public_endpoint or request.prefix).rstrip("/")


@functools.cache
def _volumes(version: int) -> bytes:
    return msgspec.json.encode(document.volumes(version))


@functools.cache
def _images() -> bytes:
    return msgspec.json.encode(document.images())
