"""What things are called in the pool. Volumes and snapshots have Cinder's names; all others say what they are by a suffix.

| name | what it is |
|---|---|
| `volume-ID` | a volume, whole |
| `volume-ID.tmp` | what is being made, and then takes the place of the volume |
| `volume-ID.IMAGE.gone` | an image that was a volume: snapshots or clones of it live on, or it is being removed |
| `volume-ID.tmp.IMAGE.gone` | an image that was being made: it is being removed with all that it has |
| `volume-ID.replica` | in another cluster: a volume, as it was when last in step |
| `volume-ID.unmanaged` | a volume that was let go of |
| `@snapshot-ID`, `@snapshot-ID.unmanaged` | a snapshot, whole, and one that was let go of |
| `@replica-ID` | the moment that a volume and its replica were last in step at; both have it |
| `@clone-volume-ID.HEX` | a moment that the volume was made of as a clone, and stands on, as later clones may |
| `@snapshot-ID.gone` | a snapshot that was deleted while clones need it, where the cluster knows clones of the first format only |
"""

import re
import uuid

from breezeblock.errors import InvalidInput

PLAIN = re.compile(r"(volume|snapshot)-[A-Za-z0-9][A-Za-z0-9_-]{0,127}", re.ASCII)
CLONE = "clone-"
MOMENT = "replica-"
REPLICA = ".replica"
TMP = ".tmp"
GONE = ".gone"
UNMANAGED = ".unmanaged"


def plain(name: str) -> str:
    """The name, if it is that of a volume or snapshot. Raises `InvalidInput`."""
    if not PLAIN.fullmatch(name):
        raise InvalidInput(f"{name!r} is no name of an object: letters, digits, - and _ are allowed.")
    return name


def is_volume(name: str) -> bool:
    """Whether it is the name of a whole volume."""
    return name.startswith("volume-") and PLAIN.fullmatch(name) is not None


def is_snapshot(name: str) -> bool:
    """Whether it is the name of a whole snapshot."""
    return name.startswith("snapshot-") and PLAIN.fullmatch(name) is not None


def is_passing(snapshot: str) -> bool:
    """Whether a snapshot may go as soon as nothing stands on it."""
    return snapshot.startswith((CLONE, MOMENT)) or snapshot.endswith(GONE)


def moment_for(clone: str) -> str:
    """A new name for the moment that a clone is to be made of."""
    return f"{CLONE}{clone}.{uuid.uuid4().hex[:12]}"


def clone_of(snapshot: str) -> str | None:
    """The volume that a moment was taken for; None for any other snapshot."""
    return origin(snapshot.removeprefix(CLONE)) if snapshot.startswith(CLONE) else None


def hidden(name: str, image_id: str) -> str:
    """The name of an image that was the volume `name`."""
    return f"{name}.{image_id}{GONE}"


def is_discarded(name: str) -> bool:
    """Whether an image was never a volume, so that its snapshots are nobody's."""
    return TMP in name


def origin(name: str) -> str:
    """The volume that an image is, was or will be."""
    return name.partition(".")[0]
