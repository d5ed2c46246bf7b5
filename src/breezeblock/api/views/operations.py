"""How far operations are: what their rows say, and what follows from that."""

from typing import NotRequired, TypedDict

import msgspec

from breezeblock.api.shapes import Counted, Link
from breezeblock.model.operation import Operation


class Progress(TypedDict):
    """Bytes done and in all, bytes a second, and the seconds that are left at this rate where that can be told."""

    bytes_done: int
    bytes_total: int | None
    rate: float | None
    seconds_left: float | None


class OperationShown(Operation, frozen=True, kw_only=True):
    """An operation: its row, and the seconds that are left."""

    seconds_left: float | None


class OneOperation(TypedDict):
    """An operation."""

    operation: OperationShown


class Operations(Counted):
    """Operations."""

    operations: list[OperationShown]
    operations_links: NotRequired[list[Link]]


def shown(operation: Operation, awaited: Operation | None = None) -> OperationShown:
    """An operation as it is told. One that waits for another is as far as that one is."""
    fields = msgspec.structs.asdict(operation)
    return OperationShown(**fields | progress(operation if awaited is None else awaited))  # type: ignore[arg-type]


def progress(operation: Operation) -> Progress:
    """How far it is."""
    return {
        "bytes_done": operation.bytes_done,
        "bytes_total": operation.bytes_total,
        "rate": operation.rate,
        "seconds_left": seconds_left(operation),
    }


def seconds_left(operation: Operation) -> float | None:
    """Seconds until all bytes are done, at the present rate; None where it is not known, or nothing runs."""
    if operation.bytes_total is None or not operation.rate or operation.state not in {"queued", "running"}:
        return None
    return round(max(0, operation.bytes_total - operation.bytes_done) / operation.rate, 1)
