"""The errors that a call may answer, as OpenAPI's responses: Cinder's fault bodies."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import falcon

from breezeblock.api.dispatch import Route
from breezeblock.errors import FAULT_KEYS, BreezeblockError

JsonSchema = dict[str, Any]

_ALWAYS = (400, 401, 403, 404, 406, 503)
"""A wrong parameter or version, who asks, what is not there for him, a version that nobody speaks, a part that is away."""
_CHANGING = (409, 413)
"""What is in the way, or more than the quota allows or the server takes."""

_DOCUMENTED = (400, 401, 403, 404, 406, 409, 412, 413, 415, 500, 503)


def _key(status: int) -> str:
    return FAULT_KEYS.get(status, BreezeblockError().fault_key)


def _schema(status: int) -> JsonSchema:
    fields: JsonSchema = {"code": {"const": status}, "message": {"type": "string"}}
    if status == 413:
        fields["retryAfter"] = {"type": "string"}
    fault = {"type": "object", "properties": fields, "required": ["code", "message"], "additionalProperties": False}
    return {
        "title": f"Fault{status}",
        "type": "object",
        "properties": {_key(status): fault},
        "required": [_key(status)],
        "additionalProperties": False,
    }


def _response(status: int) -> JsonSchema:
    return {
        "description": HTTPStatus(status).phrase,
        "content": {falcon.MEDIA_JSON: {"schema": {"$ref": f"#/components/schemas/Fault{status}"}}},
    }


SCHEMAS = {f"Fault{status}": _schema(status) for status in _DOCUMENTED}
RESPONSES = {f"Fault{status}": _response(status) for status in _DOCUMENTED}


def of_call(route: Route) -> JsonSchema:
    """The responses of a call that is refused, by status."""
    statuses = set(_ALWAYS)
    if route.method != "GET":
        statuses.update(_CHANGING)
    if route.schema is not None or route.action is not None or route.consumes is not None:
        statuses.add(415)
    if route.waits:
        statuses.add(500)
    if "If-Match" in getattr(route.headers, "__annotations__", {}):
        statuses.add(412)
    return {str(status): {"$ref": f"#/components/responses/Fault{status}"} for status in sorted(statuses)}


def of_actions(lines: Iterable[Route]) -> JsonSchema:
    """The same of several actions together."""
    told: JsonSchema = {}
    for route in lines:
        told |= of_call(route)
    return dict(sorted(told.items()))
