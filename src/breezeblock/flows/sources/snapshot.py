"""A volume made of a snapshot."""

from breezeblock.db import snapshots, volumes
from breezeblock.flows import encrypting
from breezeblock.flows.engine import Flow
from breezeblock.flows.made import Made
from breezeblock.model.sources import Snap
from breezeblock.model.volume import Volume


def create(flow: Flow, volume: Volume, spec: Snap) -> Made:
    """Have the driver make it; it boots if the snapshot's volume did."""
    with flow.backend.database.read() as connection:
        snapshot = snapshots.get(connection, spec.snapshot_id)
        key_id = volumes.get(connection, snapshot.volume_id).encryption_key_id
    with flow.explained("create_volume_from_snapshot", snapshot=snapshot.id, size=volume.size) as result:
        rekeyed = encrypting.rewriting(flow, volume, key_id)
        result["model_update"] = update = flow.driver.create_volume_from_snapshot(volume, snapshot, **rekeyed) or {}
    return Made(model_update=update, bootable=snapshot.bootable, image_metadata=snapshot.image_metadata)
