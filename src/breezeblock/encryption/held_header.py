"""A container that is copied as it is, but for its header, which is written anew when all of it is there."""

from breezeblock.drivers.contract import BlockTarget, Rewrite
from breezeblock.encryption.luks import HEADER_BYTES
from breezeblock.errors import ImageUnacceptable


class HeldHeader:
    """A `BlockTarget` that lets everything through to another but what is written to the header, until `finish`."""

    uri = ""
    kept: bytes | None = None

    def __init__(self, target: BlockTarget) -> None:
        """Raises `ImageUnacceptable` where `target` has no room for a header."""
        self.size = target.size
        self._target = target
        self._header = bytearray(HEADER_BYTES)
        if target.size < HEADER_BYTES:
            raise ImageUnacceptable(f"An encrypted volume has at least {HEADER_BYTES} bytes.")

    def pwrite(self, data: bytes | memoryview, offset: int) -> None:
        """Write all of `data`."""
        view = memoryview(data).cast("B")
        held = view[: max(0, HEADER_BYTES - offset)]
        self._header[offset : offset + len(held)] = held
        if len(held) < len(view):
            self._target.pwrite(view[len(held) :], offset + len(held))

    def keep(self, note: bytes) -> None:
        """Keeps nothing: a fill that was killed begins anew, for the header is in memory alone."""

    def finish(self, rewrite: Rewrite) -> None:
        """Write the header, rewritten."""
        self._target.pwrite(rewrite(bytes(self._header)), 0)
