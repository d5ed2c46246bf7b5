"""Documents that need no authentication: which versions there are, and whether the service lives."""

from typing import Any

import falcon
import sqlalchemy as sa

from breezeblock.api import microversions
from breezeblock.api.call import Parts, Reply


def _version(parts: Parts, request: falcon.Request) -> dict[str, Any]:
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


def root(parts: Parts, request: falcon.Request) -> Reply:
    """GET /: 300 with all versions."""
    return Reply(content={"versions": [_version(parts, request)]}, status=300)


def v3(parts: Parts, request: falcon.Request) -> Reply:
    """GET /v3 and /v3/: the same with 200."""
    headers = {
        microversions.HEADER: f"{microversions.SERVICE} {microversions.text(microversions.OLDEST)}",
        "Vary": microversions.HEADER,
    }
    return Reply(content={"versions": [_version(parts, request)]}, headers=headers)


def image(parts: Parts, request: falcon.Request) -> Reply:
    """GET /image: the image API's versions, as Glance tells them. 2.7 is the last before several stores."""
    endpoint = (parts.settings.public_endpoint or request.prefix).rstrip("/")
    links = [{"rel": "self", "href": f"{endpoint}/image/v2/"}]
    versions = [
        {"id": f"v2.{minor}", "status": "CURRENT" if minor == 7 else "SUPPORTED", "links": links}
        for minor in reversed(range(8))
    ]
    return Reply(content={"versions": versions}, status=300)


def healthcheck(parts: Parts, request: falcon.Request) -> Reply:
    """GET /healthcheck: OK while the database answers. Raises `DatabaseUnavailable` (503)."""
    with parts.database.read() as connection:
        connection.execute(sa.select(1))
    return Reply(content=b"OK", media_type=falcon.MEDIA_TEXT)
