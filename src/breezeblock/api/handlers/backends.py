"""Calls that tell of the storage behind: availability zones, pools, capabilities, and what lists are filtered by."""

from typing import Annotated, Any, TypedDict

from breezeblock.api.call import Call
from breezeblock.api.schemas.fields import flag
from breezeblock.api.shapes import since
from breezeblock.api.views import backends as view
from breezeblock.db import pools, services, volume_types, volumes
from breezeblock.db.services import VOLUME_BINARY
from breezeblock.errors import InvalidInput, NotFound
from breezeblock.scheduling import placement

POOL_FILTERS, STRICT_FILTERS, TYPE_FILTER = 28, 31, 35
"""From which version on pools are filtered, an unknown filter is refused, and a volume type is a filter."""

RESOURCE_FILTERS = {
    "volume": "name status metadata bootable migration_status availability_zone group_id size created_at updated_at "
    "consumes_quota",
    "backup": "name status volume_id",
    "snapshot": "name status volume_id metadata availability_zone consumes_quota",
    "group": "name",
    "group_snapshot": "name status group_id",
    "attachment": "volume_id status instance_id attach_status",
    "message": "resource_uuid resource_type event_id request_id message_level",
    "pool": "name volume_type",
    "volume_type": "is_public extra_specs",
}
"""Cinder's `etc/cinder/resource_filters.json`: what everybody may filter lists by."""

_STANDARD_PROPERTIES = {
    "thin_provisioning": ("Thin Provisioning", "Sets thin provisioning."),
    "compression": ("Compression", "Enables compression."),
    "qos": ("QoS", "Enables QoS."),
    "replication_enabled": ("Replication", "Enables replication."),
}


class PoolsQuery(TypedDict, total=False):
    """GET /scheduler-stats/get_pools. Whatever a pool tells of itself is a filter too, from 3.28 on."""

    detail: bool
    name: Annotated[str, since(POOL_FILTERS)]
    volume_type: Annotated[str, since(TYPE_FILTER)]


class ResourceFiltersQuery(TypedDict, total=False):
    """GET /resource_filters."""

    resource: str


def availability_zones(call: Call) -> view.Zones:
    """GET /os-availability-zone: a zone is available while one of its backends is up and takes new volumes."""
    zones: dict[str, bool] = {call.settings.storage_availability_zone: False}
    with call.database.read() as connection:
        closed = services.closed_backends(connection)
        for pool in pools.all_pools(connection):
            usable = pool.up and pool.backend not in closed
            zones[pool.availability_zone] = zones.get(pool.availability_zone, False) or usable
    return {
        "availabilityZoneInfo": [
            {"zoneName": name, "zoneState": {"available": available}} for name, available in sorted(zones.items())
        ]
    }


def get_pools(call: Call) -> view.Pools:
    """GET /scheduler-stats/get_pools?detail=: names alone, or with capacities and capabilities (Cinder's keys)."""
    detail = flag(call.query.get("detail"), "detail")
    filters = (
        {name: value for name, value in call.query.items() if name != "detail"} if call.version >= POOL_FILTERS else {}
    )
    wanted_type = filters.pop("volume_type", None)
    with call.database.read() as connection:
        found = pools.all_pools(connection)
        specs = {}
        if wanted_type is not None and call.version >= TYPE_FILTER:
            specs = volume_types.get(connection, wanted_type).extra_specs
        allocated = volumes.provisioned_by_pool(connection)
    told = {pool.name: view.capabilities_of(pool, allocated.get(pool.name, 0)) for pool in found}
    known = {"name"}.union(*told.values())
    unknown = sorted(filters.keys() - known)
    if unknown and call.version >= STRICT_FILTERS:
        raise InvalidInput(f"Invalid filters {','.join(unknown)} are found in query options.")
    names = [
        pool.name
        for pool in found
        if placement.lacks(pool, specs) is None
        and all(_is({**told[pool.name], "name": pool.name}.get(name), value) for name, value in filters.items())
    ]
    return {"pools": [{"name": name, "capabilities": told[name]} if detail else {"name": name} for name in names]}


def _is(held: Any, value: str) -> bool:
    return held is not None and str(held).lower() == value.lower()


def capabilities(call: Call) -> view.Capabilities:
    """GET /capabilities/{host@backend}: what extra specs may ask of it. Raises `NotFound`."""
    backend = call.id.partition("#")[0]
    with call.database.read() as connection:
        known = services.all_services(connection, backend, VOLUME_BINARY)
        if not known:
            raise NotFound(f"Can't find service: {call.id}")
        found = [pool for pool in pools.all_pools(connection) if pool.backend == known[0].host]
    told = view.capabilities_of(found[0], 0) if found else {"volume_backend_name": known[0].host.partition("@")[2]}
    return {
        "namespace": f"OS::Storage::Capabilities::{known[0].host}",
        "vendor_name": told.get("vendor_name", ""),
        "volume_backend_name": told["volume_backend_name"],
        "pool_name": told.get("pool_name"),
        "driver_version": told.get("driver_version", ""),
        "storage_protocol": told.get("storage_protocol", ""),
        "display_name": None,
        "description": None,
        "visibility": None,
        "replication_targets": found[0].capabilities.get("replication_targets", []) if found else [],
        "properties": {
            name: {"title": title, "description": description, "type": "boolean"}
            for name, (title, description) in _STANDARD_PROPERTIES.items()
        },
    }


def resource_filters(call: Call) -> view.ResourceFilters:
    """GET /resource_filters?resource= (3.33): all, or that one's; none of a resource that there is not."""
    asked = call.query.get("resource")
    return {
        "resource_filters": [
            {"resource": name, "filters": names.split()}
            for name, names in RESOURCE_FILTERS.items()
            if not asked or name == asked
        ]
    }
