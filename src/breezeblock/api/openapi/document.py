"""The documents: what stands round the paths."""

from typing import Any

from breezeblock.api import microversions, routes
from breezeblock.api.openapi import faults, operations
from breezeblock.api.openapi.components import Components, JsonSchema
from breezeblock.api.shapes import EXTENSION

OPENAPI = "3.1.0"

_TEXT: JsonSchema = {"type": "string"}
_REQUEST_ID = "X-Openstack-Request-Id"

_ABOUT = """Block storage as OpenStack's clients know it: version 3 of Cinder's API, and paths of our own.

This document is of microversion {version}: a client sends `OpenStack-API-Version: volume {version}` with every request.
`{key}` tells since which microversion something is there (`min-ver`), and which rule of the policy stands before a call
(`policy`, and `check`, what it asks for by default). Of an action it tells with which `status` and `answer` it is
answered. The document of another microversion is `/v3/openapi.json?version=3.N`.
"""

_ABOUT_IMAGES = "The part of the image API (Glance v2) that is there where `image_service` is `local`."

_SECURITY: JsonSchema = {
    "token": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Auth-Token",
        "description": "Where `auth_strategy` is `keystone`.",
    },
    "basic": {"type": "http", "scheme": "basic", "description": "Where `auth_strategy` is `http_basic`."},
}


def volumes(version: int = microversions.NEWEST) -> JsonSchema:
    """The Block Storage API in a microversion, without `servers`."""
    components = Components(version, {})
    spoken = microversions.text(version)
    value: JsonSchema = {"type": "string", "const": f"{microversions.SERVICE} {spoken}"}
    public = next(route for route in routes.PUBLIC_ROUTES if route.path == "/v3")
    paths = operations.of_table(components, routes.VOLUME_ROUTES, version, (_REQUEST_ID, microversions.HEADER))
    for path in paths.values():
        path["parameters"].insert(0, {"$ref": "#/components/parameters/microversion"})
    paths = {"/": {"get": operations.of_public(components, public, "get_versions", (_REQUEST_ID,))}, **paths}
    told = _document("Breezeblock: Block Storage API", spoken, _ABOUT.format(version=spoken, key=EXTENSION))
    told["paths"] = paths
    told["components"]["parameters"] = {
        "microversion": {
            "name": microversions.HEADER,
            "in": "header",
            "required": version != microversions.OLDEST,
            "description": f"Without it the call is one of {microversions.text(microversions.OLDEST)}.",
            "schema": value,
        }
    }
    told["components"]["headers"] |= {
        microversions.HEADER: {"description": "The microversion of the answer.", "schema": value},
        "Etag": {"description": "Of these metadata, for If-Match.", "schema": _TEXT},
    }
    told["components"]["schemas"] |= components.reached_from(paths)
    return told


def images() -> JsonSchema:
    """The part of the image API that the local image store answers, without `servers`."""
    components = Components(microversions.NEWEST, {"ImageDetail": {"type": "string"}})
    told = _document("Breezeblock: the local image store", "2.7", _ABOUT_IMAGES)
    told["paths"] = operations.of_table(components, routes.IMAGE_ROUTES, microversions.NEWEST, (_REQUEST_ID,))
    told["components"]["headers"]["Location"] = {"description": "Where it is.", "schema": _TEXT}
    told["components"]["schemas"] |= components.reached_from(told["paths"])
    return told


def _document(title: str, version: str, about: str) -> dict[str, Any]:
    return {
        "openapi": OPENAPI,
        "info": {
            "title": title,
            "version": version,
            "description": about,
            "license": {"name": "Apache License 2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"token": []}, {"basic": []}, {}],
        "paths": {},
        "components": {
            "schemas": dict(faults.SCHEMAS),
            "responses": faults.RESPONSES,
            "headers": {_REQUEST_ID: {"description": "What the log calls this request.", "schema": _TEXT}},
            "securitySchemes": _SECURITY,
        },
    }
