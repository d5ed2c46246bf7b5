"""Clients that keep a connected volume open, so that the rules can look at several of them at once."""

import os
import socket
import struct
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Protocol
from urllib.parse import parse_qs, urlsplit

import pytest

from breezeblock import commands
from breezeblock.drivers.conformance.storage import Content, for_qemu, is_for_qemu
from breezeblock.drivers.contract import ConnectionInfo
from breezeblock.exports.client import MOST_BYTES, NbdConnection

_READ, _WRITE, _FLUSH, _DISCONNECT = 0, 1, 3, 2
_START_SECONDS = 60.0


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
        with _open_export(parse_qs(uri.query)["socket"][0], uri.path.removeprefix("/")) as client:
            yield client
    elif is_for_qemu(connection):
        with for_qemu(connection) as image, _open_by_qemu(image) as client:
            yield client
    elif isinstance(path, str):
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            yield FileClient(fd)
        finally:
            os.close(fd)
    else:
        pytest.skip(f"A connection of type {connection['driver_volume_type']} cannot be opened here.")


@contextmanager
def _open_export(path: str, export: str) -> Iterator[NbdClient]:
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as there:
        there.connect(path)
        client = NbdClient(there, export)
        yield client
        client.hang_up()


@contextmanager
def _open_by_qemu(image: list[str]) -> Iterator[NbdClient]:
    """A qemu-nbd that has the image open as a guest's QEMU does whose disk several share: with no cache of its own."""
    with tempfile.TemporaryDirectory(prefix="qemu-client-", dir="/tmp") as directory:
        path = Path(directory, "nbd")
        program = commands.find("qemu-nbd", "qemu-utils")
        argv = [program, "--socket", str(path), "--cache", "none", "--export-name", "volume", *image]
        process = commands.start_beside(argv, ())
        try:
            deadline = time.monotonic() + _START_SECONDS
            while not path.is_socket():
                assert process.poll() is None, (
                    f"qemu-nbd cannot open {image[-1]}; its reason is in what the test printed."
                )
                assert time.monotonic() < deadline, f"qemu-nbd does not serve {image[-1]}."
                time.sleep(0.02)
            with _open_export(str(path), "volume") as client:
                yield client
        finally:
            process.terminate()  # in good order: who is killed stays a watcher of the image for a while
            process.wait(_START_SECONDS)
