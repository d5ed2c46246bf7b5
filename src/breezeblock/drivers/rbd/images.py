"""Rung 1 of the image ladder: a clone of an image that Glance keeps in the same cluster, or the reason why not.

The conditions are those of Cinder's RBD driver (`_is_cloneable`).
"""

from collections.abc import Iterator
from urllib.parse import unquote

import msgspec

from breezeblock.drivers.rbd.cluster import Cluster
from breezeblock.drivers.rbd.store import Store
from breezeblock.errors import BackendNotFound, DriverError, NotSupportedByBackend
from breezeblock.model.image import Image

SCHEME = "rbd://"


class Location(msgspec.Struct, frozen=True):
    """An image's snapshot in a cluster."""

    fsid: str
    pool: str
    image: str
    snapshot: str


def locate(cluster: Cluster, store: Store, image: Image, room: int) -> Location:
    """The snapshot to clone. Raises `NotSupportedByBackend` with all reasons."""
    if image.disk_format != "raw":
        raise NotSupportedByBackend(f"Ceph clones raw images only; this one is {image.disk_format}.")
    reasons: list[str] = []
    for url in dict.fromkeys(_urls(image)):
        try:
            location = parse(url)
            _require_reachable(cluster, store, location, room)
        except NotSupportedByBackend as error:
            reasons.append(error.message)
        else:
            return location
    raise NotSupportedByBackend(" ".join(reasons) or "The image service tells no location of this image.")


def parse(url: str) -> Location:
    """What a location names. Raises `NotSupportedByBackend(reason)`."""
    if not url.startswith(SCHEME):
        raise NotSupportedByBackend(f"The image lies at {url.partition(':')[0]}:, not in Ceph.")
    pieces = [unquote(piece) for piece in url.removeprefix(SCHEME).split("/")]
    if len(pieces) != 4 or "" in pieces:
        raise NotSupportedByBackend("The image's location in Ceph names no snapshot.")
    return Location(*pieces)


def _urls(image: Image) -> Iterator[str]:
    if image.direct_url:
        yield image.direct_url
    for location in image.locations:
        yield location.url


def _require_reachable(cluster: Cluster, store: Store, location: Location, room: int) -> None:
    if location.fsid != cluster.call("fsid"):
        raise NotSupportedByBackend("The image lies in another Ceph cluster.")
    try:
        found = store.info(location.image, location.pool)
    except BackendNotFound as error:
        raise NotSupportedByBackend(f"There is no pool {location.pool}.") from error
    except DriverError as error:
        raise NotSupportedByBackend(
            f"The image {location.pool}/{location.image} cannot be opened: {error.message}"
        ) from error
    sizes = dict(found.snapshots) if found is not None else {}
    if location.snapshot not in sizes:
        raise NotSupportedByBackend(f"There is no {location.pool}/{location.image}@{location.snapshot}.")
    if sizes[location.snapshot] > room:
        raise NotSupportedByBackend(f"The image has {sizes[location.snapshot]} bytes, more than the volume's {room}.")
