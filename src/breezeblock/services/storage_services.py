"""Use cases of the services behind the API: let one take new volumes or not, freeze and thaw it, fail it over, have it
log more or less."""

import uuid
from collections.abc import Collection
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breezeblock.context import RequestContext
from breezeblock.db import operations, services
from breezeblock.db.connect import Database
from breezeblock.db.services import VOLUME_BINARY
from breezeblock.errors import InvalidInput, NotFound
from breezeblock.model.storage_service import StorageService

LOGGER = "breezeblock"
DEFAULT_LEVEL = "INFO"
"""What every logger of ours logs from, where nobody has said otherwise."""


class ServiceLevels(msgspec.Struct, frozen=True, kw_only=True):
    """From which level on one service logs, by logger."""

    host: str
    binary: str
    levels: dict[str, str]


FROZEN = "frozen"
"""The reason that a frozen service is disabled for, Cinder's word."""


def enable(database: Database, host: str, binary: str) -> None:
    """Let a service take new volumes. Raises `NotFound`."""
    with database.begin() as connection:
        services.get(connection, host, binary)
        services.update(connection, host, binary, disabled=False, disabled_reason=None)


def disable(database: Database, host: str, binary: str, reason: str | None = None) -> None:
    """Have no new volumes placed on a service; what is there works on. Raises `NotFound`."""
    with database.begin() as connection:
        services.get(connection, host, binary)
        services.update(connection, host, binary, disabled=True, disabled_reason=reason)


def freeze(database: Database, host: str) -> None:
    """Freeze a backend before or after a failover: it takes nothing new. Raises `InvalidInput`, also for no backend."""
    with database.begin() as connection:
        if _is_frozen(connection, host):
            raise InvalidInput(f"Invalid input received: frozen in {host} must be False to failover.")
        services.update(connection, host, VOLUME_BINARY, frozen=True, disabled=True, disabled_reason=FROZEN)


def thaw(database: Database, host: str) -> None:
    """Let a frozen backend work as before. Raises `InvalidInput`, also for no backend."""
    with database.begin() as connection:
        if not _is_frozen(connection, host):
            raise InvalidInput(f"Invalid input received: frozen in {host} must be True to failover.")
        services.update(connection, host, VOLUME_BINARY, frozen=False, disabled=False, disabled_reason=None)


def failover(database: Database, context: RequestContext, host: str, backend_id: str | None) -> None:
    """Have a backend's worker fail it over to a replication target, any where none is named, or back (`default`).

    Raises `InvalidInput` that says why where it cannot be, also for no backend.
    """
    with database.begin() as connection:
        _is_frozen(connection, host)
        if not services.begin_failover(connection, host):
            raise InvalidInput(
                f"Invalid input received: replication_status in {host} must be 'enabled' or 'failed-over' to failover, "
                f"but is '{services.get(connection, host, VOLUME_BINARY).replication_status or 'disabled'}'. It is "
                "'disabled' where the storage keeps no replica of the backend as a whole: see replication_device."
            )
        operations.request_flow(
            connection,
            context,
            "failover_host",
            operation_id=str(uuid.uuid4()),
            resource=StorageService(id=host, host=host, project_id=context.project_id),
            arguments={"backend_id": backend_id},
        )


def set_log_levels(database: Database, host: str | None, binaries: Collection[str], prefix: str, level: str) -> None:
    """Have services log from a level on, below a prefix of loggers; their workers look every few seconds."""
    with database.begin() as connection:
        for service in _chosen(connection, host, binaries):
            levels = service.log_levels | {prefix: level}
            services.update(connection, service.host, service.binary, log_levels=levels)


def log_levels(database: Database, host: str | None, binaries: Collection[str], prefix: str) -> list[ServiceLevels]:
    """From which level on services log, by logger, below a prefix."""
    with database.read() as connection:
        return [
            ServiceLevels(
                host=service.host,
                binary=service.binary,
                levels={
                    name: level
                    for name, level in ({LOGGER: DEFAULT_LEVEL} | service.log_levels).items()
                    if name.startswith(prefix)
                },
            )
            for service in _chosen(connection, host, binaries)
        ]


def _chosen(connection: Connection, host: str | None, binaries: Collection[str]) -> list[sa.Row[Any]]:
    return [one for one in services.all_services(connection, host) if one.binary in binaries]


def _is_frozen(connection: Connection, host: str) -> bool:
    try:
        return bool(services.get(connection, host, VOLUME_BINARY).frozen)
    except NotFound:
        raise InvalidInput(f"Invalid input received: No service found with host={host}") from None
