"""Bodies of the calls that change services (Cinder: `api/schemas/services.py`, `clusters.py`, `workers.py`)."""

from typing import Annotated, Literal, TypedDict

import msgspec
from msgspec import Meta

from breezeblock.api.bodies import Schema
from breezeblock.api.schemas.fields import Flag, Text, Uuid, Words
from breezeblock.api.shapes import since
from breezeblock.errors import InvalidInput

Host = Annotated[str, Meta(pattern=r"\A[a-zA-Z0-9-._#@:/+]{1,255}\Z")]


API_BINARY = "cinder-api"
LOGGING = ("cinder-scheduler", "cinder-volume", "cinder-backup", API_BINARY)
Binary = Literal["cinder-scheduler", "cinder-volume", "cinder-backup", "cinder-api", "", "*"]


class ServiceChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """enable and disable. `service` is what old clients call the binary."""

    host: Host | None = None
    binary: Words | None = None
    service: Words | None = None
    cluster: Text | None = None

    @property
    def named(self) -> str:
        """The binary. Raises `InvalidInput`."""
        if self.binary is None and self.service is None:
            raise InvalidInput("Invalid input. One of binary and service is required.")
        return self.binary or self.service or ""

    @property
    def on(self) -> str:
        """The host. Raises `InvalidInput`."""
        return _required(self.host)


class ServiceDisable(ServiceChange, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """disable-log-reason."""

    disabled_reason: Words | msgspec.UnsetType = msgspec.UNSET


class BackendChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """freeze and thaw."""

    host: Host | None = None
    cluster: Text | None = None

    @property
    def on(self) -> str:
        """The host. Raises `InvalidInput`."""
        return _required(self.host)


class Failover(BackendChange, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """failover_host and failover."""

    backend_id: Text | None = None


class GetLog(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """get-log (3.32)."""

    binary: Binary | None = None
    server: Text | None = None
    prefix: Text | None = None

    @property
    def binaries(self) -> tuple[str, ...]:
        """Those that are meant."""
        return LOGGING if self.binary in {None, "", "*"} else (str(self.binary),)


class SetLog(GetLog, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """set-log (3.32)."""

    level: Text | None = None


class ClusterChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """PUT /clusters/enable and disable."""

    name: Words
    binary: Text | None = None
    disabled_reason: Text | None = None


class Cleanup(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """POST /workers/cleanup."""

    cluster_name: Text | None = None
    disabled: Flag | None = None
    host: Text | None = None
    is_up: Flag | None = None
    binary: Literal["cinder-volume", "cinder-scheduler"] | None = None
    resource_id: Uuid | None = None
    resource_type: Text | None = None
    service_id: int | None = None


class ServicesQuery(TypedDict, total=False):
    """GET /os-services."""

    host: str
    binary: str


class HostsQuery(TypedDict, total=False):
    """GET /os-hosts."""

    zone: str


class ClustersQuery(TypedDict, total=False):
    """GET /clusters."""

    name: str
    binary: str
    is_up: bool
    disabled: bool
    num_hosts: int
    num_down_hosts: int
    replication_status: Annotated[str, since(26)]
    frozen: Annotated[bool, since(26)]
    active_backend_id: Annotated[str, since(26)]


def _required(host: str | None) -> str:
    if not host:
        raise InvalidInput("Invalid input received: Host field is missing.")
    return host


CHANGE = Schema(ServiceChange)
DISABLE = Schema(ServiceDisable)
BACKEND = Schema(BackendChange)
FAILOVER = Schema(Failover)
GET_LOG = Schema(GetLog)
SET_LOG = Schema(SetLog)
CLUSTER = Schema(ClusterChange)
CLEANUP = Schema(Cleanup)
