"""Backups as releases before this one made them: a folder each, with its own chunks. They are read and removed only."""

import shutil
from pathlib import Path

import msgspec

from breezeblock import killpoints
from breezeblock.backups import manifest as manifests
from breezeblock.backups.manifest import Chunk, Manifest
from breezeblock.errors import BackendNotFound, BackendTransient, DriverError

PREFIX = "backup-"
_MANIFEST = "manifest.json"


class LegacyBackups:
    """The folders `backup-<id>` below `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def manifest(self, backup_id: str) -> Manifest:
        """A finished backup's manifest. Raises `BackendNotFound`, `DriverError`."""
        path = self._folder(backup_id) / _MANIFEST
        try:
            return msgspec.json.decode(path.read_bytes(), type=Manifest)
        except FileNotFoundError:
            raise BackendNotFound(f"Backup {backup_id} is not in the store {self._root}.") from None
        except (msgspec.MsgspecError, OSError) as error:
            raise DriverError(f"The manifest {path} of the backup store cannot be read: {error}.") from error

    def read(self, backup_id: str, chunk: Chunk) -> bytes:
        """The content of a chunk. Raises `DriverError` that names it when it is missing or damaged."""
        path = self._folder(backup_id) / chunk.sha256
        try:
            stored = path.read_bytes()
        except OSError as error:
            raise DriverError(f"The chunk {path} of the backup store cannot be read: {error.strerror}.") from error
        return manifests.content_of(stored, chunk, str(path))

    def missing(self, backup_id: str, manifest: Manifest) -> list[str]:
        """The chunks of a backup that are not there."""
        paths = [self._folder(backup_id) / name for name in sorted({chunk.sha256 for chunk in manifest.chunks})]
        return [str(path.relative_to(self._root)) for path in paths if not path.exists()]

    def stored(self) -> dict[str, bool]:
        """All backups there is something of, by id, and whether each is finished."""
        folders = [path for path in self._root.glob(f"{PREFIX}*") if path.is_dir()]
        return {path.name.removeprefix(PREFIX): (path / _MANIFEST).exists() for path in folders}

    def delete(self, backup_id: str) -> None:
        """Remove a backup, the manifest first; gone is done."""
        folder = self._folder(backup_id)
        try:
            (folder / _MANIFEST).unlink(missing_ok=True)
            if folder.exists():
                killpoints.reached("between_removals")
                shutil.rmtree(folder)
        except OSError as error:
            raise BackendTransient(f"The backup store cannot remove {folder}: {error.strerror}.") from error

    def _folder(self, backup_id: str) -> Path:
        return self._root / f"{PREFIX}{backup_id}"
