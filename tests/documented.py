"""Holds answers of the API against its OpenAPI documents: status, media type, headers and body, by microversion."""

import functools
import json
import re
from urllib.parse import parse_qsl, urlsplit

import jsonschema_rs

from breezeblock.api import microversions
from breezeblock.api.openapi import served

NOT_DESCRIBED = {"/", "/healthcheck", "/image", "/image/v2", "/v3/openapi.json", "/image/openapi.json"}
UNKNOWN_FILTERS = 31
"""Before this version a list passes over what it does not know."""

PASSING_OVER = {
    "/types",
    "/group_types",
    "/consistencygroups",
    "/consistencygroups/detail",
    "/cgsnapshots",
    "/cgsnapshots/detail",
    "/images",
    "/scheduler-stats/get_pools",
}
"""Lists that pass over unknown filters in later versions too, or look for them in what each one tells of itself."""


class Undocumented(AssertionError):
    """An answer that the document does not tell of."""


class Document:
    """One document, ready to be asked."""

    def __init__(self, content):
        self.content = content
        self._paths = sorted(
            ((re.compile(re.sub(r"{\w+}", "[^/]+", path)), path) for path in content["paths"]),
            key=lambda one: one[1].count("{"),
        )

    def path(self, path):
        """The template that a path is of."""
        return next((template for pattern, template in self._paths if pattern.fullmatch(path)), None)

    def operation(self, template, method):
        """What is told of a call; None where there is no such call. HEAD is as GET."""
        return self.content["paths"].get(template, {}).get("get" if method == "HEAD" else method.lower())

    def resolved(self, node):
        """What a reference refers to."""
        while "$ref" in node:
            node = functools.reduce(lambda at, key: at[key], node["$ref"].split("/")[1:], self.content)
        return node

    @functools.cache  # noqa: B019
    def validator(self, schema):
        """Of a schema, as JSON text."""
        return jsonschema_rs.Draft202012Validator({**json.loads(schema), "components": self.content["components"]})


@functools.cache
def volumes(version=microversions.NEWEST):
    return Document(served.published(version))


@functools.cache
def images():
    return Document(served.published_images())


def check(method, path, body, query, answer):
    """Raises `Undocumented` for an answer that its document does not tell of."""
    address = urlsplit(path)
    document, template = _find(address.path.rstrip("/") or "/", answer)
    if document is None:
        return
    try:
        operation = document.operation(template, method)
        if operation is None:
            _require(answer.status_code in {400, 401, 404, 405, 406}, "it is no call of the document")
            return
        response = operation["responses"].get(str(answer.status_code))
        _require(response is not None, "the status is not documented")
        response = document.resolved(response)
        _check_headers(response, answer)
        if method != "HEAD":
            _check_body(document, _schemas(operation, response, body, answer), answer)
        if answer.status_code < 400 and _version(answer) >= UNKNOWN_FILTERS and template not in PASSING_OVER:
            newest = images() if document is images() else volumes()
            _check_query(newest.operation(template, method), address.query, query)
    except Undocumented as error:
        raise Undocumented(f"{method} {path}: {answer.status_code}: {error}\n{answer.text[:2000]}") from None


def _check_headers(response, answer):
    told = {name.lower() for name in answer.headers}
    for name in response.get("headers", ()):
        _require(name.lower() in told or name == "Etag", f"there is no header {name}")


def _check_query(operation, *queries):
    asked = {}
    for query in queries:
        asked |= dict(parse_qsl(query, keep_blank_values=True)) if isinstance(query, str) else query or {}
    known = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"}
    if "marker" in known:  # what is no list passes over what it does not know
        _require(asked.keys() <= known | {"all_tenants"}, f"the parameters {asked.keys() - known} are not documented")


def _find(path, answer):
    """The document that tells of a path, and the template that the path is of; None where there is none."""
    if path in NOT_DESCRIBED or (not path.startswith(("/v3/", "/image/v2/")) and path != "/v3"):
        return None, None
    if path.startswith("/image/v2/"):
        return images(), images().path(path.removeprefix("/image/v2"))
    document, rest = volumes(_version(answer)), path.removeprefix("/v3") or "/"
    return document, document.path(rest) or document.path(re.sub(r"^/[^/]*", "", rest))


def _version(answer):
    """Which version an answer is of; errors that come before it is settled are the same in all."""
    told = next((value for name, value in answer.headers.items() if name.lower() == microversions.HEADER.lower()), None)
    return microversions.NEWEST if told is None else microversions.number(told.split()[1])


def _schemas(operation, response, body, answer):
    """The schemas of the answer by media type; of an action's those of this action, which may be none."""
    content = response.get("content", {})
    if operation.get("x-openstack", {}).get("discriminator") != "action" or answer.status_code >= 400:
        return {kind: told.get("schema") for kind, told in content.items()}
    (name,) = json.loads(body)
    branches = operation["requestBody"]["content"]["application/json"]["schema"]["oneOf"]
    told = next(branch["x-openstack"] for branch in branches if branch["title"] == name)
    _require(answer.status_code == told["status"], f"{name} is answered {answer.status_code}, not {told['status']}")
    return {"application/json": told["answer"]} if "answer" in told else {}


def _check_body(document, schemas, answer):
    if not schemas:
        _require(answer.content == b"", "there is a body")
        return
    kind = next((value for name, value in answer.headers.items() if name.lower() == "content-type"), "")
    _require(kind in schemas, f"it is {kind}, not {', '.join(schemas)}")
    if schemas[kind] is None or kind.startswith("text/"):
        return
    try:
        document.validator(json.dumps(schemas[kind])).validate(answer.json)
    except jsonschema_rs.ValidationError as error:
        raise Undocumented(str(error)) from None


def _require(condition, why):
    if not condition:
        raise Undocumented(why)
