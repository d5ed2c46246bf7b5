"""The part of the qcow2 format that this driver needs: make an empty overlay, grow one, read any.

Making and growing by hand costs a few small writes; a `qemu-img` costs a process of 15 to 40 ms. Reading is for
backups, replicas and flattening: it follows the tables as qemu's `docs/interop/qcow2.txt` describes them, version 2
and 3, clusters compressed by zlib or zstd included. What it does not know (encryption, external data files,
subclusters) it refuses. Overlays are never opened here while somebody writes to them.
"""

import functools
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec
import zstandard
from zlib_ng import zlib_ng

from breezeblock.drivers.directory import durable
from breezeblock.errors import DriverError

MAGIC = b"QFI\xfb"
CLUSTER = 1 << 16
"""Cluster size of the overlays made here, qemu's default."""
OFFSET_MASK = 0x00FFFFFFFFFFFE00
COMPRESSED = 1 << 62
USED_ONCE = 1 << 63
READS_AS_ZERO = 1
HEADER_V2 = struct.Struct(">4sIQIIQIIQQIIQ")
HEADER_V3 = struct.Struct(">QQQIIB7x")
EXTENSION_BACKING_FORMAT = 0xE2792ACA
INCOMPATIBLE_DIRTY = 1
INCOMPATIBLE_COMPRESSION = 8

Kind = Literal["data", "zero", "absent", "compressed"]


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What a qcow2 file says of itself. Sizes and offsets are bytes, `l1_size` counts entries."""

    version: int
    size: int
    cluster_bits: int
    crypt_method: int
    l1_size: int
    l1_offset: int
    snapshots: int
    incompatible: int
    compression: int
    backing: str | None

    @property
    def l1_needed(self) -> int:
        """The entries that the virtual size takes."""
        return _entries(self.size, self.cluster_bits)


class Run(msgspec.Struct, frozen=True):
    """A run of guest bytes that lie alike: `data` at `position` of the file, `compressed` with that table entry."""

    kind: Kind
    offset: int
    length: int
    position: int = 0


def _entries(size: int, cluster_bits: int) -> int:
    """How many L1 entries `size` bytes take."""
    span = 1 << (cluster_bits * 2 - 3)
    return -(-size // span)


def _round_up(value: int, step: int) -> int:
    return -(-value // step) * step


def write_overlay(path: Path, size: int, backing: str, backing_format: str, beginning: bytes = b"") -> None:
    """Make an overlay of `size` bytes over `backing` (as it is written into the header), and sync it.

    It is empty but for its `beginning`, which is whole clusters and no more than one L2 table tells of (512 MiB).
    Layout: header, refcount table, one or more refcount blocks, L1 table, and for a beginning an L2 table and the data;
    each in clusters of its own.
    """
    name = backing.encode()
    if not 0 < len(name) < 1024:
        raise DriverError(f"The name of a backing file has to have 1 to 1023 bytes; this one has {len(name)}.")
    l1_entries = _entries(size, 16)
    l1_clusters = max(1, _round_up(l1_entries * 8, CLUSTER) // CLUSTER)
    held = _round_up(len(beginning), CLUSTER) // CLUSTER
    more = held + 1 if held else 0
    blocks = _round_up(2 + l1_clusters + more + 1, CLUSTER // 2) // (CLUSTER // 2)
    l1_offset = (2 + blocks) * CLUSTER
    l2_offset = l1_offset + l1_clusters * CLUSTER
    used = 2 + blocks + l1_clusters + more
    format_name = backing_format.encode()
    extensions = struct.pack(">II", EXTENSION_BACKING_FORMAT, len(format_name)) + format_name.ljust(
        _round_up(len(format_name), 8), b"\0"
    )
    extensions += struct.pack(">II", 0, 0)
    length = HEADER_V2.size + HEADER_V3.size
    name_offset = length + len(extensions)
    header = HEADER_V2.pack(
        MAGIC, 3, name_offset, len(name), 16, size, 0, l1_entries, l1_offset, CLUSTER, 1, 0, 0
    ) + HEADER_V3.pack(0, 0, 0, 4, length, 0)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.ftruncate(fd, used * CLUSTER)
        os.pwrite(fd, header + extensions + name, 0)
        os.pwrite(fd, struct.pack(f">{blocks}Q", *((2 + i) * CLUSTER for i in range(blocks))), CLUSTER)
        os.pwrite(fd, struct.pack(">H", 1) * used, 2 * CLUSTER)
        if held:
            entries = (USED_ONCE | l2_offset + (1 + number) * CLUSTER for number in range(held))
            os.pwrite(fd, struct.pack(">Q", USED_ONCE | l2_offset), l1_offset)
            os.pwrite(fd, struct.pack(f">{held}Q", *entries), l2_offset)
            durable.write_all(fd, beginning, l2_offset + CLUSTER)
        os.fsync(fd)
    finally:
        os.close(fd)


def read_header(fd: int) -> Header:
    """The header of an open file. Raises `DriverError` where it is no qcow2 of version 2 or 3."""
    data = os.pread(fd, HEADER_V2.size + HEADER_V3.size, 0)
    if len(data) < HEADER_V2.size or data[:4] != MAGIC:
        raise DriverError("This file is not qcow2.")
    _, version, name_offset, name_length, bits, size, crypt, l1_size, l1_offset, _, _, snapshots, _ = (
        HEADER_V2.unpack_from(data)
    )
    if version not in (2, 3) or not 9 <= bits <= 21 or name_length >= 1024:
        raise DriverError(f"This qcow2 file has version {version} and cluster bits {bits}, which is not understood.")
    incompatible = compression = 0
    if version == 3:
        incompatible, _, _, _, _, compression = HEADER_V3.unpack_from(data.ljust(112, b"\0"), HEADER_V2.size)
    return Header(
        version=version,
        size=size,
        cluster_bits=bits,
        crypt_method=crypt,
        l1_size=l1_size,
        l1_offset=l1_offset,
        snapshots=snapshots,
        incompatible=incompatible,
        compression=compression if incompatible & INCOMPATIBLE_COMPRESSION else 0,
        backing=os.pread(fd, name_length, name_offset).decode(errors="replace") if name_offset else None,
    )


def grow_overlay(path: Path, size: int) -> bool:
    """Give an overlay made here a larger virtual size by one write within a sector, and sync it.

    False when the L1 table's clusters have no room for it (they have for 4 TiB, or twice what they were made for);
    then `qemu-img resize` has to move the table.
    """
    fd = os.open(path, os.O_RDWR)
    try:
        header = read_header(fd)
        if size <= header.size:
            return True
        needed = _entries(size, header.cluster_bits)
        cluster = 1 << header.cluster_bits
        if needed * 8 > max(1, _round_up(header.l1_size * 8, cluster) // cluster) * cluster:
            return False
        os.pwrite(fd, struct.pack(">QII", size, header.crypt_method, max(needed, header.l1_size)), 24)
        os.fsync(fd)
        return True
    finally:
        os.close(fd)


def is_untouched(path: Path) -> bool:
    """Whether an overlay holds nothing of its own, so that it reads as what lies below it."""
    with Qcow2File(path) as overlay:
        return not any(overlay.l1)


class Qcow2File:
    """One qcow2 file, open for reading, without what lies below it."""

    def __init__(self, path: Path) -> None:
        self.fd = os.open(path, os.O_RDONLY)
        try:
            self.header = read_header(self.fd)
            self._refuse_unknown(path)
            self.size = self.header.size
            self.cluster = 1 << self.header.cluster_bits
            self.l2_entries = self.cluster // 8
            raw = os.pread(self.fd, self.header.l1_needed * 8, self.header.l1_offset)
            self.l1 = struct.unpack(f">{len(raw) // 8}Q", raw[: len(raw) // 8 * 8])
            if len(self.l1) < self.header.l1_needed:
                raise DriverError(f"The qcow2 file {path} is cut off in its L1 table.")
        except BaseException:
            os.close(self.fd)
            raise
        self._l2 = functools.lru_cache(maxsize=4)(self._read_l2)

    def _refuse_unknown(self, path: Path) -> None:
        header = self.header
        unknown = header.incompatible & ~(INCOMPATIBLE_DIRTY | INCOMPATIBLE_COMPRESSION)
        if header.crypt_method or unknown or header.compression > 1 or header.l1_size < header.l1_needed:
            raise DriverError(f"The qcow2 file {path} uses features that are not understood here.")

    def __enter__(self) -> "Qcow2File":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the file back."""
        os.close(self.fd)

    def runs(self, start: int, end: int) -> Iterator[Run]:
        """How the guest's bytes from `start` to `end` lie, in order; beyond the virtual size they are zeros."""
        pending: Run | None = None
        for run in self._clusters(start, end):
            if pending is not None and _continues(pending, run):
                pending = Run(pending.kind, pending.offset, pending.length + run.length, pending.position)
            else:
                if pending is not None:
                    yield pending
                pending = run
        if pending is not None:
            yield pending

    def _clusters(self, start: int, end: int) -> Iterator[Run]:
        inside = min(end, self.size)
        span = self.cluster * self.l2_entries
        while start < inside:
            l1_index, within = divmod(start, span)
            stop = min(inside, start - within + span)
            table = self.l1[l1_index] & OFFSET_MASK
            if table:
                yield from self._in_table(self._l2(table), start, stop)
            else:
                yield Run("absent", start, stop - start)
            start = stop
        if start < end:
            yield Run("zero", start, end - start)

    def _in_table(self, entries: tuple[int, ...], start: int, stop: int) -> Iterator[Run]:
        bits = self.header.cluster_bits
        index, last = (start >> bits) % self.l2_entries, ((stop - 1) >> bits) % self.l2_entries
        while start < stop:
            skip = start % self.cluster
            run = self._run(entries[index], start, min(stop - start, self.cluster - skip), skip)
            step = {"data": self.cluster, "compressed": -1}.get(run.kind, 0)
            following = entries[index] + step
            count = 1
            while index < last and step >= 0 and entries[index + 1] == following:
                index, count, following = index + 1, count + 1, following + step
            index += 1
            length = min(stop - start, count * self.cluster - skip)
            yield Run(run.kind, start, length, run.position)
            start += length

    def _run(self, entry: int, offset: int, length: int, skip: int) -> Run:
        if entry & COMPRESSED:
            return Run("compressed", offset, length, entry)
        if entry & READS_AS_ZERO and self.header.version >= 3:
            return Run("zero", offset, length)
        position = entry & OFFSET_MASK
        return Run("data", offset, length, position + skip) if position else Run("absent", offset, length)

    def _read_l2(self, offset: int) -> tuple[int, ...]:
        raw = os.pread(self.fd, self.cluster, offset)
        if len(raw) < self.cluster:
            raise DriverError("A qcow2 file is cut off in an L2 table.")
        return struct.unpack(f">{self.l2_entries}Q", raw)

    def decompress(self, entry: int) -> bytes:
        """The content of a compressed cluster, given its table entry."""
        shift = 62 - (self.header.cluster_bits - 8)
        position = entry & ((1 << shift) - 1)
        sectors = ((entry & (COMPRESSED - 1)) >> shift) + 1
        packed = os.pread(self.fd, sectors * 512 - position % 512, position)
        try:
            if self.header.compression == 1:
                data = zstandard.ZstdDecompressor().stream_reader(packed).read(self.cluster)
            else:
                data = zlib_ng.decompressobj(-15).decompress(packed, self.cluster)
        except (zlib_ng.error, zstandard.ZstdError) as error:  # type: ignore[misc]  # its stub says instance
            raise DriverError(f"A compressed cluster of a qcow2 file is broken: {error}") from error
        if len(data) != self.cluster:
            raise DriverError("A compressed cluster of a qcow2 file is cut off.")
        return data


def _continues(run: Run, following: Run) -> bool:
    if run.kind != following.kind or run.kind == "compressed":
        return False
    return run.kind != "data" or run.position + run.length == following.position
