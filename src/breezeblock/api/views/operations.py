"""How far operations are: what their rows say, and what follows from that."""

from typing import Any

from breezeblock.model.operation import Operation

PROGRESS = ("bytes_done", "bytes_total", "rate")


def shown(operation: Operation, awaited: Operation | None = None) -> dict[str, Any]:
    """An operation as it is told. One that waits for another is as far as that one is."""
    fields = {name: getattr(operation, name) for name in operation.__struct_fields__}
    return fields | progress(operation if awaited is None else awaited)


def progress(operation: Operation) -> dict[str, Any]:
    """Bytes done and in all, bytes a second, and the seconds that are left at this rate where that can be told."""
    fields: dict[str, Any] = {name: getattr(operation, name) for name in PROGRESS}
    return fields | {"seconds_left": seconds_left(operation)}


def seconds_left(operation: Operation) -> float | None:
    """Seconds until all bytes are done, at the present rate; None where it is not known, or nothing runs."""
    if operation.bytes_total is None or not operation.rate or operation.state not in {"queued", "running"}:
        return None
    return round(max(0, operation.bytes_total - operation.bytes_done) / operation.rate, 1)
