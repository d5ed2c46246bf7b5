"""Calls on transfers: /os-volume-transfer, and /volume-transfers, which offers more from 3.55 on."""

from breezeblock.api import listing
from breezeblock.api.call import Call
from breezeblock.api.listing import Filter, Listing, Page, equals, named
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
    links="transfers_links",
)


def create_old(call: Call) -> view.NewTransfer:
    """POST /os-volume-transfer: with the snapshots; never of an encrypted volume."""
    return _create(call, no_snapshots=False, allow_encrypted=False)


def create(call: Call) -> view.NewTransfer:
    """POST /volume-transfers; of an encrypted volume from 3.70 on."""
    body: TransferCreate = call.body.content
    alone = isinstance(body, TransferCreateWithSnapshots) and flag(body.no_snapshots, "no_snapshots")
    return _create(call, no_snapshots=alone, allow_encrypted=call.version >= ENCRYPTED)


def _create(call: Call, *, no_snapshots: bool, allow_encrypted: bool) -> view.NewTransfer:
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


def accept(call: Call) -> view.AcceptedTransfer:
    """POST …/{id}/accept, by a member of whatever project."""
    body: TransferAccept = call.body.content
    taken = services.accept_transfer(call.database, call.settings, call.context, call.id, str(body.auth_key))
    return {"transfer": view.summary(call, taken)}


def show(call: Call) -> view.OneTransfer:
    """GET …/{id}."""
    with call.database.read() as connection:
        return {"transfer": view.detail(call, transfers.get(connection, call.id, call.context.own_project))}


def delete(call: Call) -> None:
    """DELETE …/{id}."""
    services.delete_transfer(call.database, call.context, call.id)


def summaries(call: Call) -> view.TransferSummaries:
    """GET …: the oldest first before 3.59."""
    page = _page(call, "")
    shown = [view.summary(call, Transfer(**row._mapping)) for row in page.rows]
    return page.whole(view.TransferSummaries(transfers=shown))


def details(call: Call) -> view.TransferDetails:
    """GET …/detail."""
    page = _page(call, "/detail")
    shown = [view.detail(call, Transfer(**row._mapping)) for row in page.rows]
    return page.whole(view.TransferDetails(transfers=shown))


def _page(call: Call, tail: str) -> Page:
    if call.version < PAGED:
        call.query = {key: value for key, value in call.query.items() if not key.startswith("sort")}
        call.query["sort"] = "created_at:asc"
    return listing.page(call, LISTING, view.COLUMNS, f"os-volume-transfer{tail}")
