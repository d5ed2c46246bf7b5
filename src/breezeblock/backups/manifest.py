"""The manifest of a backup: which piece of the volume is which chunk."""

import hashlib

import msgspec
import zstandard

from breezeblock.errors import BackupDamaged, DriverError

FORMAT = 2
CHUNK_BYTES = 4 << 20
"""The volume is cut at multiples of this, so that what did not change makes the same chunks again."""


class Chunk(msgspec.Struct, frozen=True, array_like=True):
    """`length` bytes at `offset` of the volume are the content that hashes to `sha256`."""

    offset: int
    length: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup consists of. What no chunk covers reads as zeros. An incremental one names all chunks too."""

    format: int = FORMAT
    volume_size: int
    """Bytes."""
    chunks: list[Chunk]

    @property
    def data_bytes(self) -> int:
        """How much a restore writes at most."""
        return sum(chunk.length for chunk in self.chunks)


def packed(content: bytes) -> bytes:
    """Compressed, with a checksum."""
    return zstandard.ZstdCompressor(level=1, write_checksum=True).compress(content)


def unpacked(stored: bytes, most: int) -> bytes:
    """What `packed` was given, at most so many bytes. Raises `zstandard.ZstdError` for damage."""
    return zstandard.ZstdDecompressor().decompress(stored, max_output_size=most)


def encode(manifest: Manifest) -> bytes:
    """A manifest as it is stored."""
    return packed(msgspec.json.encode(manifest))


def decode(stored: bytes, name: str) -> Manifest:
    """What `encode` made. Raises `BackupDamaged` that names the object."""
    try:
        found = msgspec.json.decode(zstandard.ZstdDecompressor().decompress(stored), type=Manifest)
    except (zstandard.ZstdError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BackupDamaged(f"The manifest {name} of the backup store is damaged: {error}.") from error
    if found.format != FORMAT:
        raise DriverError(f"The manifest {name} has format {found.format}, which this release does not read.")
    return found


def content_of(stored: bytes, chunk: Chunk, name: str) -> bytes:
    """The content of a chunk. Raises `BackupDamaged` where it is not what its name says."""
    try:
        content = unpacked(stored, chunk.length)
    except zstandard.ZstdError as error:
        raise BackupDamaged(f"The chunk {name} of the backup store is damaged: {error}.") from error
    if len(content) != chunk.length or hashlib.sha256(content).hexdigest() != chunk.sha256:
        raise BackupDamaged(
            f"The chunk {name} of the backup store is damaged: it has another content than its name says."
        )
    return content
