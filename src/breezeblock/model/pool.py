"""A pool: a part of a backend that volumes are placed in, as its driver last reported it."""

from typing import Any

import msgspec


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table `pools`. Capacities are GiB; `capabilities` is the driver's whole report, Cinder's keys."""

    name: str
    """`host@backend#pool`."""
    backend: str
    """`host@backend`."""
    total_capacity_gb: float
    free_capacity_gb: float
    reserved_percentage: int = 0
    max_over_subscription_ratio: float = 20.0
    thin_provisioning_support: bool = True
    thick_provisioning_support: bool = False
    capabilities: dict[str, Any] = {}
    up: bool = True
    availability_zone: str = "nova"
    updated_at: str
