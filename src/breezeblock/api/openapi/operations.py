"""The calls of the route table as OpenAPI's operations."""

import inspect
import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any, NoReturn, get_args, get_origin, get_type_hints

import falcon

from breezeblock.api import microversions
from breezeblock.api.call import Reply
from breezeblock.api.dispatch import PublicRoute, Route
from breezeblock.api.openapi import faults, parameters
from breezeblock.api.openapi.components import Components, JsonSchema
from breezeblock.api.shapes import EXTENSION
from breezeblock.auth.rules import RULES

_AFTER_CALL = re.compile(r'(?<!"): ')
"""What stands in a docstring between a call and what is said of it, but not within a body that is shown."""


def of_table(components: Components, table: Iterable[Route], version: int, headers: Sequence[str]) -> JsonSchema:
    """The paths of a table in a version; of several lines for one call the first counts. `headers` all answers have."""
    lines: dict[str, dict[str, dict[str | None, Route]]] = {}
    for route in table:
        if route.speaks(version):
            lines.setdefault(route.path, {}).setdefault(route.method, {}).setdefault(route.action, route)
    paths: JsonSchema = {}
    for path, methods in lines.items():
        paths[path] = {"parameters": parameters.of_path(path)}
        for method, found in methods.items():
            routes = list(found.values())
            make = _call if routes[0].action is None else _actions
            paths[path][method.lower()] = make(components, routes, version, headers)
    return paths


def of_public(components: Components, route: PublicRoute, operation_id: str, headers: Sequence[str]) -> JsonSchema:
    """A call that needs no authentication."""
    return {
        "operationId": operation_id,
        "summary": _summary(route.handler, "GET", route.path),
        "security": [{}],
        "responses": {str(route.status): _response(components, route.status, [route.handler], route.produces, headers)},
    }


def _call(components: Components, lines: list[Route], version: int, headers: Sequence[str]) -> JsonSchema:
    route = lines[0]
    more = (*headers, *route.answer_headers)
    responses = {}
    if shape_of(route.handler) is not NoReturn:
        responses[str(route.status)] = _response(components, route.status, [route.handler], route.produces, more)
    if route.may_be_empty:
        responses["204"] = {"description": "There is nothing yet."}
    told: JsonSchema = {
        "operationId": _operation_id(route),
        "summary": _summary(route.handler, route.method, route.path),
        "tags": [_tag(route)],
        "parameters": [
            *parameters.of_query(components, route.query, version),
            *parameters.of_headers(components, route.headers),
        ],
        "responses": responses | faults.of_call(route),
        EXTENSION: _extension(route),
    }
    schema = route.schema_of(version)
    if schema is not None:
        told["requestBody"] = _request(route, components.of_body(schema.record))
    elif route.consumes is not None:
        told["requestBody"] = {"required": True, "content": {route.consumes: {}}}
    return told


def _actions(components: Components, lines: list[Route], version: int, headers: Sequence[str]) -> JsonSchema:
    """All actions of a resource: a body of one of several kinds, each with one key."""
    first = lines[0]
    by_status: dict[int, list[Any]] = {}
    for route in lines:
        by_status.setdefault(route.status, []).append(route.handler)
    responses = {
        str(status): _response(components, status, handlers, first.produces, headers)
        for status, handlers in sorted(by_status.items())
    }
    return {
        "operationId": _operation_id(first),
        "summary": f"Actions: {', '.join(str(route.action) for route in lines)}.",
        "tags": [_tag(first)],
        "requestBody": _request(first, {"oneOf": [_action(components, route, version) for route in lines]}),
        "responses": responses | faults.of_actions(lines),
        EXTENSION: {"discriminator": "action"},
    }


def _action(components: Components, route: Route, version: int) -> JsonSchema:
    """The body of one action, and in the extension what it is answered."""
    schema, shape = route.schema_of(version), shape_of(route.handler)
    asked = {} if schema is None else components.of_body(schema.record)
    answer = {} if shape is None else {"answer": components.of_answer(shape)}
    return {
        "type": "object",
        "title": route.action,
        "description": _summary(route.handler, route.method, route.path),
        "properties": {route.action: asked},
        "required": [route.action],
        "additionalProperties": False,
        EXTENSION: _extension(route) | {"status": route.status} | answer,
    }


def _request(route: Route, schema: JsonSchema) -> JsonSchema:
    """A body; of JSON's two names the one that everybody knows."""
    kinds = {falcon.MEDIA_JSON} & route.media_types or route.media_types
    return {"required": True, "content": {kind: {"schema": schema} for kind in sorted(kinds)}}


def _response(
    components: Components, status: int, handlers: list[Any], produces: str, headers: Sequence[str]
) -> JsonSchema:
    """What these handlers answer when all is well: one shape, or one of several, or nothing."""
    shapes = [shape for shape in dict.fromkeys(map(shape_of, handlers)) if shape is not None]
    described = shapes[0] if len(handlers) == 1 and shapes and _is_described(shapes[0]) else None
    told: JsonSchema = {
        "description": _first_line(described) if described else HTTPStatus(status).phrase,
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in headers},
    }
    if shapes == [bytes]:
        told["content"] = {produces: {"schema": {"type": "string"}} if produces.startswith("text/plain") else {}}
    elif shapes:
        bodies = [components.of_answer(shape) for shape in shapes]
        told["content"] = {produces: {"schema": bodies[0] if len(bodies) == 1 else {"anyOf": bodies}}}
    return told


def shape_of(handler: Any) -> Any:
    """What a handler says that it answers; None for nothing, bytes for what is no JSON, NoReturn for errors alone."""
    answer = get_type_hints(handler, include_extras=True)["return"]
    if get_origin(answer) is Reply:
        (answer,) = get_args(answer)
    return None if answer is type(None) else answer


def _is_described(shape: Any) -> bool:
    return isinstance(shape, type) and shape.__module__.startswith("breezeblock.") and bool(shape.__doc__)


def _extension(route: Route) -> JsonSchema:
    told: JsonSchema = {"min-ver": microversions.text(route.since)}
    if route.until != microversions.NEWEST:
        told["max-ver"] = microversions.text(route.until)
    if route.policy is not None:
        told |= {"policy": route.policy, "check": RULES[route.policy]}
    return told


def _summary(handler: Any, method: str, path: str) -> str:
    """What the first line of the handler's docstring says beside the call itself, or else what is answered."""
    line = _first_line(handler).partition(" Raises ")[0]
    if not re.match(r"(GET|POST|PUT|PATCH|DELETE) ", line):
        return line
    rest = "".join(_AFTER_CALL.split(line, 1)[1:])
    if rest:
        return rest[:1].upper() + rest[1:]
    shape = shape_of(handler)
    return _first_line(shape) if _is_described(shape) else f"{method} {path}"


def _first_line(described: Any) -> str:
    return (inspect.getdoc(described) or "").partition("\n\n")[0].replace("\n", " ")


def _operation_id(route: Route) -> str:
    return "_".join([route.method.lower(), *re.findall(r"\w+", route.path)])


def _tag(route: Route) -> str:
    return route.path.split("/")[1]
