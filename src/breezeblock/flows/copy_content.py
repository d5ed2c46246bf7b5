"""One pass over what a volume or snapshot holds, into another volume: holes stay holes, and a killed pass goes on."""

import time

from breezeblock import killpoints
from breezeblock.drivers.contract import BlockSource, BlockTarget, Extent, Fill
from breezeblock.flows.engine import Flow

PIECE_BYTES = 4 << 20
KEEP_SECONDS = 2.0


def filling_from(flow: Flow, source: BlockSource) -> Fill:
    """Writes what `source` holds, which nobody changes. The note it keeps is the byte up to which that is done."""

    def fill(target: BlockTarget) -> None:
        begin = int(target.kept or 0)
        extents = [extent for extent in source.extents() if extent.data]
        total, done = sum(extent.length for extent in extents), 0
        kept_at = time.monotonic()
        for offset, length in _pieces(extents):
            if offset + length > begin:
                flow.pace(length)
                target.pwrite(source.pread(length, offset), offset)
            done += length
            flow.progress(done, total)
            if time.monotonic() - kept_at >= KEEP_SECONDS:
                target.keep(str(offset + length).encode())
                kept_at = time.monotonic()
            killpoints.reached("between_pieces")

    return fill


def _pieces(extents: list[Extent]) -> list[tuple[int, int]]:
    """`(offset, length)` of what is written at once."""
    return [
        (offset, min(PIECE_BYTES, extent.offset + extent.length - offset))
        for extent in extents
        for offset in range(extent.offset, extent.offset + extent.length, PIECE_BYTES)
    ]
