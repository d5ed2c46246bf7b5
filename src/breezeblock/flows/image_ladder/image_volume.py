"""Rung 2: the image is itself a volume of ours (`cinder://[store/]<volume id>`), so the new volume is its clone."""

import logging
from urllib.parse import urlsplit

from breezeblock.db import volumes
from breezeblock.flows.engine import Flow
from breezeblock.flows.made import Declined, Made
from breezeblock.flows.verification import required
from breezeblock.model.image import Image
from breezeblock.model.volume import Volume

log = logging.getLogger(__name__)


def climb(flow: Flow, volume: Volume, image: Image) -> Made | Declined:
    """Clone the first image-volume that lies on this backend and may be used by this project (Cinder's owner check)."""
    if volume.encryption_key_id is not None:
        return Declined("the volume is encrypted: a clone would have to be re-keyed")
    if "cinder" not in flow.backend.settings.allowed_direct_url_schemes:
        return Declined("allowed_direct_url_schemes does not have cinder")
    if image.container_format != "bare" or image.disk_format != "raw":
        return Declined(f"the image is {image.container_format}/{image.disk_format}; an image-volume is bare/raw")
    wanted = volume_ids(image)
    if not wanted:
        return Declined("the image has no cinder:// location")
    if required(flow.backend.settings, image) is not None:
        return Declined("the image is signed, and nobody has hashed its image-volume")
    reasons = []
    for volume_id in wanted:
        with flow.backend.database.read() as connection:
            source = volumes.find(connection, volume_id)
        reason = why_not(flow, volume, image, source, volume_id)
        if reason is None and source is not None:
            return Made(model_update=flow.driver.create_cloned_volume(volume, source) or {})
        reasons.append(str(reason))
    return Declined("; ".join(reasons))


def volume_ids(image: Image) -> list[str]:
    """The ids in the image's `cinder://[store/]<id>` locations."""
    urls = [image.direct_url] if image.direct_url else []
    urls += [location.url for location in image.locations]
    ids = [urlsplit(url) for url in urls if url.startswith("cinder://")]
    return list(dict.fromkeys(parts.path.strip("/").rpartition("/")[2] or parts.netloc for parts in ids))


def why_not(flow: Flow, volume: Volume, image: Image, source: Volume | None, volume_id: str) -> str | None:
    """Why this image-volume cannot be cloned, or None."""
    if source is None:
        return f"image-volume {volume_id} is not a volume of this service"
    if source.backend != flow.backend.name:
        return f"image-volume {volume_id} lies on {source.backend}"
    if source.status not in {"available", "in-use"}:
        return f"image-volume {volume_id} is {source.status}"
    if source.size > volume.size:
        return f"image-volume {volume_id} has {source.size} GiB, more than the volume"
    if image.owner != volume.project_id and source.metadata.get("image_owner") != image.owner:
        log.info("image-volume %s is not accessible to project %s", volume_id, volume.project_id)
        return f"image-volume {volume_id} is not accessible to this project"
    return None
