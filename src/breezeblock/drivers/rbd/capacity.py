"""What a pool holds, as Cinder's RBD driver reports it (`_get_pool_stats`, `_update_volume_stats`)."""

from collections.abc import Mapping
from typing import Any

import breezeblock
from breezeblock.config import BackendSettings
from breezeblock.drivers.contract import Capabilities
from breezeblock.drivers.rbd import names
from breezeblock.drivers.rbd.places import Place
from breezeblock.errors import BackendTransient
from breezeblock.model import clock
from breezeblock.model.pool import Pool

GIB = 1 << 30


def pool(
    settings: BackendSettings, options: Mapping[str, Any], place: Place, can: Capabilities, targets: list[str]
) -> Pool:
    """The pool that the backend works at, measured now; called as its own is, wherever that is."""
    told = place.cluster.call("capacity")
    total, free = _bytes_of(told, options, place.access.pool)
    name, access = options["rbd_pool"], place.access
    capabilities = {
        "pool_name": name,
        "volume_backend_name": settings.volume_backend_name,
        "vendor_name": "Breezeblock",
        "driver_version": breezeblock.__version__,
        "storage_protocol": "ceph",
        "total_capacity_gb": round(total / GIB, 2),
        "free_capacity_gb": round(free / GIB, 2),
        "reserved_percentage": settings.reserved_percentage,
        "max_over_subscription_ratio": settings.max_over_subscription_ratio,
        "thin_provisioning_support": can.thin,
        "thick_provisioning_support": can.thick,
        "multiattach": can.multiattach,
        "online_extend_support": can.online_extend,
        "replication_enabled": can.replication,
        "replication_targets": targets,
        "replication_count": len(targets),
        "consistent_group_snapshot_enabled": can.consistent_group_snapshots,
        "location_info": ":".join((access.cluster, access.conf, told["fsid"], access.user or "", access.pool)),
        "encryption_support": can.encryption,
        "QoS_support": True,
    }
    if not options["rbd_exclusive_cinder_pool"]:
        sizes = [size for image, size, _ in place.cluster.call("scan") if not image.endswith(names.GONE)]
        capabilities["provisioned_capacity_gb"] = round(sum(sizes) / GIB, 2)
    return Pool(
        name=f"{settings.backend}#{name}",
        backend=settings.backend,
        total_capacity_gb=capabilities["total_capacity_gb"],
        free_capacity_gb=capabilities["free_capacity_gb"],
        reserved_percentage=settings.reserved_percentage,
        max_over_subscription_ratio=settings.max_over_subscription_ratio,
        thin_provisioning_support=can.thin,
        thick_provisioning_support=can.thick,
        capabilities=capabilities,
        availability_zone=settings.availability_zone,
        updated_at=clock.now(),
    )


def _bytes_of(told: dict[str, Any], options: Mapping[str, Any], pool: str) -> tuple[int, int]:
    """Total and free bytes. With a quota the total is that; else the cluster's, or what there is and may still come."""
    stats: dict[str, Any] = next((one["stats"] for one in told["df"]["pools"] if one["name"] == pool), {})
    if "max_avail" not in stats:
        raise BackendTransient("Ceph does not know yet how much room the pool has.")
    used, room = stats.get("stored", stats.get("bytes_used", 0)), stats["max_avail"]
    total, free = told["df"]["stats"]["total_bytes"], room
    if told["quota"]:
        total = told["quota"]
        free = max(min(total - used, room), 0)
    if options["report_dynamic_total_capacity"]:
        total = free + used
    return max(total, free), free
