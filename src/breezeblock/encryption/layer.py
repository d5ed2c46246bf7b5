"""Encrypts what fills a volume, and decrypts what is read of one, on its way: nothing of it lies anywhere in plain.

QEMU's own LUKS driver does it, in a process of its own between two sockets: a fill writes to one, and what comes out of
the other is written to the volume. The process opens no file, sees no network, and gets the passphrase by a file in
memory. Measured against AES-XTS by the cryptography package within this process, which needs a call for every 512
bytes: two to three times faster, and it does not hold the interpreter's lock meanwhile.
"""

import os
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from breezeblock import commands
from breezeblock.commands import Limits
from breezeblock.drivers.contract import BlockSource, BlockTarget, Extent
from breezeblock.encryption.luks import HEADER_BYTES, SECTOR
from breezeblock.errors import DriverError
from breezeblock.exports.client import MOST_BYTES, NbdWriter
from breezeblock.images.nbd_reader import NbdReader
from breezeblock.images.nbd_server import Export, NbdServer

_CPU_BYTES = 8 << 20
"""Bytes encrypted in a second of the slowest CPU."""
_EXPORT = "plain"


class EncryptingTarget:
    """A `BlockTarget` that is the inside of a LUKS container. Ranges never written are made zeros by `finish`:
    unlike a plain volume's, a hole of a container reads as noise."""

    uri = ""
    kept: bytes | None = None

    def __init__(self, writer: NbdWriter, failure: Callable[[OSError], BaseException]) -> None:
        self.size = writer.size
        self._writer = writer
        self._failure = failure
        self._written: list[tuple[int, int]] = []
        self._partial: dict[int, bytearray] = {}

    def pwrite(self, data: bytes | memoryview, offset: int) -> None:
        """Write all of `data`. What the storage raises is raised by this call or a later one, or by `finish`."""
        view = memoryview(data).cast("B")
        if offset < 0 or offset + len(view) > self.size:
            raise DriverError(f"Bytes {offset} to {offset + len(view)} are outside of a volume of {self.size} bytes.")
        before = min(-offset % SECTOR, len(view))
        after = (len(view) - before) % SECTOR
        if before:
            self._patch(view[:before], offset)
        if after:
            self._patch(view[len(view) - after :], offset + len(view) - after)
        if whole := view[before : len(view) - after]:
            with self._errors():
                self._writer.write(whole, offset + before)
            self._note(offset + before, offset + len(view) - after)

    def keep(self, note: bytes) -> None:
        """Keeps nothing: a fill that was killed begins anew."""

    def finish(self, end: int, wait: Callable[[int], None] = lambda size: None) -> None:
        """Write the sectors that were written in part, and zeros wherever nothing was, up to the byte `end`.

        `wait(bytes)` goes before each MiB of zeros, and may raise.
        """
        with self._errors():
            for sector, data in self._partial.items():
                self._writer.write(bytes(data), sector * SECTOR)
                self._note(sector * SECTOR, (sector + 1) * SECTOR)
            reached = 0
            for start, stop in [*sorted(self._written), (-(-end // SECTOR) * SECTOR,) * 2]:
                for at in range(reached, start, MOST_BYTES):
                    wait(min(MOST_BYTES, start - at))
                    self._writer.zero(at, min(MOST_BYTES, start - at))
                reached = max(reached, stop)
            self._writer.finish()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._failure(error) from error

    def _patch(self, data: memoryview, offset: int) -> None:
        sector, within = divmod(offset, SECTOR)
        self._partial.setdefault(sector, bytearray(SECTOR))[within : within + len(data)] = data

    def _note(self, start: int, stop: int) -> None:
        if self._written and self._written[-1][1] == start:
            start = self._written.pop()[0]
        self._written.append((start, stop))


class _Container:
    """The volume, as the encrypting process reads its header and writes everything else."""

    writable = True

    def __init__(self, target: BlockTarget, header: bytes) -> None:
        self.size = target.size
        self._target = target
        self._header = header

    def pread(self, length: int, offset: int) -> bytes:
        return self._header[offset : offset + length].ljust(length, b"\0")

    def pwrite(self, data: bytes | memoryview, offset: int) -> None:
        if offset < HEADER_BYTES:
            raise DriverError("The process that encrypts a volume tried to change its header.")
        self._target.pwrite(data, offset)


@contextmanager
def encrypting(target: BlockTarget, header: bytes, passphrase: str) -> Iterator[EncryptingTarget]:
    """The inside of the container that `target` becomes: `header` is written to it, and what is written inside encrypted.

    The caller ends with `finish`. Raises what `target.pwrite` raises, `DriverError` where the encrypting process fails.
    """
    target.pwrite(header, 0)
    with _layer(_Container(target, header), passphrase) as (inside, failure):
        try:
            writer = NbdWriter(inside, _EXPORT)
        except OSError as error:
            raise failure(error) from error
        yield EncryptingTarget(writer, failure)


class DecryptedSource:
    """A `BlockSource` that is the inside of a LUKS container. What was never written there reads as zeros, not as noise."""

    def __init__(self, reader: NbdReader, extents: list[Extent], failure: Callable[[OSError], BaseException]) -> None:
        self.size = reader.size
        self._reader = reader
        self._extents = extents
        self._failure = failure

    def extents(self) -> Iterator[Extent]:
        """The whole of it in order, as runs of data and of what was never written."""
        for extent in self._extents:
            start, end = max(extent.offset, HEADER_BYTES), extent.offset + extent.length
            if start < end:
                yield Extent(start - HEADER_BYTES, end - start, data=extent.data)

    def pread(self, length: int, offset: int) -> bytes:
        """Exactly `length` bytes, less only at the end. Raises what the container raises, `DriverError`."""
        try:
            return self._reader.pread(length, offset)
        except OSError as error:
            raise self._failure(error) from error


class _ReadContainer:
    """A container that is read: by this process before, and by the decrypting one from then on."""

    writable = False

    def __init__(self, source: BlockSource) -> None:
        self.size = source.size
        self._source = source
        self._lock = threading.Lock()

    def pread(self, length: int, offset: int) -> bytes:
        with self._lock:
            return self._source.pread(length, offset)

    def pwrite(self, data: bytes | memoryview, offset: int) -> None:
        raise DriverError("The process that decrypts a volume tried to change it.")


@contextmanager
def decrypting(source: BlockSource, passphrase: str) -> Iterator[DecryptedSource]:
    """The inside of the container `source`, which nobody else reads meanwhile.

    Raises what `source` raises, `DriverError` where the passphrase does not open it or the decrypting process fails.
    """
    extents = list(source.extents())
    with _layer(_ReadContainer(source), passphrase) as (inside, failure):
        try:
            reader = NbdReader(inside, _EXPORT)
        except OSError as error:
            raise failure(error) from error
        yield DecryptedSource(reader, extents, failure)


@contextmanager
def _layer(container: Export, passphrase: str) -> Iterator[tuple[socket.socket, Callable[[OSError], BaseException]]]:
    """A connection to the inside of a container, and what tells the real reason of an error there."""
    with ExitStack() as stack:
        outside = stack.enter_context(NbdServer(container))
        secret = stack.enter_context(_in_memory(passphrase))
        inside, listener = _connected()
        stack.enter_context(inside)
        with listener:
            fds = (outside.client.fileno(), listener.fileno(), secret)
            limits = Limits(cpu_seconds=60 + container.size // _CPU_BYTES, file_size=0)
            argv = _argv(*fds, writable=container.writable)
            last_words = stack.enter_context(commands.running(argv, limits=limits, pass_fds=fds))

        def failure(error: OSError) -> BaseException:
            """The storage's own error, if that is what it was."""
            return outside.failure or DriverError(f"What encrypts the volume failed: {error}. {last_words()}".strip())

        yield inside, failure


def _argv(outside: int, listener: int, secret: int, *, writable: bool) -> list[str]:
    program = commands.find("qemu-storage-daemon", "qemu-system-common")
    mode = "read-only=off" if writable else "read-only=on"
    return [
        program,
        *("--object", f"secret,id=key,file=/dev/fd/{secret}"),
        *("--blockdev", f"driver=nbd,node-name=container,{mode},server.type=fd,server.str={outside}"),
        *("--blockdev", f"driver=luks,node-name=inside,{mode},key-secret=key,file=container"),
        *("--nbd-server", f"addr.type=fd,addr.str={listener}"),
        *("--export", f"type=nbd,id=export,node-name=inside,name={_EXPORT},writable={'on' if writable else 'off'}"),
    ]


@contextmanager
def _in_memory(passphrase: str) -> Iterator[int]:
    """A file that is nowhere but in memory; every user may open it who has its descriptor."""
    fd = os.memfd_create("secret", os.MFD_CLOEXEC)
    try:
        os.write(fd, passphrase.encode())
        yield fd
    finally:
        os.close(fd)


def _connected() -> tuple[socket.socket, socket.socket]:
    """A connection that waits to be accepted, and the socket that accepts it; nobody else can connect."""
    with tempfile.TemporaryDirectory() as directory:
        path = str(Path(directory) / "socket")
        listener, client = (socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) for _ in range(2))
        listener.bind(path)
        listener.listen(1)
        client.connect(path)
    return client, listener
