"""One call of the API as its handler sees it, and what a handler may answer."""

from collections.abc import Callable, Iterator
from threading import BoundedSemaphore
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import parse_qsl

import falcon
import msgspec

from breezeblock.api.links import Links
from breezeblock.auth import policy
from breezeblock.auth.authentication import Authentication
from breezeblock.config import Settings
from breezeblock.context import RequestContext
from breezeblock.db.connect import Database
from breezeblock.errors import InvalidInput
from breezeblock.images.catalog import ImageCatalog

Content = TypeVar("Content")


class Parts(msgspec.Struct, frozen=True):
    """What the API stands on; one for a process. `streams` bounds the event streams, each of which holds a thread."""

    settings: Settings
    database: Database
    catalog: ImageCatalog
    authentication: Authentication
    streams: BoundedSemaphore


class Stream(Protocol):
    """A body that comes piece by piece; the WSGI server closes it, however the answer ends."""

    def __iter__(self) -> Iterator[bytes]:
        """The pieces."""

    def close(self) -> None:
        """Let go of what stands behind."""


class Reply(msgspec.Struct, Generic[Content], frozen=True, kw_only=True):
    """An answer that is more than a JSON body. `status` is the route's where it is None."""

    content: Content | None = None
    status: int | None = None
    headers: dict[str, str] = {}
    stream: Stream | None = None


class Call:
    """Who asks what: context, version, path, query, and the decoded body."""

    def __init__(
        self, parts: Parts, request: falcon.Request, context: RequestContext, version: int, path: dict[str, str]
    ) -> None:
        self.parts = parts
        self.settings = parts.settings
        self.database = parts.database
        self.catalog = parts.catalog
        self.request = request
        self.context = context
        self.version = version
        self.path = path
        self.query = query_of(request)
        self.body: Any = None
        self.links = Links(request, parts.settings.public_endpoint, path.get("project_id"))

    @property
    def id(self) -> str:
        """The id in the path."""
        return self.path["id"]

    @property
    def idempotency_key(self) -> str | None:
        """The header by which a client marks a request that it may repeat (ours; Cinder has none)."""
        key: str | None = self.request.get_header("Idempotency-Key")
        return key

    @property
    def token(self) -> str | None:
        """The caller's token, where Keystone has confirmed it. It is for the request alone and kept nowhere."""
        if self.settings.auth_strategy != "keystone":
            return None
        token: str | None = self.request.get_header("X-Auth-Token")
        return token

    @property
    def has_compute(self) -> bool:
        """Whether the caller's catalog names a compute service, as keystonemiddleware hands it on."""
        catalog: str | None = self.request.get_header("X-Service-Catalog")
        try:
            services = msgspec.json.decode(catalog or "[]", type=list[dict[str, Any]])
        except msgspec.MsgspecError as error:
            raise InvalidInput("Invalid service catalog json.") from error
        return any(one.get("type") == "compute" for one in services)

    def may(self, rule: str, project_id: str | None = None) -> bool:
        """Whether policy allows this too, on what that project owns; ask once for a call, never for a row."""
        return policy.allowed(self.context, rule, project_id)

    def must(self, rule: str, project_id: str | None = None) -> None:
        """Raises `Forbidden` unless policy allows this too, on what that project owns."""
        policy.authorize(self.context, rule, project_id)

    def flag(self, name: str) -> bool:
        """A boolean of the query. Raises `InvalidInput` for a word that is none."""
        word = self.query.get(name, "false").strip().lower()
        if word in {"true", "1", "on", "yes", "y", "t"}:
            return True
        if word in {"false", "0", "off", "no", "n", "f", ""}:
            return False
        raise InvalidInput(f"Invalid value '{word}' for {name}: it is not a boolean.")


Handler = Callable[[Call], Any]
"""Answers a JSON body as plain values or records, None for an empty body, or a `Reply`."""


def query_of(request: falcon.Request) -> dict[str, str]:
    """The query's parameters, the last one of a repeated key. Raises `InvalidInput` for NUL, which no database takes."""
    query = dict(parse_qsl(request.query_string, keep_blank_values=True))
    if any("\0" in key or "\0" in value for key, value in query.items()):
        raise InvalidInput("A parameter of the query holds a NUL character.")
    return query
