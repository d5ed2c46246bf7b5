"""Calls on services, on hosts, on clusters (of which there are none) and what died on them."""

from typing import Any, Literal, NoReturn

import sqlalchemy as sa
from msgspec import UNSET

from breezeblock.api.call import Call
from breezeblock.api.schemas.fields import flag
from breezeblock.api.schemas.services import BackendChange, Cleanup, Failover, ServiceChange, ServiceDisable
from breezeblock.api.views import services as view
from breezeblock.db import services, tables
from breezeblock.db.services import VOLUME_BINARY
from breezeblock.errors import InvalidInput, NotFound
from breezeblock.model import clock
from breezeblock.services import storage_services

SERVICE_DOWN_SECONDS = 60.0
"""After so long without a sign of life a service counts as down: Cinder's service_down_time."""

_CLUSTER_FILTERS = frozenset({"name", "binary", "is_up", "disabled", "num_hosts", "num_down_hosts"})
_REPLICATION_FILTERS = frozenset({"replication_status", "frozen", "active_backend_id"})
_CLEANED = ("Snapshot", "Volume")


def index(call: Call) -> view.Services:
    """GET /os-services: one whose backend cannot be used is down, and says why in `disabled_reason`."""
    with call.database.read() as connection:
        found = services.all_services(connection, call.query.get("host"), call.query.get("binary"))
    return {"services": [_service(call, row) for row in found]}


def _service(call: Call, row: Any) -> view.ServiceShown:
    shown: view.ServiceShown = {
        "binary": row.binary,
        "host": row.host,
        "zone": row.availability_zone,
        "status": "disabled" if row.disabled else "enabled",
        "state": "up" if _is_up(row) else "down",
        "updated_at": row.updated_at,
        "disabled_reason": row.disabled_reason,
    }
    if call.version >= 7:
        shown["cluster"] = None
    if row.binary == VOLUME_BINARY:
        shown["replication_status"] = row.replication_status or "disabled"
        shown["active_backend_id"] = row.active_backend_id
        shown["frozen"] = row.frozen
        if call.version >= 49:
            shown["backend_state"] = shown["state"]
    return shown


def _is_up(row: Any) -> bool:
    has_problem = row.disabled_reason is not None and not row.disabled
    return clock.seconds_since(row.updated_at) <= SERVICE_DOWN_SECONDS and not has_problem


def enable(call: Call) -> view.ServiceChanged:
    """PUT /os-services/enable."""
    body: ServiceChange = call.body
    storage_services.enable(call.database, body.on, body.named)
    return _changed(body, "enabled")


def disable(call: Call) -> view.ServiceChanged:
    """PUT /os-services/disable."""
    body: ServiceChange = call.body
    storage_services.disable(call.database, body.on, body.named)
    return _changed(body, "disabled")


def disable_log_reason(call: Call) -> view.ServiceDisabled:
    """PUT /os-services/disable-log-reason."""
    body: ServiceDisable = call.body
    reason = body.disabled_reason.strip() if body.disabled_reason is not UNSET else None
    storage_services.disable(call.database, body.on, body.named, reason)
    return {**_changed(body, "disabled"), "disabled_reason": reason}


def _changed(body: ServiceChange, status: Literal["enabled", "disabled"]) -> view.ServiceChanged:
    return {
        "host": body.host,
        "service": body.service or "",
        "binary": body.binary or "",
        "status": status,
        "disabled": status == "disabled",
    }


def freeze(call: Call) -> None:
    """PUT /os-services/freeze."""
    body: BackendChange = call.body
    call.must("volume:freeze_host")
    storage_services.freeze(call.database, body.on)


def thaw(call: Call) -> None:
    """PUT /os-services/thaw."""
    body: BackendChange = call.body
    call.must("volume:thaw_host")
    storage_services.thaw(call.database, body.on)


def failover(call: Call) -> None:
    """PUT /os-services/failover_host, and failover (3.26)."""
    body: Failover = call.body
    call.must("volume:failover_host")
    storage_services.failover(call.database, call.context, body.on, body.backend_id)


def hosts(call: Call) -> view.Hosts:
    """GET /os-hosts: services that are not disabled, in a zone where one is named."""
    zone = call.query.get("zone")
    with call.database.read() as connection:
        found = services.all_services(connection)
    return {
        "hosts": [
            {
                "host_name": row.host,
                "service": row.binary,
                "zone": row.availability_zone,
                "service-status": "available" if _is_up(row) else "unavailable",
                "service-state": "enabled",
                "last-update": row.updated_at,
            }
            for row in found
            if not row.disabled and (not zone or row.availability_zone == zone)
        ]
    }


def host(call: Call) -> view.HostShown:
    """GET /os-hosts/{host}: what each project has on a backend; numbers are text, as with Cinder."""
    volumes, snapshots = tables.volumes, tables.snapshots
    with call.database.read() as connection:
        if not any(row.host == call.id for row in services.all_services(connection, binary=VOLUME_BINARY)):
            raise NotFound(f"Host {call.id} could not be found.")
        held: dict[str, list[int]] = {}
        for place, table, size in ((0, volumes, volumes.c.size), (2, snapshots, snapshots.c.volume_size)):
            query = sa.select(table.c.project_id, sa.func.count(), sa.func.sum(size)).group_by(table.c.project_id)
            for project, count, total in connection.execute(
                query.where(table.c.host.startswith(f"{call.id}#", autoescape=True))
            ):
                held.setdefault(project, [0, 0, 0, 0])[place : place + 2] = [count, int(total)]
    total = [sum(numbers[place] for numbers in held.values()) for place in range(4)]
    return {"host": [_held(call.id, "(total)", total), *(_held(call.id, *one) for one in sorted(held.items()))]}


def _held(host: str, project: str, numbers: list[int]) -> view.Held:
    volume_count, volume_gb, snapshot_count, snapshot_gb = map(str, numbers)
    return {
        "resource": {
            "host": host,
            "project": project,
            "volume_count": volume_count,
            "total_volume_gb": volume_gb,
            "snapshot_count": snapshot_count,
            "total_snapshot_gb": snapshot_gb,
        }
    }


def clusters(call: Call) -> view.Clusters:
    """GET /clusters and /clusters/detail (3.7): there are none, standby workers need no name."""
    allowed = _CLUSTER_FILTERS | (_REPLICATION_FILTERS if call.version >= 26 else frozenset())
    unknown = sorted(set(call.query) - allowed)
    if unknown:
        raise InvalidInput(f"Invalid input received: Invalid filter keys: {', '.join(unknown)}")
    for name in ("disabled", "is_up"):
        call.flag(name)
    return {"clusters": []}


def no_cluster(call: Call) -> NoReturn:
    """GET /clusters/{name}, PUT /clusters/enable and disable. Raises `NotFound`."""
    name = call.path.get("id") or call.body.name
    raise NotFound(f"Cluster {name} could not be found.")


def cleanup(call: Call) -> view.Cleaned:
    """POST /workers/cleanup (3.24): nothing is ever left for it, the next owner of a backend finishes every flow."""
    body: Cleanup = call.body
    for name in ("disabled", "is_up"):
        flag(getattr(body, name), name)
    if body.resource_type and body.resource_type.title() not in _CLEANED:
        raise InvalidInput(
            f"Invalid input received: Resource type {body.resource_type.title()} not valid, must be "
            f"{' or '.join(_CLEANED)}"
        )
    if body.resource_id and not (body.service_id or body.cluster_name or body.host):
        raise InvalidInput(
            f"Invalid input received: There is no resource with UUID {body.resource_id} pending cleanup."
        )
    return {"cleaning": [], "unavailable": []}
