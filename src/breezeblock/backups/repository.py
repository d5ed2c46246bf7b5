"""Backups in an object store. The backups of one volume share its chunks; a manifest says what is whose.

    volume-<volume id>/manifests/<backup id>          there: the backup is whole
    volume-<volume id>/chunks/<2 digits>/<SHA-256>    compressed by zstd, named by what is in it
    volume-<volume id>/claims/<backup id>/<number>    a backup is being made; how far it is

A chunk goes when no manifest of its volume names it, and only while nobody claims the volume: whoever makes a backup
may so rely on any chunk that it finds. Both looks, at claims and at manifests, and the removal are one exclusive
section; a claim is put in one too. What a killed process left is seen by the next look.
"""

import hashlib
import logging
import re
from collections.abc import Container

import msgspec

from breezeblock import killpoints
from breezeblock.backups import manifest as manifests
from breezeblock.backups.manifest import Chunk, Manifest
from breezeblock.backups.objects import ObjectStore
from breezeblock.errors import BackendTransient, BackupDamaged

log = logging.getLogger(__name__)

BATCH = 4096
"""Chunks that are removed in one exclusive section."""

_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
LEVEL = "volume-"
_LEVEL = re.compile(rf"{LEVEL}{_UUID}")
_PLACE = re.compile(rf"{LEVEL}({_UUID})/({_UUID})")


class Place(msgspec.Struct, frozen=True):
    """Where a backup lies: the volume whose chunks it shares, and its name among that volume's backups."""

    volume_id: str
    backup_id: str

    def __str__(self) -> str:
        return f"{LEVEL}{self.volume_id}/{self.backup_id}"

    @property
    def manifest(self) -> str:
        """The object that makes it a backup."""
        return f"{LEVEL}{self.volume_id}/manifests/{self.backup_id}"

    @property
    def claim(self) -> str:
        """The level of the objects that say it is being made."""
        return f"{LEVEL}{self.volume_id}/claims/{self.backup_id}"

    def chunk(self, sha256: str) -> str:
        """The object of a chunk."""
        return f"{LEVEL}{self.volume_id}/chunks/{sha256[:2]}/{sha256}"


def place_of(text: str) -> Place | None:
    """The place that `str` of it gave; None for anything else, such as a path that leads elsewhere."""
    found = _PLACE.fullmatch(text)
    return Place(*found.groups()) if found else None


class Progress(msgspec.Struct, frozen=True):
    """A piece of a claim: all up to byte `upto` of the volume is stored, of which `chunks` are since the piece before."""

    upto: int
    chunks: list[Chunk]


class Repository:
    """The backups in an object store."""

    def __init__(self, objects: ObjectStore) -> None:
        self.objects = objects

    def claim(self, place: Place) -> tuple[int, list[Progress]]:
        """Begin to make a backup, or go on with it: the number of the next piece of its claim, and those there are."""
        names = list(self.objects.list(place.claim))
        if not names:
            with self.objects.exclusive():
                self.objects.put(f"{place.claim}/{0:08}", msgspec.json.encode(Progress(0, [])))
            return 1, []
        pieces = [msgspec.json.decode(self.objects.get(name), type=Progress) for name in names]
        return len(names), pieces

    def note(self, place: Place, number: int, progress: Progress) -> None:
        """Note how far a backup is that is being made: its chunks up to there are stored."""
        self.objects.put(f"{place.claim}/{number:08}", msgspec.json.encode(progress))

    def keep(self, place: Place, content: bytes, *, trusting: bool, known: Container[str] = ()) -> tuple[str, int]:
        """Have a chunk in the store, under a claim: its SHA-256, and the bytes that were written for it.

        Unless `trusting`, one that is there is read, and written anew where it is damaged. Of those that are `known` to
        be whole nothing is asked.
        """
        sha256 = hashlib.sha256(content).hexdigest()
        name = place.chunk(sha256)
        if sha256 in known:
            return sha256, 0
        if self.objects.has(name) and (trusting or self._is_whole(name, Chunk(0, len(content), sha256))):
            return sha256, 0
        stored = manifests.packed(content)
        self.objects.put(name, stored)
        return sha256, len(stored)

    def _is_whole(self, name: str, chunk: Chunk) -> bool:
        try:
            manifests.content_of(self.objects.get(name), chunk, name)
        except (BackupDamaged, BackendTransient):  # a block of the disk that cannot be read is as bad
            return False
        return True

    def publish(self, place: Place, manifest: Manifest) -> None:
        """Finish a backup: it is there from now on."""
        self.objects.put(place.manifest, manifests.encode(manifest))

    def unclaim(self, place: Place) -> None:
        """Say that a backup is not being made any more."""
        for name in reversed(list(self.objects.list(place.claim))):
            self.objects.delete(name)
            killpoints.reached("between_removals")

    def manifest(self, place: Place) -> Manifest:
        """A finished backup's manifest. Raises `BackendNotFound`, `DriverError` where it is damaged."""
        return manifests.decode(self.objects.get(place.manifest), place.manifest)

    def read(self, place: Place, chunk: Chunk) -> bytes:
        """The content of a chunk. Raises `DriverError` that names it when it is missing or damaged."""
        name = place.chunk(chunk.sha256)
        return manifests.content_of(self.objects.get(name), chunk, name)

    def missing(self, place: Place, manifest: Manifest) -> list[str]:
        """The chunks of a backup that are not there."""
        wanted = sorted({place.chunk(chunk.sha256) for chunk in manifest.chunks})
        return [name for name in wanted if not self.objects.has(name)]

    def remove(self, place: Place) -> list[str]:
        """Remove a backup, or what was begun of it, and every chunk that no other needs.

        Answers the backups that are being made of the same volume: for their sake chunks may be left, and it has to be
        called again when they have ended. None left is done.
        """
        self.objects.delete(place.manifest, settled=True)
        killpoints.reached("between_removals")
        self.unclaim(place)
        return self.collect(place.volume_id)

    def collect(self, volume_id: str) -> list[str]:
        """Remove the chunks of a volume that no backup of it needs; answers as `remove` does."""
        while True:
            with self.objects.exclusive():
                if claimed := self.claimed(volume_id):
                    return claimed
                unwanted = self.unwanted(volume_id)
                for name in unwanted[:BATCH]:
                    self.objects.delete(name)
                    killpoints.reached("between_removals")
                if len(unwanted) <= BATCH:
                    self.objects.sweep(f"{LEVEL}{volume_id}")
                    return []

    def claimed(self, volume_id: str) -> list[str]:
        """The backups of a volume that are being made, by id."""
        return sorted({name.split("/")[2] for name in self.objects.list(f"{LEVEL}{volume_id}/claims")})

    def unwanted(self, volume_id: str) -> list[str]:
        """The chunks of a volume that no finished backup of it needs; none where a manifest is damaged and does not tell."""
        wanted = set()
        for place in self.finished(volume_id):
            try:
                wanted |= {place.chunk(chunk.sha256) for chunk in self.manifest(place).chunks}
            except BackupDamaged as error:
                log.warning("volume %s: no chunk of its backups is removed: %s", volume_id, error)
                return []
        return sorted(self.chunks(volume_id) - wanted)

    def has(self, place: Place) -> bool:
        """Whether the backup is there, whole."""
        return self.objects.has(place.manifest)

    def volumes(self) -> list[str]:
        """The volumes that there is anything of, by id."""
        return [level.removeprefix(LEVEL) for level in self.objects.levels() if _LEVEL.fullmatch(level)]

    def finished(self, volume_id: str) -> list[Place]:
        """The whole backups of a volume."""
        names = self.objects.list(f"{LEVEL}{volume_id}/manifests")
        return [Place(volume_id, name.rpartition("/")[2]) for name in names]

    def chunks(self, volume_id: str) -> set[str]:
        """The objects that hold the content of a volume's backups."""
        return set(self.objects.list(f"{LEVEL}{volume_id}/chunks"))
