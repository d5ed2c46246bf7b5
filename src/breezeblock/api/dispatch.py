"""From a request to its handler: authentication, microversion, route, body, policy; once for all resources."""

import uuid
from collections.abc import Callable, Iterable
from typing import Any

import falcon
import msgspec

from breezeblock import killpoints
from breezeblock.api import bodies, microversions
from breezeblock.api.bodies import Schema
from breezeblock.api.call import Call, Handler, Parts, Reply
from breezeblock.api.listing import Filtered, Listing
from breezeblock.auth import policy
from breezeblock.errors import InvalidInput, MethodNotAllowed, NotFound, Unauthorized, VersionNotSupported


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One line of THE table.

    An action is a POST on `/{resource}/{id}/action` whose body has the one key `action`. Versions are microversions,
    both included. `schema` is one for all versions, or by the version from which it holds, the oldest first.
    """

    method: str
    path: str
    handler: Handler
    policy: str | None = None
    status: int = 200
    action: str | None = None
    schema: Schema | dict[int, Schema] | None = None
    media_types: frozenset[str] = bodies.JSON_TYPES
    produces: str = falcon.MEDIA_JSON
    query: Listing | Filtered | type | None = None
    """What the query may hold: as a list has it, or a `TypedDict` of parameters."""
    headers: type | None = None
    """A `TypedDict` of the headers that mean something to this call."""
    answer_headers: tuple[str, ...] = ()
    """Headers of the answer that all calls do not have."""
    consumes: str | None = None
    """The media type of a body that the handler reads itself."""
    may_be_empty: bool = False
    """Whether it may also answer 204, without a body."""
    waits: bool = False
    """Whether it waits for a worker, whose storage may fail: then it is a 500 that says why, as in Cinder."""
    since: int = microversions.OLDEST
    until: int = microversions.NEWEST

    def schema_of(self, version: int) -> Schema | None:
        """The schema that holds in this version."""
        if not isinstance(self.schema, dict):
            return self.schema
        return next(schema for since, schema in reversed(self.schema.items()) if version >= since)

    def speaks(self, version: int) -> bool:
        """Whether the call is there in this version."""
        return self.since <= version <= self.until


class RequestIds:
    """Falcon middleware: every request has an id, every answer says it."""

    def process_request(self, request: falcon.Request, response: falcon.Response) -> None:
        """Name the request."""
        request_id = f"req-{uuid.uuid4()}"
        request.context["request_id"] = request_id
        response.set_header("X-Openstack-Request-Id", request_id)
        response.set_header("X-Compute-Request-Id", request_id)


class Resource:
    """What Falcon calls for one path: all its routes, by method, action and version."""

    microversioned = True

    def __init__(self, parts: Parts, routes: Iterable[Route]) -> None:
        self._parts = parts
        self._routes: dict[str, list[Route]] = {}
        for route in routes:
            self._routes.setdefault(route.method, []).append(route)

    def answer(self, request: falcon.Request, response: falcon.Response, **path: str) -> None:
        """Find the route and have it answered."""
        if request.path.endswith("/"):
            raise NotFound  # an empty id, as Cinder's routes take it
        parts = self._parts
        try:
            request_id = str(request.context["request_id"])
            context = parts.authentication.identify(request.get_header, path.get("project_id"), request_id)
        except Unauthorized:
            response.set_header("WWW-Authenticate", parts.authentication.challenge)
            raise
        version = microversions.OLDEST
        if self.microversioned:
            version = _version(request, response)
        if any("\0" in value for value in path.values()):
            raise NotFound
        call = Call(parts, request, context, version, path)
        route = self._find(call)
        if route.policy is not None:
            policy.authorize(context, route.policy)
        with killpoints.within("api", anew=True):
            answer = route.handler(call)
        send(request, response, route, answer)

    def _find(self, call: Call) -> Route:
        """The route, with the call's body decoded. What another version has is not found in this one."""
        method = call.request.method
        routes = self._routes.get("GET" if method == "HEAD" else method)
        if routes is None:
            raise MethodNotAllowed
        body: bytes | msgspec.Raw = b""
        if routes[0].schema is not None or routes[0].action is not None:
            bodies.check_media_type(call.request, routes[0].media_types)
            body = bodies.read(call.request, call.settings.osapi_max_request_body_size)
        if routes[0].action is not None:
            name, body = bodies.action(body)
            routes = [route for route in routes if route.action == name]
            if not routes:
                raise InvalidInput(
                    f"There is no such action: {name}. Verify the request body and Content-Type header and try again."
                )
        for route in routes:
            if route.speaks(call.version):
                schema = route.schema_of(call.version)
                if schema is not None:
                    call.body = schema.decode(body)
                return route
        raise NotFound

    on_get = on_post = on_put = on_patch = on_delete = on_head = answer


def _version(request: falcon.Request, response: falcon.Response) -> int:
    """The microversion that is asked for; the answer says it, also where it is not spoken (406)."""
    asked = request.get_header(microversions.HEADER)
    try:
        version = microversions.requested(asked)
    except VersionNotSupported:
        _say_version(response, str(asked))
        raise
    _say_version(response, f"{microversions.SERVICE} {microversions.text(version)}")
    return version


def _say_version(response: falcon.Response, said: str) -> None:
    response.set_header(microversions.HEADER, said)
    response.set_header("Vary", microversions.HEADER)


class UnversionedResource(Resource):
    """A path of another API (the image service's) on the same port: it knows no microversions."""

    microversioned = False


class PublicRoute(msgspec.Struct, frozen=True, kw_only=True):
    """A GET that is answered without authentication."""

    path: str
    handler: Callable[[Parts, falcon.Request], Any]
    status: int = 200
    produces: str = falcon.MEDIA_JSON
    query: type | None = None


class PublicResource:
    """What Falcon calls for such a path: version documents, health, the description of the API."""

    def __init__(self, parts: Parts, route: PublicRoute) -> None:
        self._parts = parts
        self._route = route

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """Answer."""
        send(request, response, self._route, self._route.handler(self._parts, request))

    on_head = on_get


def send(request: falcon.Request, response: falcon.Response, route: Route | PublicRoute, answer: Any) -> None:
    """Put a handler's answer into the response; HEAD gets no body, so a stream is closed at once."""
    reply = answer if isinstance(answer, Reply) else Reply(content=answer)
    response.status = reply.status or route.status
    for name, value in reply.headers.items():
        response.set_header(name, value)
    if reply.stream is not None:
        response.content_type = route.produces
        if request.method == "HEAD":
            reply.stream.close()
        else:
            response.stream = reply.stream
    elif reply.content is not None:
        response.content_type = route.produces
        content = reply.content
        response.data = content if isinstance(content, bytes) else msgspec.json.encode(content)
