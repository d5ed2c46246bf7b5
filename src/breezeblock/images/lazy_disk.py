"""The disk of an image that is still on its way to the storage, for those who read it already."""

import threading
import time
from typing import Protocol

from breezeblock.drivers.contract import ReadableTarget
from breezeblock.errors import DriverError, ImageUnacceptable, ServiceUnavailable

WAIT_SECONDS = 60.0
"""How long a read waits for an image service that is away, before it fails."""
RETRY_SECONDS = 0.5
GRAIN = 64 << 10
SECTOR = 512


class Reader(Protocol):
    """The disk inside the image, such as `ImageDisk`."""

    def pread(self, length: int, offset: int) -> bytes:
        """Exactly `length` bytes. Raises what the image service answers."""


class LazyDisk:
    """What has come is read where it lies, the rest is fetched. An `Export` of the NBD listener, for many threads.

    There is none of the image to be read from before `fetch_from`, as after a restart; reads wait for it.
    """

    writable = False

    def __init__(self, size: int) -> None:
        # qemu counts in sectors, and an image may end within one
        self.size = -(-size // SECTOR) * SECTOR
        self._end = size
        self._changed = threading.Condition()
        self._reader: Reader | None = None
        self._landed: Landing | None = None
        self._closed = False

    def fetch_from(self, reader: Reader) -> None:
        """From now on what is missing is read of `reader`."""
        with self._changed:
            self._reader = reader
            self._changed.notify_all()

    def follow(self, first: "LazyDisk") -> None:
        """From now on what is missing is read as another disk of the same image reads it: what came there is not fetched
        again."""
        self.fetch_from(_Now(first))

    def land_on(self, landing: "Landing | None") -> None:
        """What was written to `landing` is read from there."""
        with self._changed:
            self._landed = landing

    def close(self) -> None:
        """Let reads that wait fail at once; the service stops."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def pread(self, length: int, offset: int) -> bytes:
        """Exactly `length` bytes. Waits for a source that is away; raises its last error after `WAIT_SECONDS`."""
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                return self._read(length, offset)
            except ImageUnacceptable:
                raise
            except Exception:  # whatever it is, it may pass; the last one is raised
                with self._changed:
                    if self._closed or time.monotonic() > deadline:
                        raise
                    self._changed.wait(RETRY_SECONDS)

    def pwrite(self, data: bytes | memoryview, offset: int) -> None:
        """Never."""
        raise PermissionError("an image is never written")

    def _read(self, length: int, offset: int) -> bytes:
        inside = min(offset + length, self._end) - offset
        landing, reader = self._landed, self._reader
        if landing is not None and landing.has(inside, offset):
            try:
                return landing.pread(inside, offset) + bytes(length - inside)
            except DriverError:
                pass  # it was closed in this moment; the image has it still
        if reader is None:
            raise ServiceUnavailable("The image has not been opened yet.")
        data = reader.pread(inside, offset)
        return data + bytes(length - inside)


class _Now:
    """A disk read without waiting for its source: whoever reads through this waits already."""

    def __init__(self, disk: LazyDisk) -> None:
        self.pread = disk._read


class Landing:
    """A `BlockTarget` that notes what of the disk has come, in grains of 64 KiB that were written as a whole."""

    def __init__(self, target: ReadableTarget, size: int) -> None:
        self.size = target.size
        self.uri = target.uri
        self.kept = target.kept
        self._target = target
        self._end = size
        self._come = bytearray(-(-size // GRAIN))

    def pwrite(self, data: bytes | memoryview, offset: int) -> None:
        """Write all of `data`, then let it be read."""
        self._target.pwrite(data, offset)
        end = offset + len(data)
        first, last = -(-offset // GRAIN), (end if end < self._end else self._end + GRAIN - 1) // GRAIN
        if last > first:
            self._come[first:last] = b"\1" * (last - first)

    def keep(self, note: bytes) -> None:
        """As the storage does."""
        self._target.keep(note)

    def has(self, length: int, offset: int) -> bool:
        """Whether all of it has come."""
        grains = self._come[offset // GRAIN : -(-(offset + length) // GRAIN)]
        return length > 0 and grains.count(1) == len(grains)

    def pread(self, length: int, offset: int) -> bytes:
        """What was written. Raises `DriverError` once the storage has closed it."""
        return self._target.pread(length, offset)
