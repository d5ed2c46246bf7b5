"""What a transfer looks like, by microversion (Cinder: `api/views/transfers.py`)."""

from typing import Annotated, NotRequired, TypedDict

from breezeblock.api.call import Call
from breezeblock.api.shapes import Counted, Link, Time, since
from breezeblock.db import tables
from breezeblock.model.transfer import Transfer

COLUMNS = tuple(tables.transfers.c)

WITH_SNAPSHOTS = 55
WITH_HISTORY = 57


class TransferSummary(TypedDict):
    """A transfer in the short list."""

    id: str
    volume_id: str
    name: str | None
    links: list[Link]


class TransferDetail(TransferSummary):
    """A transfer."""

    created_at: Time
    no_snapshots: NotRequired[Annotated[bool, since(WITH_SNAPSHOTS)]]
    source_project_id: NotRequired[Annotated[str, since(WITH_HISTORY)]]
    destination_project_id: NotRequired[Annotated[None, since(WITH_HISTORY)]]
    accepted: NotRequired[Annotated[bool, since(WITH_HISTORY)]]


class OfferedTransfer(TransferDetail):
    """A transfer as it is made: the key is told this once."""

    auth_key: str


class NewTransfer(TypedDict):
    """A transfer that was made."""

    transfer: OfferedTransfer


class OneTransfer(TypedDict):
    """A transfer."""

    transfer: TransferDetail


class AcceptedTransfer(TypedDict):
    """A transfer that was accepted."""

    transfer: TransferSummary


class TransferSummaries(Counted):
    """Transfers."""

    transfers: list[TransferSummary]
    transfers_links: NotRequired[list[Link]]


class TransferDetails(Counted):
    """Transfers, with all that is told of them."""

    transfers: list[TransferDetail]
    transfers_links: NotRequired[list[Link]]


def summary(call: Call, transfer: Transfer) -> TransferSummary:
    """A transfer in the short list."""
    return {
        "id": transfer.id,
        "volume_id": transfer.volume_id,
        "name": transfer.name,
        "links": call.links.of("os-volume-transfer", transfer.id),
    }


def detail(call: Call, transfer: Transfer) -> TransferDetail:
    """All that this version tells of a transfer. One that is there has not been accepted yet."""
    shown: TransferDetail = {
        "id": transfer.id,
        "created_at": transfer.created_at,
        "name": transfer.name,
        "volume_id": transfer.volume_id,
        "links": call.links.of("os-volume-transfer", transfer.id),
    }
    if call.version >= WITH_SNAPSHOTS:
        shown["no_snapshots"] = transfer.no_snapshots
    if call.version >= WITH_HISTORY:
        shown["source_project_id"] = transfer.project_id
        shown["destination_project_id"] = None
        shown["accepted"] = False
    return shown
