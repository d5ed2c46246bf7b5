"""No authentication: everybody who reaches the service (by default: this machine) is an administrator."""

from typing import TYPE_CHECKING

from breezeblock.auth.authentication import Header
from breezeblock.config import DEFAULT_PROJECT, Settings
from breezeblock.context import RequestContext

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

DEFAULT_USER = "00000000000040008000000000000003"
ROLES = ("admin", "member", "reader")


class NoAuthentication:
    """The project is the path's, else that of cinderclient's noauth token `user:project`, else the default one."""

    challenge = ""

    def __init__(self, settings: Settings) -> None:
        self._project = DEFAULT_PROJECT

    def wrap(self, app: "WSGIApplication") -> "WSGIApplication":
        """The app itself: nothing stands before it."""
        return app

    def identify(self, header: Header, project_in_path: str | None, request_id: str) -> RequestContext:
        """An administrator's context."""
        user, _, project = (header("X-Auth-Token") or "").partition(":")
        return RequestContext(
            user_id=user if project and user else DEFAULT_USER,
            project_id=project_in_path or project or self._project,
            roles=ROLES,
            is_admin=True,
            request_id=request_id,
        )
