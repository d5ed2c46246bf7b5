"""An NBD client that reads an export as a `BlockSource`: it asks what are zeros, so that those are not sent.

The protocol as in `exports.client`, with structured replies and the context `base:allocation`.
"""

import os
import struct
from collections.abc import Iterator

from breezeblock.drivers.contract import Extent
from breezeblock.exports.client import NbdConnection

_STRUCTURED_REPLY, _SET_META_CONTEXT, _REP_META_CONTEXT = 8, 10, 4
_READ, _BLOCK_STATUS = 0, 7
_CHUNK_MAGIC = 0x668E33EF
_DONE, _OFFSET_DATA, _OFFSET_HOLE, _STATUS, _ERROR = 1, 1, 2, 5, 1 << 15
_READS_AS_ZERO = 2
_ASKED_BYTES = 1 << 30
"""How much of the export one question about zeros is about."""


class NbdReader(NbdConnection):
    """A connection over a socket that is connected already. Raises `OSError` for what the server refuses or breaks off."""

    def extents(self) -> Iterator[Extent]:
        """The whole of it in order, as runs of data and of zeros."""
        at = 0
        while at < self.size:
            for told, flags in self._status(at, min(_ASKED_BYTES, self.size - at)):
                length = min(told, self.size - at)
                if length:
                    yield Extent(at, length, data=not flags & _READS_AS_ZERO)
                at += length

    def pread(self, length: int, offset: int) -> bytes:
        """Exactly `length` bytes, less only at the end."""
        length = min(length, self.size - offset)
        read = bytearray(length)
        for kind, content in self._chunks(_READ, offset, length):
            start = int.from_bytes(content[:8]) - offset
            if kind == _OFFSET_DATA:
                read[start : start + len(content) - 8] = content[8:]
            elif kind != _OFFSET_HOLE:
                raise ConnectionError(f"the NBD server answers a read by a chunk of type {kind}")
        return bytes(read)

    def _status(self, offset: int, length: int) -> list[tuple[int, int]]:
        """Runs of the export from `offset` on: their lengths, and what the server says of them."""
        chunks = [content for kind, content in self._chunks(_BLOCK_STATUS, offset, length) if kind == _STATUS]
        if not chunks or len(chunks[0]) < 12:
            raise ConnectionError("the NBD server does not say what are zeros")
        return [(run[0], run[1]) for run in struct.iter_unpack(">II", chunks[0][4:])]

    def _chunks(self, command: int, offset: int, length: int) -> list[tuple[int, bytes]]:
        self._send(command, offset, length)
        chunks = []
        done = False
        while not done:
            magic, flags, kind, _, size = struct.unpack(">IHHQI", self._exactly(20))
            if magic != _CHUNK_MAGIC:
                raise ConnectionError("the NBD server's answer is none")
            content = self._exactly(size)
            if kind & _ERROR:
                error = int.from_bytes(content[:4])
                raise OSError(error, os.strerror(error))
            if content:
                chunks.append((kind, content))
            done = bool(flags & _DONE)
        return chunks

    def _agree(self, export: bytes) -> None:
        self._option(_STRUCTURED_REPLY, b"")
        context = b"base:allocation"
        name = struct.pack(">I", len(export)) + export
        answers = self._option(_SET_META_CONTEXT, name + struct.pack(">II", 1, len(context)) + context)
        if not any(kind == _REP_META_CONTEXT for kind, _ in answers):
            raise ConnectionError("the NBD server does not say what are zeros")
