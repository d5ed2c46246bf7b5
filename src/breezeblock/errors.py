"""Every error that a person or a client may see.

An error class carries its HTTP status; the fault key is Cinder's for that status. The first line of the docstring is
the default message; a message given at the raise says what happened here and what to do about it.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

FAULT_KEYS = {
    400: "badRequest",
    401: "unauthorized",
    403: "forbidden",
    404: "itemNotFound",
    405: "badMethod",
    409: "conflictingRequest",
    412: "preconditionFailed",
    413: "overLimit",
    415: "badMediaType",
    501: "notImplemented",
    503: "serviceUnavailable",
}


class BreezeblockError(Exception):
    """The server could not do what was asked of it."""

    status: ClassVar[int] = 500

    def __init__(self, message: str | None = None) -> None:
        self.message = message or (type(self).__doc__ or "").strip().splitlines()[0]
        super().__init__(self.message)

    @property
    def fault_key(self) -> str:
        """The key of the fault body, Cinder's for this status."""
        return FAULT_KEYS.get(self.status, "computeFault")


class InvalidInput(BreezeblockError):
    """The request is not understood: a field is missing, unknown or out of range."""

    status = 400


class InvalidReplicationTarget(InvalidInput):
    """There is no such replication target."""


class InvalidState(BreezeblockError):
    """The resource is not in a state that allows this."""

    status = 400


class Unauthorized(BreezeblockError):
    """The request needs credentials that this server accepts."""

    status = 401


class Forbidden(BreezeblockError):
    """Policy does not allow this to be performed."""

    status = 403


class NotFound(BreezeblockError):
    """The resource could not be found."""

    status = 404


class MethodNotAllowed(BreezeblockError):
    """This path does not know that method."""

    status = 405


class VersionNotSupported(BreezeblockError):
    """The requested microversion is outside the range that this server speaks."""

    status = 406


class Conflict(BreezeblockError):
    """The resource is already there, or something else is happening to it."""

    status = 409


class PreconditionFailed(BreezeblockError):
    """The resource has changed since it was read (If-Match)."""

    status = 412


class OverQuota(BreezeblockError):
    """The quota of the project does not allow this."""

    status = 413


class RequestTooLarge(BreezeblockError):
    """The request body is larger than this server takes (osapi_max_request_body_size)."""

    status = 413


class UnsupportedMediaType(BreezeblockError):
    """The body has to be JSON (application/json)."""

    status = 415


class ServiceUnavailable(BreezeblockError):
    """A part this request depends on does not answer; try again later."""

    status = 503


class DatabaseUnavailable(ServiceUnavailable):
    """The database does not answer; try again later."""


class NoValidBackend(BreezeblockError):
    """No backend has room and the qualities asked for."""

    status = 400

    def __init__(self, message: str | None = None, answers: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.answers = answers
        """What each pool answered, for `explain`."""


class NoBackendYet(ServiceUnavailable):
    """No worker has reported a backend yet; try again in a moment, or look at the worker's log."""


class ImageUnacceptable(BreezeblockError):
    """The image is broken, is not what it claims to be, or could harm this service."""

    status = 400


class SignatureRefused(ImageUnacceptable):
    """The signature of the image is not that of its owner."""


class ConfigError(BreezeblockError):
    """The configuration is wrong; nothing was started."""


class CommandFailed(BreezeblockError):
    """A program that was run ended with an error."""


class KeyManagerError(BreezeblockError):
    """The key manager did not do what was asked of it; an administrator has to look at the service's log."""


class Cancelled(BreezeblockError):
    """The operation was cancelled."""

    status = 409


class DeadlinePassed(BreezeblockError):
    """The volume was not made within the creation_deadline of its type."""


class DriverError(BreezeblockError):
    """The storage failed in a way that the driver does not classify; the create is undone."""


class BackupDamaged(DriverError):
    """An object of the backup store is not what it was when it was stored."""


class BackendNotFound(DriverError):
    """The storage does not have this object."""


class BackendInUse(DriverError):
    """The storage will not do this while the object is in use."""


class BackendOutOfSpace(DriverError):
    """The storage is full; delete volumes or snapshots there, or add space."""


class BackendTransient(DriverError):
    """The storage did not answer as it should; trying again may help."""


class NotSupportedByBackend(DriverError):
    """This storage cannot do that."""

    status = 400


RECOVERABLE = (BackendNotFound, BackendInUse, BackendTransient, NotSupportedByBackend)
"""Kinds after which a rung of the image ladder may decline and the next one is tried; the others end the create."""
