"""An NBD client that writes: several requests under way at once, so that the server never waits for the next one.

The protocol: https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md, fixed newstyle.
"""

import os
import socket
import struct

MOST_BYTES = 1 << 20
"""Bytes of one request."""
_UNDER_WAY = 4
_MAGIC, _OPTION_MAGIC, _REPLY_MAGIC = 0x4E42444D41474943, 0x49484156454F5054, 0x3E889045565A9
_REQUEST_MAGIC, _ANSWER_MAGIC = 0x25609513, 0x67446698
_OPT_GO, _REP_ACK, _REP_INFO, _INFO_EXPORT = 7, 1, 3, 0
_REFUSED = 1 << 31
_WRITE, _DISCONNECT, _ZEROES = 1, 2, 6


class NbdConnection:
    """A connection over a socket that is connected already. Raises `OSError` for what the server refuses or breaks off."""

    def __init__(self, connection: socket.socket, export: str) -> None:
        self._socket = connection
        self.size = self._negotiate(export.encode())

    def _negotiate(self, export: bytes) -> int:
        magic, option_magic, _ = struct.unpack(">QQH", self._exactly(18))
        if (magic, option_magic) != (_MAGIC, _OPTION_MAGIC):
            raise ConnectionError("this is no NBD server")
        self._socket.sendall(struct.pack(">I", 3))
        self._agree(export)
        for kind, data in self._option(_OPT_GO, struct.pack(">I", len(export)) + export + struct.pack(">H", 0)):
            if kind == _REP_INFO and data[:2] == struct.pack(">H", _INFO_EXPORT):
                return int.from_bytes(data[2:10])
        raise ConnectionError("the NBD server does not say how large the export is")

    def _agree(self, export: bytes) -> None:
        """What else is settled before the export is opened."""

    def _option(self, option: int, body: bytes) -> list[tuple[int, bytes]]:
        """Ask for an option; the answers before the one that says yes."""
        self._socket.sendall(struct.pack(">QII", _OPTION_MAGIC, option, len(body)) + body)
        answers: list[tuple[int, bytes]] = []
        while True:
            magic, _, kind, length = struct.unpack(">QIII", self._exactly(20))
            data = self._exactly(length)
            if magic != _REPLY_MAGIC or kind & _REFUSED:
                raise ConnectionError(f"the NBD server refuses the export: {data.decode(errors='replace')}")
            if kind == _REP_ACK:
                return answers
            answers.append((kind, data))

    def _send(self, kind: int, offset: int, length: int) -> None:
        self._socket.sendall(struct.pack(">IHHQQI", _REQUEST_MAGIC, 0, kind, 0, offset, length))

    def _exactly(self, length: int) -> bytes:
        parts = []
        while length:
            part = self._socket.recv(length)
            if not part:
                raise ConnectionError("the NBD server hung up")
            parts.append(part)
            length -= len(part)
        return b"".join(parts)


class NbdWriter(NbdConnection):
    """Writes, and waits for answers at its end."""

    def __init__(self, connection: socket.socket, export: str) -> None:
        super().__init__(connection, export)
        self._waiting = 0

    def write(self, data: bytes | memoryview, offset: int) -> None:
        """Have `data` written. A failure may be told by a later call."""
        view = memoryview(data).cast("B")
        for start in range(0, len(view), MOST_BYTES):
            piece = view[start : start + MOST_BYTES]
            self._ask(_WRITE, offset + start, len(piece))
            self._socket.sendall(piece)

    def zero(self, offset: int, length: int) -> None:
        """Have at most `MOST_BYTES` of zeros written."""
        self._ask(_ZEROES, offset, length)

    def finish(self) -> None:
        """Wait until all is written, and hang up."""
        while self._waiting:
            self._collect()
        self._send(_DISCONNECT, 0, 0)

    def _ask(self, kind: int, offset: int, length: int) -> None:
        while self._waiting >= _UNDER_WAY:
            self._collect()
        self._send(kind, offset, length)
        self._waiting += 1

    def _collect(self) -> None:
        magic, error, _ = struct.unpack(">IIQ", self._exactly(16))
        if magic != _ANSWER_MAGIC:
            raise ConnectionError("the NBD server's answer is none")
        self._waiting -= 1
        if error:
            raise OSError(error, os.strerror(error))
