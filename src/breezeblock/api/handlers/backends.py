"""Calls that tell of the storage behind: availability zones, services, pools."""

from typing import Any

import sqlalchemy as sa

from breezeblock.api.call import Call
from breezeblock.api.schemas.fields import flag
from breezeblock.db import pools, tables
from breezeblock.model import clock
from breezeblock.model.pool import Pool

SERVICE_DOWN_SECONDS = 60.0
"""After so long without a sign of life a service counts as down: Cinder's service_down_time."""

VOLUME_BINARY = "cinder-volume"


def availability_zones(call: Call) -> Any:
    """GET /os-availability-zone: a zone is available while one of its pools is up."""
    zones: dict[str, bool] = {call.settings.storage_availability_zone: False}
    with call.database.read() as connection:
        for pool in pools.all_pools(connection):
            zones[pool.availability_zone] = zones.get(pool.availability_zone, False) or pool.up
    return {
        "availabilityZoneInfo": [
            {"zoneName": name, "zoneState": {"available": available}} for name, available in sorted(zones.items())
        ]
    }


def services(call: Call) -> Any:
    """GET /os-services: one whose backend cannot be used is down, and says why in `disabled_reason`."""
    table = tables.services
    query = sa.select(table).order_by(table.c.binary, table.c.host)
    for name in ("host", "binary"):
        if name in call.query:
            query = query.where(table.c[name] == call.query[name])
    with call.database.read() as connection:
        found = connection.execute(query).all()
    return {"services": [_service(call, row) for row in found]}


def _service(call: Call, row: Any) -> dict[str, Any]:
    has_problem = row.disabled_reason is not None and not row.disabled
    up = clock.seconds_since(row.updated_at) <= SERVICE_DOWN_SECONDS and not has_problem
    shown: dict[str, Any] = {
        "binary": row.binary,
        "host": row.host,
        "zone": row.availability_zone,
        "status": "disabled" if row.disabled else "enabled",
        "state": "up" if up else "down",
        "updated_at": row.updated_at,
        "disabled_reason": row.disabled_reason,
    }
    if call.version >= 7:
        shown["cluster"] = None
    if row.binary == VOLUME_BINARY:
        shown |= {"replication_status": "disabled", "active_backend_id": None, "frozen": False}
        if call.version >= 49:
            shown["backend_state"] = shown["state"]
    return shown


def get_pools(call: Call) -> Any:
    """GET /scheduler-stats/get_pools?detail=: names alone, or with capacities and capabilities (Cinder's keys)."""
    detail = flag(call.query.get("detail"), "detail")
    with call.database.read() as connection:
        found = pools.all_pools(connection)
    name = call.query.get("name")
    shown = [pool for pool in found if name is None or call.version < 28 or pool.name == name]
    return {"pools": [_pool(pool) if detail else {"name": pool.name} for pool in shown]}


def _pool(pool: Pool) -> dict[str, Any]:
    return {
        "name": pool.name,
        "capabilities": {
            "pool_name": pool.name.partition("#")[2],
            "volume_backend_name": pool.backend.partition("@")[2],
            **pool.capabilities,
            "total_capacity_gb": pool.total_capacity_gb,
            "free_capacity_gb": pool.free_capacity_gb,
            "reserved_percentage": pool.reserved_percentage,
            "max_over_subscription_ratio": pool.max_over_subscription_ratio,
            "thin_provisioning_support": pool.thin_provisioning_support,
            "thick_provisioning_support": pool.thick_provisioning_support,
            "backend_state": "up" if pool.up else "down",
            "timestamp": pool.updated_at,
        },
    }
