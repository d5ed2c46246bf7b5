"""Turns an image file that passed the header gate into the bytes of a volume, by qemu-img in a sandbox.

qemu-img runs as nobody, without a network, with limits on memory and CPU, and can open no file of this service: image
and volume reach it as two sockets (`nbd_server`). Passing it the files' descriptors was tried first and does not work:
it opens a path, and opening /proc/self/fd/N checks the file's permissions again, which nobody does not have; running
it as root without capabilities would let it write every file that root owns.
"""

import os
from collections.abc import Callable

from breezeblock.commands import Limits, find, run
from breezeblock.drivers.contract import BlockTarget
from breezeblock.errors import CommandFailed, ImageUnacceptable
from breezeblock.images.inspect import ImageFacts
from breezeblock.images.nbd_server import NbdServer

LONGEST_SECONDS = 24 * 3600
_SLOWEST = 8 << 20
"""Bytes of disk a second that the slowest honest image gives on a slow core."""


class _ImageExport:
    writable = False

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._length = os.fstat(fd).st_size
        # qemu counts in sectors, and a file may end within one
        self.size = -(-self._length // 512) * 512

    def pread(self, length: int, offset: int) -> bytes:
        data = os.pread(self._fd, length, offset)
        return data + bytes(length - len(data))

    def pwrite(self, data: bytes | memoryview, offset: int) -> None:
        raise PermissionError("an image is never written")


class _TargetExport:
    writable = True

    def __init__(self, target: BlockTarget, size: int) -> None:
        self._target = target
        self.size = size

    def pread(self, length: int, offset: int) -> bytes:
        # a new volume reads as zeros, and the converter has no need to see what it wrote
        return bytes(length)

    def pwrite(self, data: bytes | memoryview, offset: int) -> None:
        self._target.pwrite(data, offset)


def convert(
    image_fd: int,
    facts: ImageFacts,
    target: BlockTarget,
    *,
    report: Callable[[int], None],
    limits: Limits | None = None,
) -> None:
    """Write the image's disk to `target`, which reads as zeros and keeps its holes; making it stable is the driver's.

    `report(bytes)` is called about five times a second with how far the disk is done; what it raises stops the work.

    Raises:
        ImageUnacceptable: qemu-img failed or was killed over this image.
        CommandFailed: qemu-img is missing or could not be started in its sandbox.
        Whatever `target.pwrite` or `report` raises.
    """
    qemu_img = find("qemu-img", "qemu-utils")
    if limits is None:
        limits = Limits(cpu_seconds=60 + facts.virtual_size // _SLOWEST, file_size=0)
    size = min(target.size, -(-facts.virtual_size // 512) * 512)
    with NbdServer(_ImageExport(image_fd)) as source, NbdServer(_TargetExport(target, size)) as sink:
        ends = (source.client.fileno(), sink.client.fileno())
        argv = [qemu_img, "convert", "-n", "-t", "writeback", "--image-opts", "--target-image-opts"]
        argv += [_node(facts.format, ends[0]), _node("raw", ends[1])]
        try:
            run(
                argv,
                timeout=LONGEST_SECONDS,
                limits=limits,
                pass_fds=ends,
                while_running=lambda: report(min(sink.reached, facts.virtual_size)),
            )
        except CommandFailed as error:
            if failure := sink.failure or source.failure:
                raise failure from error
            if not source.opened:
                raise
            raise ImageUnacceptable(f"The {facts.format} image is broken: {error.message}") from error
    report(facts.virtual_size)


def _node(driver: str, fd: int) -> str:
    """A block node of an explicit format over one of the sockets; qemu never guesses."""
    return f"driver={driver},file.driver=nbd,file.server.type=fd,file.server.str={fd}"
