"""Rung 5: a volume made of an image boots, and remembers the image's properties."""

import msgspec

from breezeblock.flows.engine import Flow
from breezeblock.flows.made import Made
from breezeblock.flows.verification import required
from breezeblock.model.image import KEY_ID, KEY_POLICY, Image


def handle(flow: Flow, image: Image, made: Made) -> Made:
    """What Cinder's `_handle_bootable_volume_glance_meta` sets; saved with the volume's last step.

    `signature_verified` is told where signatures are verified, as Cinder tells it: then no rung makes a volume of a signed
    image without.
    """
    left_out = ("signature_verified", KEY_ID, KEY_POLICY)  # the volume has a key of its own
    metadata = {key: value for key, value in image.volume_metadata().items() if key not in left_out}
    if flow.backend.settings.verify_glance_signatures == "enabled":
        metadata["signature_verified"] = str(required(flow.backend.settings, image) is not None)
    with flow.explained("bootable", image=image.id) as result:
        result["outcome"] = "made"
        result["bootable"] = True
        result["volume_image_metadata"] = metadata
    return msgspec.structs.replace(made, bootable=True, image_metadata=metadata)
