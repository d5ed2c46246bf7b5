"""Calls on transfers: /os-volume-transfer, and /volume-transfers, which offers more from 3.55 on."""

from collections.abc import Callable
from typing import Any

from breezeblock.api import listing
from breezeblock.api.call import Call
from breezeblock.api.listing import Filter, Listing, equals, named
from breezeblock.api.schemas.fields import flag, trimmed
from breezeblock.api.schemas.transfers import TransferAccept, TransferCreate, TransferCreateWithSnapshots
from breezeblock.api.views import transfers as view
from breezeblock.db import tables, transfers
from breezeblock.model.transfer import Transfer
from breezeblock.services import transfers as services

PAGED = 59
ENCRYPTED = 70

LISTING = Listing(
    noun="Transfer",
    table=tables.transfers,
    filters={
        "id": Filter(make=equals),
        "name": Filter(make=named),
        "display_name": Filter(make=named, column="name"),
        "volume_id": Filter(make=equals),
        "source_project_id": Filter(make=equals, column="project_id"),
    },
    sort_keys=frozenset("id name display_name volume_id created_at".split()),
    renamed={"display_name": "name"},
)


def create_old(call: Call) -> Any:
    """POST /os-volume-transfer: with the snapshots; never of an encrypted volume."""
    return _create(call, no_snapshots=False, allow_encrypted=False)


def create(call: Call) -> Any:
    """POST /volume-transfers; of an encrypted volume from 3.70 on."""
    body: TransferCreate = call.body.content
    alone = isinstance(body, TransferCreateWithSnapshots) and flag(body.no_snapshots, "no_snapshots")
    return _create(call, no_snapshots=alone, allow_encrypted=call.version >= ENCRYPTED)


def _create(call: Call, *, no_snapshots: bool, allow_encrypted: bool) -> Any:
    body: TransferCreate = call.body.content
    offer = services.create_transfer(
        call.database,
        call.settings,
        call.context,
        volume_id=body.volume_id,
        name=trimmed(body.name),
        no_snapshots=no_snapshots,
        allow_encrypted=allow_encrypted,
    )
    return {"transfer": {**view.detail(call, offer.transfer), "auth_key": offer.auth_key}}


def accept(call: Call) -> Any:
    """POST …/{id}/accept, by a member of whatever project."""
    body: TransferAccept = call.body.content
    taken = services.accept_transfer(call.database, call.settings, call.context, call.id, str(body.auth_key))
    return {"transfer": view.summary(call, taken)}


def show(call: Call) -> Any:
    """GET …/{id}."""
    with call.database.read() as connection:
        return {"transfer": view.detail(call, transfers.get(connection, call.id, call.context.own_project))}


def delete(call: Call) -> None:
    """DELETE …/{id}."""
    services.delete_transfer(call.database, call.context, call.id)


def summaries(call: Call) -> Any:
    """GET …: the oldest first before 3.59."""
    return _list(call, "", view.summary)


def details(call: Call) -> Any:
    """GET …/detail."""
    return _list(call, "/detail", view.detail)


def _list(call: Call, tail: str, show_one: Callable[[Call, Transfer], dict[str, Any]]) -> Any:
    if call.version < PAGED:
        call.query = {key: value for key, value in call.query.items() if not key.startswith("sort")}
        call.query["sort"] = "created_at:asc"
    page = listing.page(call, LISTING, view.COLUMNS, f"os-volume-transfer{tail}")
    beside = {key.replace("os-volume-transfer", "transfers"): value for key, value in page.beside.items()}
    return {"transfers": [show_one(call, Transfer(**row._mapping)) for row in page.rows], **beside}
