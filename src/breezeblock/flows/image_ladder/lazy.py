"""The rung before the cache, for types that ask for it: the volume is there at once, and its content comes later.

Types ask by the extra spec `image_hydration=lazy`. What the cache has is cloned, which is as fast; what is declined for
other reasons is cached or downloaded as always.
"""

from collections import OrderedDict

from breezeblock.db import image_cache
from breezeblock.drivers.contract import Hydrates, NbdSource
from breezeblock.flows.engine import Flow
from breezeblock.flows.image_cache import fresh_volume
from breezeblock.flows.image_ladder import cached
from breezeblock.flows.image_ladder.download import version_of
from breezeblock.flows.made import Declined, Hydration, Made
from breezeblock.flows.verification import Verification, why_unverified
from breezeblock.images.catalog import RangesUnsupported
from breezeblock.images.formats.layout import Scattered
from breezeblock.images.lazy_disk import LazyDisk
from breezeblock.images.lazy_image import LazyImage, is_lazy_format, open_image
from breezeblock.model.image import Image
from breezeblock.model.volume import Volume

MOST_OPENED = 16
_opened: OrderedDict[str, LazyImage] = OrderedDict()
"""By volume: images that the rung has looked at, so that the flow which goes on need not fetch their tables again."""


def take_opened(volume_id: str) -> LazyImage | None:
    """What this process opened for a volume, if it did; once."""
    return _opened.pop(volume_id, None)


def is_wanted(volume: Volume) -> bool:
    """Whether the volume's type asked for it when the volume was created."""
    return volume.admin_metadata.get("hydration") == "lazy"


def why_not(flow: Flow, volume: Volume, image: Image) -> str | None:
    """Why the content of this volume has to come first, as far as that is known without looking at the image."""
    if not is_wanted(volume):
        return "the volume's type does not ask for it (image_hydration=lazy)"
    if not isinstance(flow.backend.driver, Hydrates):
        return "the driver cannot use a volume before its content has come"
    if volume.encryption_key_id is not None:
        return "the volume is encrypted: what is read of the image would have to be encrypted first"
    if volume.replication_status is not None:
        return "the volume is replicated, and a replica is made of the whole content"
    if volume.admin_metadata.get("provisioning") == "thick":
        return "the volume takes all of its room at once"
    if cached.why_not(flow, volume) is None:
        with flow.backend.database.read() as connection:
            entry = image_cache.find(connection, flow.backend.name, image.id)
            if fresh_volume(connection, entry, image) is not None:
                return "the image is cached, and a clone of that is whole at once"
    if not is_lazy_format(image):
        return f"only raw and qcow2 images are read while they come; this one is {image.disk_format}"
    return why_unverified(flow, image)


def climb(flow: Flow, volume: Volume, image: Image) -> Made | Declined:
    """Look at the image's header and tables, and make a volume that reads the rest when it is asked for it."""
    reason = why_not(flow, volume, image)
    if reason is not None:
        return Declined(reason)
    settings, version = flow.backend.settings, version_of(image)
    try:
        opened = open_image(
            flow.backend.images,
            image,
            volume_size=volume.size,
            checks=Verification(flow, image).checks,
            vmdk_allowed_types=tuple(settings.vmdk_allowed_types),
        )
    except (RangesUnsupported, Scattered) as error:
        return Declined(error.message)
    size = LazyDisk(opened.facts.virtual_size).size
    source = NbdSource(socket=str(flow.backend.sources.path), export=volume.storage_name, size=size)
    update = flow.driver.create_hydrating_volume(volume, f"lazy:{image.id}:{version}", source)
    _opened[volume.id] = opened
    while len(_opened) > MOST_OPENED:
        _opened.popitem(last=False)
    hydration = Hydration(image_id=image.id, version=version, source_bytes=opened.facts.virtual_size)
    return Made(model_update=update or {}, hydration=hydration)
