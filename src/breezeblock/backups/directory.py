"""A backup store in a directory (a disk, an NFS mount): one folder a backup, with its chunks and a manifest.

A chunk is named by the SHA-256 of its content and compressed with zstd; equal chunks of a backup are kept once. The
manifest is written last, so a backup without one is unfinished. Everything is checked against its hash when read.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import zstandard

from breezeblock import killpoints
from breezeblock.errors import BackendNotFound, BackendOutOfSpace, DriverError

CHUNK_BYTES = 4 << 20
PREFIX = "backup-"


class Chunk(msgspec.Struct, frozen=True, array_like=True):
    """`length` bytes at `offset` of the volume are the content that hashes to `sha256`."""

    offset: int
    length: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup consists of. What no chunk covers reads as zeros."""

    format: int = 1
    volume_size: int
    """Bytes."""
    chunks: list[Chunk]


class DirectoryStore:
    """The backups below one directory."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(parents=True, exist_ok=True, mode=0o700)

    def put(self, backup_id: str, content: bytes) -> str:
        """Keep a chunk durably; its SHA-256. There already is done. Raises `BackendOutOfSpace`."""
        name = hashlib.sha256(content).hexdigest()
        path = self._folder(backup_id) / name
        if not path.exists():
            path.parent.mkdir(exist_ok=True, mode=0o700)
            _write_durably(path, zstandard.ZstdCompressor(level=1).compress(content))
        return name

    def put_manifest(self, backup_id: str, manifest: Manifest) -> None:
        """Finish a backup."""
        folder = self._folder(backup_id)
        folder.mkdir(exist_ok=True, mode=0o700)
        _write_durably(folder / "manifest.json", msgspec.json.encode(manifest))

    def manifest(self, backup_id: str) -> Manifest:
        """A finished backup's manifest. Raises `BackendNotFound`."""
        try:
            return msgspec.json.decode((self._folder(backup_id) / "manifest.json").read_bytes(), type=Manifest)
        except FileNotFoundError:
            raise BackendNotFound(f"Backup {backup_id} is not in the store {self._root}.") from None

    def read(self, backup_id: str, manifest: Manifest) -> Iterator[tuple[int, bytes]]:
        """The backup's content in pieces, `(offset, bytes)`. Raises `DriverError` for a damaged chunk."""
        for chunk in manifest.chunks:
            path = self._folder(backup_id) / chunk.sha256
            try:
                content = zstandard.ZstdDecompressor().decompress(path.read_bytes(), max_output_size=CHUNK_BYTES)
            except (OSError, zstandard.ZstdError) as error:
                raise DriverError(f"Backup {backup_id}: chunk {chunk.sha256} cannot be read: {error}") from error
            if hashlib.sha256(content).hexdigest() != chunk.sha256 or len(content) != chunk.length:
                raise DriverError(f"Backup {backup_id}: chunk {chunk.sha256} is damaged.")
            yield chunk.offset, content

    def stored(self) -> dict[str, bool]:
        """All backups there is something of, by id, and whether each is finished."""
        folders = [path for path in self._root.iterdir() if path.name.startswith(PREFIX)]
        return {path.name.removeprefix(PREFIX): (path / "manifest.json").exists() for path in folders}

    def delete(self, backup_id: str) -> None:
        """Remove a backup, the manifest first; gone is done."""
        folder = self._folder(backup_id)
        (folder / "manifest.json").unlink(missing_ok=True)
        if folder.exists():
            killpoints.reached("between_removals")
            shutil.rmtree(folder)

    def _folder(self, backup_id: str) -> Path:
        return self._root / f"{PREFIX}{backup_id}"


def _write_durably(path: Path, content: bytes) -> None:
    temporary = path.with_name(path.name + ".tmp")
    try:
        with open(temporary, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise BackendOutOfSpace(f"The backup store cannot take {path.name}: {error.strerror}") from error
    killpoints.reached("before_publish")
    temporary.rename(path)
    killpoints.reached("after_publish")
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
