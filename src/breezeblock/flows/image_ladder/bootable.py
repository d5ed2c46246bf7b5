"""Rung 5: a volume made of an image boots, and remembers the image's properties."""

import msgspec

from breezeblock.flows.engine import Flow
from breezeblock.flows.made import Made
from breezeblock.model.image import Image


def handle(flow: Flow, image: Image, made: Made) -> Made:
    """What Cinder's `_handle_bootable_volume_glance_meta` sets; saved with the volume's last step."""
    with flow.explained("bootable", image=image.id) as result:
        result["outcome"] = "made"
        result["bootable"] = True
        result["volume_image_metadata"] = image.volume_metadata()
    return msgspec.structs.replace(made, bootable=True, image_metadata=image.volume_metadata())
