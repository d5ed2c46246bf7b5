"""A volume made of another one's replica, as it was when last in step (Ocata's `source_replica`)."""

from breezeblock.db import volumes
from breezeblock.drivers.contract import Replicates
from breezeblock.errors import NotSupportedByBackend
from breezeblock.flows import encrypting
from breezeblock.flows.engine import Flow
from breezeblock.flows.made import Made
from breezeblock.model.sources import SourceReplica
from breezeblock.model.volume import Volume


def create(flow: Flow, volume: Volume, spec: SourceReplica) -> Made:
    """Have the driver make it of the replica."""
    with flow.backend.database.read() as connection:
        source = volumes.get(connection, spec.source_volid)
    given = {"source": source.id, "in_step_at": source.replicated_at, "size": volume.size}
    with flow.explained("create_replica_test_volume", **given) as result:
        if not isinstance(flow.driver, Replicates):
            raise NotSupportedByBackend(f"Backend {flow.backend.name} keeps no replicas.")
        rekeyed = encrypting.rewriting(flow, volume, source.encryption_key_id)
        result["model_update"] = update = flow.driver.create_replica_test_volume(volume, source, **rekeyed) or {}
    return Made(model_update=update, bootable=source.bootable, image_metadata=source.image_metadata)
