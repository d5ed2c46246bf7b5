"""Rung 1: the driver makes the volume of the image by itself, in constant time."""

from breezeblock.drivers.contract import AdoptsImages, ClonesImages
from breezeblock.errors import NotSupportedByBackend
from breezeblock.flows.engine import Flow
from breezeblock.flows.made import Declined, Made
from breezeblock.flows.verification import why_unverified
from breezeblock.images.content import HEAD_SIZE, open_file
from breezeblock.images.inspect import inspect, inspect_head, qemu_format
from breezeblock.model.image import Image
from breezeblock.model.volume import Volume


def climb(flow: Flow, volume: Volume, image: Image) -> Made | Declined:
    """Ask the driver's clone_image. The image's header is inspected before the driver may touch the file."""
    if volume.encryption_key_id is not None:
        return Declined("the volume is encrypted: a clone would be under no key, or another one")
    driver = flow.backend.driver
    if not driver.capabilities.clone_image or not isinstance(driver, ClonesImages):
        return Declined("the driver clones no images")
    path = flow.backend.images.local_path(image.id)
    if reason := why_unverified(flow, image):
        return Declined(reason)
    if path is not None:
        with open_file(path) as content:
            inspect(
                content,
                image.disk_format or "raw",
                max_virtual_size=volume.size_bytes,
                vmdk_allowed_types=tuple(flow.backend.settings.vmdk_allowed_types),
            )
    try:
        update, cloned = driver.clone_image(volume, image, str(path) if path else None)
    except NotSupportedByBackend as error:
        return Declined(error.message)
    if not cloned:
        return Declined("the driver did not clone this image")
    if path is None and qemu_format(image.disk_format) == "raw":
        # no header was seen before: what claims to be raw has to be, also where only the storage could look at it
        with driver.open_volume(volume) as made:
            inspect_head(made.pread(HEAD_SIZE, 0), image.disk_format or "raw")
    on_image = isinstance(driver, AdoptsImages) and driver.adopted_below(volume) is not None
    return Made(model_update=update or {}, adopted=on_image)
