"""What services and hosts look like (Cinder: `api/contrib/services.py`, `hosts.py`, `api/v3/workers.py`)."""

from typing import Annotated, Any, Literal, NotRequired, TypedDict

from breezeblock.api.shapes import Time, since


class ServiceShown(TypedDict):
    """A service; what stands below `updated_at` is told of those that have a backend."""

    binary: str
    host: str
    zone: str
    status: Literal["enabled", "disabled"]
    state: Literal["up", "down"]
    disabled_reason: str | None
    cluster: NotRequired[Annotated[None, since(7)]]
    updated_at: Time
    replication_status: NotRequired[str]
    active_backend_id: NotRequired[str | None]
    frozen: NotRequired[bool]
    backend_state: NotRequired[Annotated[Literal["up", "down"], since(49, always=False)]]


class Services(TypedDict):
    """The services."""

    services: list[ServiceShown]


class ServiceChanged(TypedDict):
    """A service that was switched."""

    host: str | None
    service: str
    binary: str
    status: Literal["enabled", "disabled"]
    disabled: bool


class ServiceDisabled(ServiceChanged):
    """A service that was switched off, and why."""

    disabled_reason: str | None


HostLine = TypedDict(
    "HostLine",
    {
        "host_name": str,
        "service": str,
        "zone": str,
        "service-status": Literal["available", "unavailable"],
        "service-state": Literal["enabled"],
        "last-update": Time,
    },
)


class Hosts(TypedDict):
    """The services that are not disabled."""

    hosts: list[HostLine]


class HeldResource(TypedDict):
    """What a project has on a backend; numbers are text."""

    host: str
    project: str
    volume_count: str
    total_volume_gb: str
    snapshot_count: str
    total_snapshot_gb: str


class Held(TypedDict):
    """What a project has on a backend."""

    resource: HeldResource


class HostShown(TypedDict):
    """What each project has on a backend, the sum first."""

    host: list[Held]


class Clusters(TypedDict):
    """Clusters, of which there are none."""

    clusters: list[Any]


class Cleaned(TypedDict):
    """Services that clean up what others left, which is none."""

    cleaning: list[Any]
    unavailable: list[Any]
