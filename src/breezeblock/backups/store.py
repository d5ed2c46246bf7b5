"""All backups of this service, those of former releases too."""

from collections.abc import Callable
from pathlib import Path

from breezeblock.backups.directory import DirectoryObjects
from breezeblock.backups.legacy import LegacyBackups
from breezeblock.backups.manifest import Chunk, Manifest
from breezeblock.backups.repository import Repository, place_of
from breezeblock.model.backup import Backup

ReadChunk = Callable[[Chunk], bytes]
"""Answers a chunk's content. Raises `DriverError` that names the object when it is missing or damaged."""


class BackupStore:
    """The store in a directory. A row's `service_metadata` says where its backup lies; without it, in its own folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.repository = Repository(DirectoryObjects(root))
        self.legacy = LegacyBackups(root)

    def opened(self, backup: Backup) -> tuple[Manifest, ReadChunk]:
        """A finished backup: what it consists of, and how to read that. Raises `BackendNotFound`, `DriverError`."""
        place = place_of(backup.service_metadata or "")
        if place is None:
            return self.legacy.manifest(backup.id), lambda chunk: self.legacy.read(backup.id, chunk)
        return self.repository.manifest(place), lambda chunk: self.repository.read(place, chunk)

    def missing(self, backup: Backup) -> list[str]:
        """The objects that a backup needs and that are not there; its manifest alone where that is missing.

        Raises `DriverError` where the manifest is damaged.
        """
        place = place_of(backup.service_metadata or "")
        if place is None:
            if not self.legacy.stored().get(backup.id):
                return [f"the manifest of {backup.id}"]
            return self.legacy.missing(backup.id, self.legacy.manifest(backup.id))
        if not self.repository.has(place):
            return [place.manifest]
        return self.repository.missing(place, self.repository.manifest(place))

    def remove(self, backup: Backup) -> list[str]:
        """Remove a backup, or what was begun of it; answers as `Repository.remove`."""
        place = place_of(backup.service_metadata or "")
        self.legacy.delete(backup.id)
        return self.repository.remove(place) if place is not None else []
