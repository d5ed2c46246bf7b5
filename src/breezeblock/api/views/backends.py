"""What pools and backends look like (Cinder: `api/views/scheduler_stats.py`, `capabilities.py`, and others)."""

from typing import Any, NotRequired, TypedDict

from breezeblock.model.pool import Pool


class ZoneState(TypedDict):
    """Whether volumes can be made in a zone."""

    available: bool


class Zone(TypedDict):
    """An availability zone."""

    zoneName: str
    zoneState: ZoneState


class Zones(TypedDict):
    """The availability zones."""

    availabilityZoneInfo: list[Zone]


class PoolShown(TypedDict):
    """A pool; with capacities and capabilities, which are the driver's and Cinder's keys, where they are asked for."""

    name: str
    capabilities: NotRequired[dict[str, Any]]


class Pools(TypedDict):
    """Pools."""

    pools: list[PoolShown]


class Property(TypedDict):
    """Something that extra specs may ask of a backend."""

    title: str
    description: str
    type: str


class Capabilities(TypedDict):
    """What extra specs may ask of a backend."""

    namespace: str
    vendor_name: str
    volume_backend_name: str
    pool_name: str | None
    driver_version: str
    storage_protocol: str
    display_name: None
    description: None
    visibility: None
    replication_targets: list[Any]
    properties: dict[str, Property]


class ResourceFilter(TypedDict):
    """What everybody may filter a list by."""

    resource: str
    filters: list[str]


class ResourceFilters(TypedDict):
    """What everybody may filter lists by."""

    resource_filters: list[ResourceFilter]


def capabilities_of(pool: Pool, allocated: int) -> dict[str, Any]:
    """What a pool reports, with Cinder's keys. `allocated` is the GiB of the volumes in it."""
    return {
        "pool_name": pool.name.partition("#")[2],
        "volume_backend_name": pool.backend.partition("@")[2],
        **pool.capabilities,
        "total_capacity_gb": pool.total_capacity_gb,
        "free_capacity_gb": pool.free_capacity_gb,
        "allocated_capacity_gb": allocated,
        "filter_function": None,
        "goodness_function": None,
        "reserved_percentage": pool.reserved_percentage,
        "max_over_subscription_ratio": pool.max_over_subscription_ratio,
        "thin_provisioning_support": pool.thin_provisioning_support,
        "thick_provisioning_support": pool.thick_provisioning_support,
        "backend_state": "up" if pool.up else "down",
        "timestamp": pool.updated_at,
    }
