"""Serves bytes to one program over a socket pair by the NBD protocol, so that the program needs no file at all.

A converter of hostile images runs as nobody in a sandbox. It could open neither an image nor a volume there, and giving
it either file would let a compromised one keep it. It gets two connected sockets instead: one that it may only read
the image from, one that it may only write the volume to. What it asks goes through here, so progress, cancelling and
a full storage are seen at once, and any `BlockTarget` can be written, be it a file or not.

The protocol: https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md, fixed newstyle.
"""

import errno
import socket
import struct
import threading
from collections.abc import Callable
from typing import Protocol

from breezeblock.errors import BackendOutOfSpace

MAX_REQUEST = 32 << 20

_MAGIC, _OPTION_MAGIC, _REPLY_MAGIC = 0x4E42444D41474943, 0x49484156454F5054, 0x3E889045565A9
_REQUEST_MAGIC, _SIMPLE_REPLY_MAGIC = 0x25609513, 0x67446698
_FIXED_NEWSTYLE_NO_ZEROES = 3
_OPT_EXPORT_NAME, _OPT_ABORT, _OPT_INFO, _OPT_GO = 1, 2, 6, 7
_REP_ACK, _REP_INFO, _REP_UNSUPPORTED, _REP_UNKNOWN = 1, 3, (1 << 31) + 1, (1 << 31) + 6
_READ, _WRITE, _DISCONNECT, _FLUSH, _TRIM, _ZEROES = 0, 1, 2, 3, 4, 6
_HAS_FLAGS, _READ_ONLY, _CAN_FLUSH, _CAN_TRIM, _CAN_ZEROES = 1, 2, 4, 32, 64


class Export(Protocol):
    """What is served. `size` is bytes; both verbs may raise, which ends the program's work."""

    size: int
    writable: bool

    def pread(self, length: int, offset: int) -> bytes:
        """Exactly `length` bytes from `offset`."""

    def pwrite(self, data: bytes | memoryview, offset: int) -> None:
        """Write all of `data`."""


Find = Callable[[str], Export | None]
"""The export of a name, or None."""


class NbdSession:
    """One client at one socket, from the greeting to the farewell; `find(name)` tells what export it gets.

    `failure` is what the export raised, if it did: the real reason why the program then failed.
    `opened` tells whether the program came as far as opening the export.
    `reached` is the end in bytes of what has been written, zeros included; a converter goes upward.
    """

    def __init__(self, server: socket.socket, find: Find, largest: int = MAX_REQUEST) -> None:
        self.failure: BaseException | None = None
        self.opened = False
        self.reached = 0
        self._server = server
        self._find = find
        self._largest = largest
        self._export: Export

    def serve(self) -> None:
        """Answer until the client ends; then, or after an error, it sees the end of the connection."""
        try:
            if self._negotiate():
                self.opened = True
                while self._answer():
                    pass
        except (ConnectionError, EOFError):
            pass  # the program ended; its exit code says how
        except Exception as error:
            self.failure = self.failure or error
        finally:
            # a program that waits for an answer sees the end
            self.shut()

    def shut(self) -> None:
        """End the connection, whoever waits at it."""
        try:
            self._server.shutdown(socket.SHUT_RDWR)
        except OSError as error:
            if error.errno not in {errno.ENOTCONN, errno.EBADF}:
                raise

    def _receive(self, length: int) -> memoryview:
        data, done = memoryview(bytearray(length)), 0
        while done < length:
            count = self._server.recv_into(data[done:])
            if not count:
                raise EOFError
            done += count
        return data

    @property
    def _flags(self) -> int:
        return _HAS_FLAGS | (_CAN_FLUSH | _CAN_TRIM | _CAN_ZEROES if self._export.writable else _READ_ONLY)

    def _negotiate(self) -> bool:
        self._server.sendall(struct.pack(">QQH", _MAGIC, _OPTION_MAGIC, _FIXED_NEWSTYLE_NO_ZEROES))
        (client_flags,) = struct.unpack(">I", self._receive(4))
        while True:
            magic, option, length = struct.unpack(">QII", self._receive(16))
            if magic != _OPTION_MAGIC or length > 4096:
                raise ConnectionError("not an NBD client")
            data = bytes(self._receive(length))
            if option in {_OPT_EXPORT_NAME, _OPT_GO, _OPT_INFO}:
                export = self._find(_export_name(option, data))
                if export is None:
                    if option == _OPT_EXPORT_NAME:
                        return False
                    self._reply_option(option, _REP_UNKNOWN)
                    continue
                self._export = export
            if option == _OPT_EXPORT_NAME:
                zeroes = b"" if client_flags & 2 else bytes(124)
                self._server.sendall(struct.pack(">QH", self._export.size, self._flags) + zeroes)
                return True
            if option in {_OPT_GO, _OPT_INFO}:
                info = struct.pack(">HQH", 0, self._export.size, self._flags)
                self._reply_option(option, _REP_INFO, info)
                # the largest request is told, so that nobody makes us hold more than that
                self._reply_option(option, _REP_INFO, struct.pack(">HIII", 3, 1, 4096, self._largest))
                self._reply_option(option, _REP_ACK)
                if option == _OPT_GO:
                    return True
            elif option == _OPT_ABORT:
                self._reply_option(option, _REP_ACK)
                return False
            else:
                self._reply_option(option, _REP_UNSUPPORTED)

    def _reply_option(self, option: int, kind: int, data: bytes = b"") -> None:
        self._server.sendall(struct.pack(">QIII", _REPLY_MAGIC, option, kind, len(data)) + data)

    def _answer(self) -> bool:
        magic, _flags, kind, handle, offset, length = struct.unpack(">IHHQQI", self._receive(28))
        if magic != _REQUEST_MAGIC:
            raise ConnectionError("not an NBD request")
        if kind == _DISCONNECT:
            return False
        if kind in {_READ, _WRITE} and length > self._largest:
            raise ConnectionError("an NBD request beyond the announced size")
        data = self._receive(length if kind == _WRITE else 0)
        self._handle(handle, kind, data, offset, length)
        return True

    def _handle(self, handle: int, kind: int, data: memoryview, offset: int, length: int) -> None:
        code, answer = self._do(kind, data, offset, length)
        self._reply(handle, code, answer)

    def _reply(self, handle: int, code: int, answer: bytes) -> None:
        self._server.sendall(struct.pack(">IIQ", _SIMPLE_REPLY_MAGIC, code, handle) + answer)

    def _do(self, kind: int, data: memoryview, offset: int, length: int) -> tuple[int, bytes]:
        """The error number and the bytes of the answer. What the export raises is kept as the reason."""
        if offset + length > self._export.size:
            return errno.EINVAL, b""
        try:
            if kind == _READ:
                return 0, self._export.pread(length, offset)
            if not self._export.writable:
                return errno.EPERM, b""
            if kind == _WRITE:
                self._export.pwrite(data, offset)
            elif kind not in {_FLUSH, _TRIM, _ZEROES}:
                return errno.EINVAL, b""
            self.reached = max(self.reached, offset + length)
            # a target reads as zeros before it is filled, and its driver makes it stable at the end
            return 0, b""
        except Exception as error:
            self.failure = self.failure or error
            return (errno.ENOSPC if isinstance(error, BackendOutOfSpace) else errno.EIO), b""


class NbdServer(NbdSession):
    """Serves one export, whatever name is asked for, to the program that is given `client`; a context manager."""

    def __init__(self, export: Export) -> None:
        self.client, server = socket.socketpair()
        super().__init__(server, lambda name: export)
        self._thread = threading.Thread(target=self.serve, name="nbd-server", daemon=True)

    def __enter__(self) -> "NbdServer":
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.client.close()
        self.shut()
        self._thread.join()
        self._server.close()


def _export_name(option: int, data: bytes) -> str:
    """The name that an option asks for; GO and INFO have its length before it."""
    if option == _OPT_EXPORT_NAME:
        return data.decode()
    if len(data) < 4:
        raise ConnectionError("not an NBD client")
    (length,) = struct.unpack_from(">I", data)
    return data[4 : 4 + length].decode()
