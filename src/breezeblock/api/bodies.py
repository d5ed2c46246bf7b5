"""Request bodies: read within the limit, decoded by msgspec into the records of `schemas`, as lax as Cinder is.

Lax means: a number may come as text (`"size": "1"`), null stands for absent. Unknown keys are refused where Cinder
refuses them: by a record with `forbid_unknown_fields`.
"""

import re
from typing import Any

import falcon
import msgspec

from breezeblock.api.schemas.fields import FLAG_PATTERN
from breezeblock.errors import InvalidInput, RequestTooLarge, UnsupportedMediaType

JSON_TYPES = frozenset({"application/json", "application/vnd.openstack.volume+json"})

_WHERE = re.compile(r"(?P<what>.*) - at `(?P<path>[^`]*)`", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<field>.*)`", re.DOTALL)


class Schema:
    """How the body of one call is decoded."""

    def __init__(self, record: Any) -> None:
        self.record = record
        self._decoder = msgspec.json.Decoder(record, strict=False)

    def decode(self, body: bytes | msgspec.Raw) -> Any:
        """The record that the body holds. Raises `InvalidInput` that names the field, or for a NUL in any text."""
        try:
            record = self._decoder.decode(body)
        except msgspec.ValidationError as error:
            raise InvalidInput(_explain(str(error))) from None
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise InvalidInput(f"Malformed request body: {error}") from None
        if b"\\u0000" in bytes(body) and _holds_nul(msgspec.json.decode(body)):
            raise InvalidInput("Invalid input. A text holds a NUL character, which is not kept.")
        return record


def _holds_nul(value: Any) -> bool:
    """Whether a text somewhere in it holds a NUL, which PostgreSQL does not store."""
    if isinstance(value, dict):
        return any(_holds_nul(key) or _holds_nul(one) for key, one in value.items())
    if isinstance(value, list):
        return any(_holds_nul(one) for one in value)
    return isinstance(value, str) and "\0" in value


def envelope(key: str, record: Any, name: str | None = None, closed: bool = True) -> Schema:
    """The schema of `{key: record}`; decodes to the envelope, whose field is `content`.

    `name` is what the OpenAPI document calls it, where neither the record nor the key is enough. Nothing may stand
    beside the key where it is `closed`; else that is passed over.
    """
    field = ("content", record, msgspec.field(name=key))
    named = name or envelope_name(key, record)
    return Schema(msgspec.defstruct(named, [field], forbid_unknown_fields=closed, frozen=True))


def envelope_name(key: str, record: Any) -> str:
    """What the OpenAPI document calls the envelope: as its record, where that has a name."""
    if isinstance(record, type) and issubclass(record, msgspec.Struct):
        return f"{record.__name__}Body"
    return "".join(word.title() for word in re.split(r"\W|_", key)) + "Body"


def read(request: falcon.Request, limit: int) -> bytes:
    """The body, at most `limit` bytes. Raises `RequestTooLarge`."""
    length = request.content_length
    if length is None:
        if "chunked" not in (request.get_header("Transfer-Encoding") or "").lower():
            return b""
        body: bytes = request.stream.read(limit + 1)
    elif length > limit:
        raise RequestTooLarge
    else:
        body = request.bounded_stream.read(length)
    if len(body) > limit:
        raise RequestTooLarge
    return body


def check_media_type(request: falcon.Request, accepted: frozenset[str]) -> None:
    """Raises `UnsupportedMediaType` for a body that says it is something else; one that says nothing is JSON."""
    said = (request.content_type or "").partition(";")[0].strip().lower()
    if said and said not in accepted:
        raise UnsupportedMediaType("Unsupported Content-Type")


_ACTION = Schema(dict[str, msgspec.Raw])


def action(body: bytes) -> tuple[str, msgspec.Raw]:
    """The one key of an action's body and what stands under it."""
    asked: dict[str, msgspec.Raw] = _ACTION.decode(body)
    if len(asked) != 1:
        raise InvalidInput("Malformed request body: an action is an object with exactly one key.")
    return next(iter(asked.items()))


def _explain(message: str) -> str:
    """Of msgspec's words, which name the place last, Cinder's, which name the field first."""
    match = _WHERE.fullmatch(message)
    what, path = (match["what"], match["path"]) if match else (message, "$")
    field = path.removeprefix("$").lstrip(".").removesuffix(".content")
    what = what.replace(f"Expected `str` matching regex {FLAG_PATTERN!r}", "It is not a boolean")
    unknown = _UNKNOWN.fullmatch(what)
    if unknown:
        what = f"Additional properties are not allowed ('{unknown['field']}' was unexpected)"
    return f"Invalid input for field/attribute {field}. {what}." if field else f"Invalid input. {what}."
