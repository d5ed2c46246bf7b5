"""A clone of a volume."""

from breezeblock.db import volumes
from breezeblock.flows import encrypting
from breezeblock.flows.engine import Flow
from breezeblock.flows.made import Made
from breezeblock.model.sources import SourceVol
from breezeblock.model.volume import Volume


def create(flow: Flow, volume: Volume, spec: SourceVol) -> Made:
    """Have the driver clone it; it boots if the source does."""
    with flow.backend.database.read() as connection:
        source = volumes.get(connection, spec.source_volid)
    with flow.explained("create_cloned_volume", source=source.id, size=volume.size) as result:
        rekeyed = encrypting.rewriting(flow, volume, source.encryption_key_id)
        result["model_update"] = update = flow.driver.create_cloned_volume(volume, source, **rekeyed) or {}
    return Made(model_update=update, bootable=source.bootable, image_metadata=source.image_metadata)
