"""Clients that keep a connected volume open, so that the rules can look at several of them at once."""

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Protocol
from urllib.parse import parse_qs, urlsplit

import pytest

from breezeblock.drivers.conformance.storage import Content
from breezeblock.drivers.contract import ConnectionInfo
from breezeblock.exports.client import MOST_BYTES, NbdConnection

_READ, _WRITE, _FLUSH, _DISCONNECT = 0, 1, 3, 2


class Client(Protocol):
    """Has a volume open."""

    def write(self, content: Content) -> None:
        """Write, and flush what was written."""

    def read(self, length: int, offset: int) -> bytes:
        """Exactly `length` bytes."""


class NbdClient(NbdConnection):
    """A client of an NBD export that waits for each answer."""

    def write(self, content: Content) -> None:
        """In requests of at most `MOST_BYTES`, and then a flush."""
        for offset, data in content.items():
            for start in range(0, len(data), MOST_BYTES):
                piece = data[start : start + MOST_BYTES]
                self._send(_WRITE, offset + start, len(piece))
                self._socket.sendall(piece)
                self._done()
        self._send(_FLUSH, 0, 0)
        self._done()

    def read(self, length: int, offset: int) -> bytes:
        """In one request."""
        self._send(_READ, offset, length)
        self._done()
        return self._exactly(length)

    def hang_up(self) -> None:
        """Say good-bye."""
        self._send(_DISCONNECT, 0, 0)

    def _done(self) -> None:
        _, error, _ = struct.unpack(">IIQ", self._exactly(16))
        if error:
            raise OSError(error, os.strerror(error))


class FileClient:
    """A client of a volume that is a file or device of this machine."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def write(self, content: Content) -> None:
        """By `pwrite` and `fsync`."""
        for offset, data in content.items():
            assert os.pwrite(self._fd, data, offset) == len(data)
        os.fsync(self._fd)

    def read(self, length: int, offset: int) -> bytes:
        """By `pread`."""
        return os.pread(self._fd, length, offset)


@contextmanager
def open_through(connection: ConnectionInfo) -> Iterator[Client]:
    """A client of a connection for as long as the block lasts. Skips the test for connections it cannot open."""
    data = connection["data"]
    uri = urlsplit(str(data.get("uri", "")))
    path = data.get("device_path")
    if uri.scheme == "nbd+unix":
        with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as there:
            there.connect(parse_qs(uri.query)["socket"][0])
            client = NbdClient(there, uri.path.removeprefix("/"))
            yield client
            client.hang_up()
    elif isinstance(path, str):
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            yield FileClient(fd)
        finally:
            os.close(fd)
    else:
        pytest.skip(f"A connection of type {connection['driver_volume_type']} cannot be opened here.")
