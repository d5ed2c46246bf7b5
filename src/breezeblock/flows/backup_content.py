"""The bytes of a backup: from a volume's snapshot into the store, and from the store into a volume."""

import heapq
from collections.abc import Callable, Iterator

import msgspec

from breezeblock import killpoints
from breezeblock.backups import manifest as manifests
from breezeblock.backups.manifest import Chunk, Manifest
from breezeblock.backups.repository import Place, Progress
from breezeblock.backups.store import BackupStore
from breezeblock.config import Settings
from breezeblock.drivers.contract import BlockSource, BlockTarget, Extent, Rewrite
from breezeblock.encryption.luks import HEADER_BYTES
from breezeblock.flows import encrypting
from breezeblock.flows.changed_blocks import Known
from breezeblock.flows.engine import Flow
from breezeblock.model.backup import Backup

NOTE_CHUNKS = 32
"""After so many chunks it is noted how far a backup is."""

KEEP_BYTES = 256 << 20
"""After so many bytes it is noted how far a restore is."""

Report = Callable[[int, int], None]

GRAIN = 64 << 10
_ZEROS = bytes(GRAIN)


def open_store(settings: Settings) -> BackupStore:
    """The store that backups are kept in."""
    return BackupStore(settings.path("backup_posix_path", "backups"))


class Copied(msgspec.Struct, frozen=True, kw_only=True):
    """What a copy into the store did: the chunks of the backup, the bytes read of the volume and written to the store."""

    chunks: int
    read: int = 0
    stored: int = 0


def copy_out(
    flow: Flow, place: Place, source: BlockSource, report: Report, *, incremental: bool, known: Known
) -> Copied:
    """Store what a source holds: the chunks that are not there yet, then the manifest. Goes on where a killed one was.

    What is `known` is not read. `report(bytes done, bytes in all)` is called often; what it raises stops the copy.
    """
    repository = open_store(flow.backend.settings).repository
    if repository.has(place):  # and only the note of the step is missing
        repository.unclaim(place)
        return Copied(chunks=len(repository.manifest(place).chunks))
    number, noted = repository.claim(place)
    chunks = [chunk for piece in noted for chunk in piece.chunks]
    upto = noted[-1].upto if noted else 0
    total = _bytes_to_read(source, 0, known)
    done, read, stored, fresh, unnoted = total - _bytes_to_read(source, upto, known), 0, 0, 0, len(chunks)
    kept = {chunk.sha256 for chunk in chunks}
    for offset, runs in _in_order(source, upto, known):
        if isinstance(runs, Chunk):
            chunks.append(runs)
            continue
        flow.pace(sum(length for _, length in runs))
        content = _content(source, offset, runs)
        read += sum(length for _, length in runs)
        if content != bytes(len(content)):
            sha256, written = repository.keep(place, content, trusting=incremental, known=kept)
            kept.add(sha256)
            chunks.append(Chunk(offset, len(content), sha256))
            fresh += 1
            stored += written
        done += sum(length for _, length in runs)
        report(done, total)
        killpoints.reached("between_chunks")
        if fresh == NOTE_CHUNKS:
            repository.note(place, number, Progress(offset + manifests.CHUNK_BYTES, chunks[unnoted:]))
            number, fresh, unnoted = number + 1, 0, len(chunks)
    repository.publish(place, Manifest(volume_size=source.size, chunks=chunks))
    repository.unclaim(place)
    return Copied(chunks=len(chunks), read=read, stored=stored)


def _in_order(source: BlockSource, begin: int, known: Known) -> Iterator[tuple[int, list[tuple[int, int]] | Chunk]]:
    """What a backup consists of from `begin` on, by offset: runs of data to be read, and chunks that are known."""
    old = ((chunk.offset, chunk) for chunk in known.chunks if chunk.offset >= begin)
    return heapq.merge(_to_read(source, begin, known), old, key=lambda one: one[0])


def _to_read(source: BlockSource, begin: int, known: Known) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    return ((cell, runs) for cell, runs in by_cell(source.extents(), begin) if not known.covers(cell))


def by_cell(extents: Iterator[Extent], begin: int) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    """The pieces of the grid of chunks from `begin` on that hold data: the offset of each, and its runs of data."""
    size = manifests.CHUNK_BYTES
    cell, runs = begin, list[tuple[int, int]]()
    for extent in extents:
        offset, end = max(extent.offset, begin), extent.offset + extent.length
        while extent.data and offset < end:
            start = offset // size * size
            if start != cell and runs:
                yield cell, runs
                runs = []
            cell, stop = start, min(end, start + size)
            runs.append((offset, stop - offset))
            offset = stop
    if runs:
        yield cell, runs


def _content(source: BlockSource, cell: int, runs: list[tuple[int, int]]) -> bytes:
    """What a piece of the grid reads as; only its runs of data are read."""
    length = min(manifests.CHUNK_BYTES, source.size - cell)
    if runs == [(cell, length)]:
        return source.pread(length, cell)
    content = bytearray(length)
    for offset, size in runs:
        content[offset - cell : offset - cell + size] = source.pread(size, offset)
    return bytes(content)


def _bytes_to_read(source: BlockSource, begin: int, known: Known) -> int:
    return sum(length for _, runs in _to_read(source, begin, known) for _, length in runs)


def copy_in(flow: Flow, backup: Backup, target: BlockTarget, rekey: Rewrite | None) -> None:
    """Fill an empty target with a backup; one of an encrypted volume is put under another key on the way.

    One that was killed goes on where it was, where the storage can tell.
    """
    manifest, read = open_store(flow.backend.settings).opened(backup)
    begin = int(target.kept) if target.kept else 0
    chunks = [chunk for chunk in manifest.chunks if chunk.offset >= begin]
    total = manifest.data_bytes
    done, kept = total - sum(chunk.length for chunk in chunks), begin
    paced = flow.paced(target)
    pieces = ((chunk.offset, read(chunk)) for chunk in chunks)
    for offset, content in encrypting.rewritten(pieces, None if begin else rekey):
        if offset > HEADER_BYTES and offset - kept >= KEEP_BYTES:
            target.keep(str(offset).encode())
            kept = offset
        for start, run in data_runs(content):
            paced.pwrite(run, offset + start)
        done += len(content)
        flow.progress(min(done, total), total)
        killpoints.reached("between_chunks")


def data_runs(content: bytes) -> Iterator[tuple[int, memoryview]]:
    """What is not zero, in runs of whole grains: the offset in `content` of each, and its bytes."""
    view, begin = memoryview(content), 0
    for at in range(0, len(content), GRAIN):
        grain = content[at : at + GRAIN]
        if grain == _ZEROS[: len(grain)]:
            if begin < at:
                yield begin, view[begin:at]
            begin = at + GRAIN
    if begin < len(content):
        yield begin, view[begin:]
