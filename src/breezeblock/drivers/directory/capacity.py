"""What the directory's filesystem holds, as a pool with the keys of Cinder's capability reports."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import breezeblock
from breezeblock.config import BackendSettings
from breezeblock.drivers.contract import Capabilities
from breezeblock.exports import iscsi
from breezeblock.model import clock
from breezeblock.model.pool import Pool

GIB = 1 << 30


def pool(settings: BackendSettings, options: Mapping[str, Any], root: Path, can: Capabilities) -> Pool:
    """The pool, measured now. Free is what is left to a user who is not root."""
    found = os.statvfs(root)
    total = found.f_blocks * found.f_frsize / GIB
    free = found.f_bavail * found.f_frsize / GIB
    name = options["pool_name"] or settings.name
    capabilities = {
        "pool_name": name,
        "volume_backend_name": settings.volume_backend_name,
        "vendor_name": "Breezeblock",
        "driver_version": breezeblock.__version__,
        "storage_protocol": iscsi.STORAGE_PROTOCOL if options["target_protocol"] == "iscsi" else "nbd",
        "total_capacity_gb": round(total, 2),
        "free_capacity_gb": round(free, 2),
        "reserved_percentage": settings.reserved_percentage,
        "max_over_subscription_ratio": settings.max_over_subscription_ratio,
        "thin_provisioning_support": can.thin,
        "thick_provisioning_support": can.thick,
        "multiattach": can.multiattach,
        "online_extend_support": can.online_extend,
        "replication_enabled": can.replication,
        "group_replication_enabled": can.replication,
        "consistent_group_snapshot_enabled": can.consistent_group_snapshots,
        "location_info": f"directory:{settings.host}:{root}",
        "encryption_support": can.encryption,
        "QoS_support": False,
    }
    return Pool(
        name=f"{settings.backend}#{name}",
        backend=settings.backend,
        total_capacity_gb=round(total, 2),
        free_capacity_gb=round(free, 2),
        reserved_percentage=settings.reserved_percentage,
        max_over_subscription_ratio=settings.max_over_subscription_ratio,
        thin_provisioning_support=can.thin,
        thick_provisioning_support=can.thick,
        capabilities=capabilities,
        availability_zone=settings.availability_zone,
        updated_at=clock.now(),
    )
