"""Rung 4: the image's bytes are copied into a new volume, converted on the way."""

import math

import msgspec

from breezeblock.db import moves, volumes
from breezeblock.drivers.contract import BlockTarget
from breezeblock.errors import ImageUnacceptable
from breezeblock.flows.engine import Flow
from breezeblock.flows.made import Made
from breezeblock.images.inspect import inspect
from breezeblock.images.transfer import transfer
from breezeblock.model.image import Image
from breezeblock.model.volume import Volume

WAIT_SECONDS = 0.2


def climb(flow: Flow, volume: Volume, image: Image) -> Made:
    """Make an empty volume at the image's size, fill it, grow it to the size asked for. Status `downloading` meanwhile."""
    return copy_in(flow, volume, image, volume)


def copy_in(flow: Flow, volume: Volume, image: Image, told: Volume) -> Made:
    """As `climb`; the status of `told` is the one that shows `downloading` (a cache volume has nobody who looks)."""
    virtual_size = known_virtual_size(flow, image)
    if virtual_size is not None and virtual_size > volume.size_bytes:
        raise ImageUnacceptable(
            f"Image {image.id} is unacceptable: its virtual size is {virtual_size} bytes, "
            f"more than the volume's {volume.size} GiB. Ask for a larger volume."
        )
    small = msgspec.structs.replace(volume, size=max(1, math.ceil((virtual_size or volume.size_bytes) / (1 << 30))))
    update = flow.driver.create_volume(small) or {}
    with flow.saving(step="download", bytes_total=image.size) as connection:
        moves.move(connection, "volume", told.id, "download")
        if told.id == volume.id:
            volumes.update(connection, volume.id, **volumes.model_update_values(update))
    flow.driver.copy_image_to_volume(small, f"image:{image.id}:{version_of(image)}", lambda to: fill(flow, image, to))
    if small.size < volume.size:
        flow.driver.extend_volume(small, volume.size)
    return Made(model_update=update)


def fill(flow: Flow, image: Image, target: BlockTarget) -> None:
    """Copy the image's bytes to the target; waits for its turn, so that not too many copies run at once."""
    while not flow.backend.copies.acquire(timeout=WAIT_SECONDS):
        flow.progress(0, image.size)
    try:
        settings = flow.backend.settings
        transfer(
            flow.backend.images,
            image,
            target,
            spool_dir=settings.path("image_conversion_dir", "conversion"),
            vmdk_allowed_types=settings.vmdk_allowed_types,
            report=flow.progress,
        )
    finally:
        flow.backend.copies.release()


def known_virtual_size(flow: Flow, image: Image) -> int | None:
    """Bytes of the disk in the image, where that can be told before it is fetched."""
    if image.virtual_size is not None:
        return image.virtual_size
    path = flow.backend.images.local_path(image.id)
    if path is not None:
        facts = inspect(
            path,
            image.disk_format or "raw",
            max_virtual_size=None,
            vmdk_allowed_types=flow.backend.settings.vmdk_allowed_types,
        )
        return facts.virtual_size
    return image.size if image.disk_format in {"raw", "iso"} else None


def version_of(image: Image) -> str:
    """What tells one content of an image from another."""
    return image.os_hash_value or image.checksum or image.updated_at
