"""Rung 4: the image's bytes are copied into a new volume, converted on the way."""

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from breezeblock.db import moves, volumes
from breezeblock.encryption.luks import HEADER_BYTES
from breezeblock.flows import adoption, encrypting
from breezeblock.flows.engine import Flow
from breezeblock.flows.image_ladder import sharing
from breezeblock.flows.made import Made
from breezeblock.flows.verification import Verification
from breezeblock.images.transfer import PreparedImage, prepare
from breezeblock.model.image import Image
from breezeblock.model.volume import Volume


def climb(flow: Flow, volume: Volume, image: Image) -> Made:
    """Make an empty volume at the image's size, fill it, grow it to the size asked for. Status `downloading` meanwhile.

    What goes into an encrypted volume is encrypted on the way. Where another create fetches the image already, this one
    waits for it and clones (`sharing`).
    """
    if (shared := sharing.join(flow, volume, image)) is not None:
        return shared
    flow.take_copy_turn(volume.project_id)
    show_downloading(flow, volume, image)
    verification = Verification(flow, image)
    may_spool = volume.encryption_key_id is None
    with prepared_image(flow, verification, image, volume.size, may_spool=may_spool) as prepared:
        return copy_in(flow, volume, prepared)


@contextmanager
def prepared_image(
    flow: Flow, verification: Verification, image: Image, size: int, *, may_spool: bool = True
) -> Iterator[PreparedImage]:
    """The image for a volume of `size` GiB, inspected, and fetched first where its format needs that and it may."""
    settings = flow.backend.settings
    with prepare(
        flow.backend.images,
        image,
        spool_dir=settings.path("image_conversion_dir", "conversion"),
        volume_size=size,
        report=flow.progress,
        checks=verification.checks,
        may_spool=may_spool,
        ahead=not flow.resumed,
        vmdk_allowed_types=tuple(settings.vmdk_allowed_types),
    ) as prepared:
        yield prepared
    verification.remember()


def show_downloading(flow: Flow, volume: Volume, image: Image) -> None:
    """Set the status `downloading`, unless it is set."""
    with flow.saving(step="download", bytes_total=image.size) as connection:
        moves.move(connection, "volume", volume.id, "download")


def copy_in(flow: Flow, volume: Volume, prepared: PreparedImage) -> Made:
    """As `climb`, for an image that is ready; also used for the volume of a cache entry."""
    encrypts = volume.encryption_key_id is not None and prepared.image.encryption_key_id is None
    header = HEADER_BYTES if encrypts else 0
    needed = -(-(prepared.facts.virtual_size + header) // (1 << 30))
    small = msgspec.structs.replace(volume, size=min(volume.size, max(1, needed)))
    update = flow.driver.create_volume(small) or {}
    with flow.saving(step="download") as connection:
        volumes.update(connection, volume.id, **volumes.model_update_values(update))
    content = f"image:{prepared.image.id}:{version_of(prepared.image)}"
    if adoption.adopted(flow, small, content, prepared):
        sharing.leave_copy(flow, small, prepared.image)
        if small.size < volume.size:
            flow.driver.extend_volume(small, volume.size)
        return Made(model_update=update, adopted=True)
    fill = encrypting.filling(
        flow,
        volume,
        prepared.image,
        lambda target: prepared.fill(flow.paced(target), flow.progress),
        prepared.facts.virtual_size,
    )
    flow.driver.copy_image_to_volume(small, content, fill)
    sharing.leave_copy(flow, small, prepared.image)
    if small.size < volume.size:
        flow.driver.extend_volume(small, volume.size)
    return Made(model_update=update)


def version_of(image: Image) -> str:
    """What tells one content of an image from another."""
    return image.os_hash_value or image.checksum or image.updated_at
