"""A small NBD client that stays connected and tells of each request what became of it, as a guest's disk would."""

import socket
import struct
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit

OPTION_MAGIC = 0x49484156454F5054
OPTION_REPLY_MAGIC = 0x3E889045565A9
REQUEST_MAGIC = 0x25609513
REPLY_MAGIC = 0x67446698
OPTION_GO = 7
REPLY_ACK, REPLY_INFO = 1, 3
READ, WRITE, DISCONNECT, FLUSH = 0, 1, 2, 3


class NbdClient:
    """A connection to `nbd+unix:///NAME?socket=PATH`; one request at a time, by any thread.

    Raises `OSError` with the server's errno for a failed request, `ConnectionError` when it hangs up.
    """

    def __init__(self, uri: str) -> None:
        parts = urlsplit(uri)
        self._lock = threading.Lock()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(60)
        try:
            self._socket.connect(parse_qs(parts.query)["socket"][0])
            self.size = self._negotiate(unquote(parts.path[1:]).encode())
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Hang up politely, if the server is still there."""
        with suppress(ConnectionError):
            self._socket.sendall(struct.pack(">IHHQQI", REQUEST_MAGIC, 0, DISCONNECT, 0, 0, 0))
        self._socket.close()

    def read(self, length: int, offset: int) -> bytes:
        """Exactly `length` bytes."""
        with self._lock:
            self._request(READ, offset, length)
            return self._exactly(length)

    def write(self, data: bytes, offset: int) -> None:
        """Returns when the server has acknowledged it."""
        with self._lock:
            self._request(WRITE, offset, len(data), data)

    def flush(self) -> None:
        """Returns when all that was acknowledged before is on stable storage."""
        with self._lock:
            self._request(FLUSH, 0, 0)

    def _request(self, command: int, offset: int, length: int, data: bytes = b"") -> None:
        self._socket.sendall(struct.pack(">IHHQQI", REQUEST_MAGIC, 0, command, 0, offset, length) + data)
        magic, error, _ = struct.unpack(">IIQ", self._exactly(16))
        assert magic == REPLY_MAGIC
        if error:
            raise OSError(error, "the NBD server refused a request")

    def _negotiate(self, name: bytes) -> int:
        assert self._exactly(16) == b"NBDMAGICIHAVEOPT"
        self._exactly(2)
        self._socket.sendall(struct.pack(">I", 0b11))
        option = struct.pack(">I", len(name)) + name + struct.pack(">H", 0)
        self._socket.sendall(struct.pack(">QII", OPTION_MAGIC, OPTION_GO, len(option)) + option)
        size = None
        while True:
            magic, _, kind, length = struct.unpack(">QIII", self._exactly(20))
            assert magic == OPTION_REPLY_MAGIC
            data = self._exactly(length)
            if kind == REPLY_INFO and data[:2] == b"\0\0":
                size = int(struct.unpack(">Q", data[2:10])[0])
            elif kind == REPLY_ACK:
                assert size is not None
                return size
            elif kind >> 31:
                raise ConnectionRefusedError(data.decode(errors="replace"))

    def _exactly(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            piece = self._socket.recv(length - len(data))
            if not piece:
                raise ConnectionResetError("the NBD server hung up")
            data += piece
        return data
