"""Who is calling: the protocol of the ways to find out, and the choice among them by `auth_strategy`."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from breezeblock.config import Settings
from breezeblock.context import RequestContext
from breezeblock.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

Header = Callable[[str], str | None]
"""A header of the request by its name, None where it is absent."""


class Authentication(Protocol):
    """One way to know who calls."""

    challenge: str
    """What a 401 says in WWW-Authenticate; empty where nobody is turned away."""

    def wrap(self, app: "WSGIApplication") -> "WSGIApplication":
        """The app behind whatever middleware this way needs."""

    def identify(self, header: Header, project_in_path: str | None, request_id: str) -> RequestContext:
        """The caller's context.

        Raises:
            Unauthorized: nobody this server knows.
            InvalidInput: the project in the path is not the caller's.
        """


def open_authentication(settings: Settings) -> Authentication:
    """The way that the configuration asks for; what it stands on is imported only where it is used.

    Raises:
        ConfigError: that is not installed, or its configuration is wrong.
    """
    strategies: dict[str, Callable[[], Any]] = {"none": _none, "http_basic": _http_basic, "keystone": _keystone}
    try:
        way = strategies[settings.auth_strategy]()
    except ModuleNotFoundError as error:
        extra = settings.auth_strategy
        raise ConfigError(f"auth_strategy {extra} needs the package's extra {extra}: {error}") from error
    made: Authentication = way(settings)
    return made


def _none() -> Any:
    from breezeblock.auth.none import NoAuthentication

    return NoAuthentication


def _http_basic() -> Any:
    from breezeblock.auth.http_basic import HttpBasicAuthentication

    return HttpBasicAuthentication


def _keystone() -> Any:
    from breezeblock.auth.keystone import KeystoneAuthentication

    return KeystoneAuthentication
