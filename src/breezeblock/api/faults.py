"""Errors as answers: Cinder's fault bodies, `{"itemNotFound": {"code": 404, "message": …}}`.

What is not an error of ours is a defect: it is logged with its request id, and its text stays in the log.
"""

import logging
from typing import Any

import falcon
import msgspec
import sqlalchemy as sa

from breezeblock.errors import (
    BreezeblockError,
    DatabaseUnavailable,
    InvalidInput,
    MethodNotAllowed,
    NotFound,
    OverQuota,
    RequestTooLarge,
    ServiceUnavailable,
    UnsupportedMediaType,
)
from breezeblock.services.attachments import ConnectionFailed

log = logging.getLogger(__name__)

INTERNAL = "The server has either erred or is incapable of performing the requested operation."


def install(app: falcon.App[Any, Any]) -> None:
    """Let the app answer every exception by a fault."""
    app.add_error_handler(Exception, _unexpected)
    app.add_error_handler(falcon.HTTPError, _of_falcon)
    app.add_error_handler(BreezeblockError, _of_ours)
    app.add_error_handler(DatabaseUnavailable, _database_away)
    app.add_error_handler(sa.exc.TimeoutError, _database_away)


def body(error: BreezeblockError) -> dict[str, Any]:
    """The fault body of an error."""
    fault: dict[str, Any] = {"code": error.status, "message": error.message}
    if isinstance(error, OverQuota):
        fault["retryAfter"] = "0"
    return {error.fault_key: fault}


def _answer(response: falcon.Response, error: BreezeblockError) -> None:
    response.status = error.status
    response.content_type = falcon.MEDIA_JSON
    response.data = msgspec.json.encode(body(error))
    response.stream = None
    if isinstance(error, OverQuota):
        response.set_header("Retry-After", "0")


def _of_ours(request: falcon.Request, response: falcon.Response, error: BreezeblockError, params: Any) -> None:
    if error.status < 500 or isinstance(error, ServiceUnavailable | ConnectionFailed):
        log.info("%s %s: %d %s", request.method, request.path, error.status, error.message)
        _answer(response, error)
    else:
        _unexpected(request, response, error, params)


def _of_falcon(request: falcon.Request, response: falcon.Response, error: falcon.HTTPError, params: Any) -> None:
    known: dict[int, type[BreezeblockError]] = {
        404: NotFound,
        405: MethodNotAllowed,
        413: RequestTooLarge,
        415: UnsupportedMediaType,
    }
    status = error.status_code
    if status in known:
        _answer(response, known[status]())
    elif 400 <= status < 500:
        _answer(response, InvalidInput(error.description or error.title))
    else:
        _unexpected(request, response, error, params)


def _database_away(request: falcon.Request, response: falcon.Response, error: Exception, params: Any) -> None:
    log.error("%s %s: the database does not answer: %s", request.method, request.path, error)
    _answer(response, ServiceUnavailable("The database does not answer; try again later."))


def _unexpected(request: falcon.Request, response: falcon.Response, error: Exception, params: Any) -> None:
    log.error("%s %s failed (%s)", request.method, request.path, request.context.get("request_id", "-"), exc_info=error)
    _answer(response, BreezeblockError(INTERNAL))
