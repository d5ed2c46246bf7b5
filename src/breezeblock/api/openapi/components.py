"""Types as JSON schemas, as they are in one microversion."""

import functools
from collections.abc import Iterator
from typing import Any

import msgspec

from breezeblock.api import microversions
from breezeblock.api.shapes import EXTENSION

PREFIX = "#/components/schemas/"

JsonSchema = dict[str, Any]


class Components:
    """Collects the schemas of a document, each once, by the name of its type."""

    def __init__(self, version: int, open_shapes: dict[str, JsonSchema]) -> None:
        """`open_shapes` are the answers beside whose fields there may be others, and what these are."""
        self._version = version
        self._open = open_shapes
        self.schemas: dict[str, JsonSchema] = {}

    def of_body(self, record: Any) -> JsonSchema:
        """The schema of what a request holds."""
        return self._of(record, answer=False)

    def of_answer(self, shape: Any) -> JsonSchema:
        """The schema of what is answered. It is closed: what is not told of is not there."""
        return self._of(shape, answer=True)

    def alone(self, shape: type) -> JsonSchema:
        """The schema of a shape that is no component of the document: its fields become parameters."""
        name = shape.__name__
        told: JsonSchema = self._told(_schemas(shape)[1][name], answer=False)
        return told

    def _of(self, kind: Any, *, answer: bool) -> JsonSchema:
        schema, found = _schemas(kind)
        for name, component in found.items():
            told = self._told(component, answer=answer)
            if answer and name in self._open:
                told["additionalProperties"] = self._open[name]
            if self.schemas.setdefault(name, told) != told:
                raise TypeError(f"Two types of the API are called {name}.")
        result: JsonSchema = self._told(schema, answer=answer)
        return result

    def _told(self, schema: Any, *, answer: bool) -> Any:
        """The schema in this version, with patterns as JSON Schema writes them."""
        if isinstance(schema, list):
            return [self._told(one, answer=answer) for one in schema]
        if not isinstance(schema, dict):
            return schema
        told = {key: self._told(value, answer=answer) for key, value in schema.items() if key != "properties"}
        if isinstance(told.get("pattern"), str):
            told["pattern"] = told["pattern"].replace(r"\A", "^").replace(r"\Z", "$")
        if told.get("type") == "object" and "properties" in schema:
            self._tell_fields(told, schema["properties"], answer=answer)
        return told

    def _tell_fields(self, told: JsonSchema, fields: JsonSchema, *, answer: bool) -> None:
        """The fields that there are in this version, and which of them are always there."""
        told["properties"], required = {}, set(told.get("required", ()))
        for name, schema in fields.items():
            field = self._told(schema, answer=answer)
            since = field.get(EXTENSION)
            if since is not None:
                if microversions.number(since["min-ver"]) > self._version:
                    continue
                if not since.get("optional", False):
                    required.add(name)
            if answer and "default" in field:  # of a record: all its fields are told
                del field["default"]
                required.add(name)
            told["properties"][name] = field
        told["required"] = sorted(required)
        if answer:
            told["additionalProperties"] = False

    def reached_from(self, paths: JsonSchema) -> dict[str, JsonSchema]:
        """The schemas that the paths refer to, directly or not."""
        reached: dict[str, JsonSchema] = {}
        pending = list(_references(paths))
        while pending:
            name = pending.pop()
            if name not in reached:
                reached[name] = self.schemas[name]
                pending += _references(self.schemas[name])
        return dict(sorted(reached.items()))


@functools.cache
def _schemas(kind: Any) -> tuple[JsonSchema, dict[str, JsonSchema]]:
    """The schema of a type, and those that it refers to, in all versions at once."""
    (schema,), found = msgspec.json.schema_components([kind], ref_template=f"{PREFIX}{{name}}")
    return schema, found


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        reference = node.get("$ref")
        if isinstance(reference, str) and reference.startswith(PREFIX):
            yield reference.removeprefix(PREFIX)
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)
