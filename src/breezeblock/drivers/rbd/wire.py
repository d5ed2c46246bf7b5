"""What the worker and the process with librbd say to each other over a pair of sockets: records, each with bytes behind it."""

import socket
import struct
import threading
from typing import Any, Literal, TypeVar

import msgspec

_LENGTHS = struct.Struct("<II")
_encoder = msgspec.msgpack.Encoder()


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """How a cluster is reached. `timeout` is seconds, less than none for the library's own."""

    conf: str
    cluster: str
    user: str | None
    pool: str
    timeout: int


class Call(msgspec.Struct, frozen=True, array_like=True):
    """A method of `library.Library` to be called; the bytes behind it are one more argument where there are any.

    With the verb `cancel` the call of that number is to end.
    """

    number: int
    verb: str
    arguments: list[Any] = []


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """What came of a call, or how far it is. `value` is what it returned, the error's text, or `[done, total]`."""

    number: int
    kind: Literal[
        "done", "progress", "config", "not_found", "in_use", "exists", "full", "transient", "lost", "unable", "error"
    ]
    value: Any = None


Message = TypeVar("Message", Call, Answer)


class Wire:
    """One end. Any thread may send, one receives."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._sending = threading.Lock()

    def send(self, message: Call | Answer, data: bytes | memoryview = b"") -> None:
        """Send a record and the bytes behind it. Raises `OSError` once the other end is gone."""
        record = _encoder.encode(message)
        with self._sending:
            self._socket.sendall(_LENGTHS.pack(len(record), len(data)) + record)
            if data:
                self._socket.sendall(data)

    def receive(self, kind: type[Message]) -> tuple[Message, bytes] | None:
        """The next record and its bytes; None once the other end is gone."""
        lengths = self._exactly(_LENGTHS.size)
        if lengths is None:
            return None
        record_length, data_length = _LENGTHS.unpack(lengths)
        record, data = self._exactly(record_length), self._exactly(data_length)
        if record is None or data is None:
            return None
        return msgspec.msgpack.decode(record, type=kind), data

    def close(self) -> None:
        """Let the other end know that this one is gone."""
        self._socket.close()

    def _exactly(self, length: int) -> bytes | None:
        if not length:
            return b""
        try:
            data = self._socket.recv(length, socket.MSG_WAITALL)
            if len(data) == length:
                return data
            parts = bytearray(data)
            while data and len(parts) < length:
                data = self._socket.recv(length - len(parts), socket.MSG_WAITALL)
                parts += data
        except OSError:
            return None
        return bytes(parts) if len(parts) == length else None
