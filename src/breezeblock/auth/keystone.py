"""Keystone: tokens are checked by keystonemiddleware, which reads `[keystone_authtoken]` of the same files."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from keystonemiddleware import auth_token

from breezeblock.auth import policy
from breezeblock.auth.authentication import Header
from breezeblock.auth.token_cache import TokenCache
from breezeblock.config import Settings
from breezeblock.context import RequestContext
from breezeblock.errors import InvalidInput, Unauthorized

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_TOKENS = "breezeblock.token_cache"
"""Where in the WSGI environment the middleware finds the cache."""


class KeystoneAuthentication:
    """The middleware puts what the token says into headers (and removes a caller's own); the context is made of them.

    It decides nothing itself (`delay_auth_decision`), so that version documents are answered without a token.
    """

    def __init__(self, settings: Settings) -> None:
        self._conf = settings.conf
        self.challenge = "Keystone"
        self._service_roles = frozenset({"service"})
        self._options: dict[str, Any] = {
            "delay_auth_decision": True,
            "oslo_config_config": settings.conf,
            "service_token_roles_required": True,
            "cache": _TOKENS,
        }

    def wrap(self, app: "WSGIApplication") -> "WSGIApplication":
        """The app behind auth_token, with a cache of our own unless `memcached_servers` names one."""
        wrapped: WSGIApplication = auth_token.AuthProtocol(app, self._options)  # registers its options, too
        self._service_roles = frozenset(_roles(",".join(self._conf.keystone_authtoken.service_token_roles)))
        self.challenge = f'Keystone uri="{self._conf.keystone_authtoken.www_authenticate_uri or ""}"'
        return wrapped if self._conf.keystone_authtoken.memcached_servers else _with_cache(wrapped)

    def identify(self, header: Header, project_in_path: str | None, request_id: str) -> RequestContext:
        """The context of a confirmed token."""
        project = header("X-Project-Id")
        if header("X-Identity-Status") != "Confirmed" or not project:
            raise Unauthorized
        if project_in_path is not None and project_in_path != project:
            raise InvalidInput("Malformed request url")
        roles = _roles(header("X-Roles"))
        confirmed = header("X-Service-Identity-Status") == "Confirmed"
        service_roles = _roles(header("X-Service-Roles")) if confirmed else ()
        context = RequestContext(
            user_id=header("X-User-Id") or "",
            project_id=project,
            roles=roles,
            is_admin_project=(header("X-Is-Admin-Project") or "true").lower() == "true",
            service_roles=service_roles,
            is_service=not self._service_roles.isdisjoint((*roles, *service_roles)),
            request_id=request_id,
        )
        return policy.with_rights(context)


def _with_cache(app: "WSGIApplication") -> "WSGIApplication":
    tokens = TokenCache()

    def answer(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        environ[_TOKENS] = tokens
        return app(environ, start_response)

    return answer


def _roles(header: str | None) -> tuple[str, ...]:
    return tuple(role.strip().lower() for role in (header or "").split(",") if role.strip())
