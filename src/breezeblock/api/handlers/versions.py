"""Documents that need no authentication: which versions there are, and whether the service lives."""

from typing import NotRequired, TypedDict

import falcon
import sqlalchemy as sa

from breezeblock.api import microversions
from breezeblock.api.call import Parts, Reply
from breezeblock.api.shapes import Link


class VersionLink(Link):
    """Where a version lies, or is described."""

    type: NotRequired[str]


class MediaType(TypedDict):
    """What bodies may come as."""

    base: str
    type: str


Version = TypedDict(
    "Version",
    {
        "id": str,
        "status": str,
        "version": str,
        "min_version": str,
        "updated": str,
        "links": list[VersionLink],
        "media-types": list[MediaType],
    },
)


class Versions(TypedDict):
    """The versions of the API, and the microversions of each."""

    versions: list[Version]


class ImageVersion(TypedDict):
    """A version of the image API."""

    id: str
    status: str
    links: list[Link]


class ImageVersions(TypedDict):
    """The versions of the image API."""

    versions: list[ImageVersion]


def _version(parts: Parts, request: falcon.Request) -> Version:
    root = (parts.settings.public_endpoint or request.prefix).rstrip("/")
    return {
        "id": "v3.0",
        "status": "CURRENT",
        "version": microversions.text(microversions.NEWEST),
        "min_version": microversions.text(microversions.OLDEST),
        "updated": microversions.UPDATED,
        "links": [
            {"rel": "describedby", "type": "text/html", "href": "https://docs.openstack.org/"},
            {"rel": "self", "href": f"{root}/v3/"},
        ],
        "media-types": [
            {"base": "application/json", "type": "application/vnd.openstack.volume+json;version=3"},
        ],
    }


def root(parts: Parts, request: falcon.Request) -> Reply[Versions]:
    """GET /: 300 with all versions."""
    return _document(parts, request, 300)


def v3(parts: Parts, request: falcon.Request) -> Reply[Versions]:
    """GET /v3 and /v3/: the same with 200."""
    return _document(parts, request, 200)


def _document(parts: Parts, request: falcon.Request, status: int) -> Reply[Versions]:
    headers = {
        microversions.HEADER: f"{microversions.SERVICE} {microversions.text(microversions.OLDEST)}",
        "Vary": microversions.HEADER,
    }
    return Reply(content={"versions": [_version(parts, request)]}, status=status, headers=headers)


def image(parts: Parts, request: falcon.Request) -> ImageVersions:
    """GET /image: the image API's versions, as Glance tells them. 2.7 is the last before several stores."""
    endpoint = (parts.settings.public_endpoint or request.prefix).rstrip("/")
    links: list[Link] = [{"rel": "self", "href": f"{endpoint}/image/v2/"}]
    versions: list[ImageVersion] = [
        {"id": f"v2.{minor}", "status": "CURRENT" if minor == 7 else "SUPPORTED", "links": links}
        for minor in reversed(range(8))
    ]
    return {"versions": versions}


def healthcheck(parts: Parts, request: falcon.Request) -> Reply[bytes]:
    """GET /healthcheck: OK while the database answers. Raises `DatabaseUnavailable` (503)."""
    with parts.database.read() as connection:
        connection.execute(sa.select(1))
    return Reply(content=b"OK")
