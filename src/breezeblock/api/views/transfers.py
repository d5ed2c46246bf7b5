"""What a transfer looks like, by microversion (Cinder: `api/views/transfers.py`)."""

from typing import Any

from breezeblock.api.call import Call
from breezeblock.db import tables
from breezeblock.model.transfer import Transfer

COLUMNS = tuple(tables.transfers.c)

WITH_SNAPSHOTS = 55
WITH_HISTORY = 57


def summary(call: Call, transfer: Transfer) -> dict[str, Any]:
    """A transfer in the short list."""
    return {
        "id": transfer.id,
        "volume_id": transfer.volume_id,
        "name": transfer.name,
        "links": call.links.of("os-volume-transfer", transfer.id),
    }


def detail(call: Call, transfer: Transfer) -> dict[str, Any]:
    """All that this version tells of a transfer. One that is there has not been accepted yet."""
    shown: dict[str, Any] = {"created_at": transfer.created_at, **summary(call, transfer)}
    if call.version >= WITH_SNAPSHOTS:
        shown["no_snapshots"] = transfer.no_snapshots
    if call.version >= WITH_HISTORY:
        shown |= {"source_project_id": transfer.project_id, "destination_project_id": None, "accepted": False}
    return shown
