"""An empty volume."""

from breezeblock.flows import encrypting
from breezeblock.flows.engine import Flow
from breezeblock.flows.made import Made
from breezeblock.model.sources import Raw
from breezeblock.model.volume import Volume


def create(flow: Flow, volume: Volume, spec: Raw) -> Made:
    """Have the driver make it."""
    with flow.explained("create_volume", size=volume.size, host=volume.host) as result:
        result["model_update"] = update = flow.driver.create_volume(volume) or {}
    encrypting.make_container(flow, volume)
    return Made(model_update=update)
