"""A volume made of a snapshot."""

from breezeblock.db import snapshots
from breezeblock.flows.engine import Flow
from breezeblock.flows.made import Made
from breezeblock.model.sources import Snap
from breezeblock.model.volume import Volume


def create(flow: Flow, volume: Volume, spec: Snap) -> Made:
    """Have the driver make it; it boots if the snapshot's volume did."""
    with flow.backend.database.read() as connection:
        snapshot = snapshots.get(connection, spec.snapshot_id)
    with flow.explained("create_volume_from_snapshot", snapshot=snapshot.id, size=volume.size) as result:
        result["model_update"] = update = flow.driver.create_volume_from_snapshot(volume, snapshot) or {}
    return Made(model_update=update, bootable=snapshot.bootable, image_metadata=snapshot.image_metadata)
