"""Who asks: the context of a request, carried from the API to the flow it starts."""

import uuid

import msgspec


class RequestContext(msgspec.Struct, frozen=True, kw_only=True):
    """User, project and roles of one request. Holds no token: contexts are stored with flows, secrets are not.

    `service_roles` are those of the service that passed the user's request on. `is_service` says that a service of the
    cloud calls (Nova, say), by such a token or as its own user.
    """

    user_id: str
    project_id: str
    roles: tuple[str, ...] = ()
    is_admin: bool = False
    is_admin_project: bool = True
    service_roles: tuple[str, ...] = ()
    is_service: bool = False
    request_id: str = msgspec.field(default_factory=lambda: f"req-{uuid.uuid4()}")

    @property
    def own_project(self) -> str | None:
        """The project whose resources it may touch; None for an admin, who may touch all."""
        return None if self.is_admin else self.project_id

    def as_service(self) -> "RequestContext":
        """The same request with the service's own rights, for what its user was already found allowed to use."""
        return RequestContext(
            user_id=self.user_id,
            project_id=self.project_id,
            roles=("service",),
            is_admin=True,
            is_service=True,
            request_id=self.request_id,
        )


def admin_context() -> RequestContext:
    """The service itself, for work that nobody asked for: sweeps, periodic flows."""
    return RequestContext(user_id="breezeblock", project_id="", roles=("admin",), is_admin=True)
