"""Calls on QoS specs."""

from typing import NotRequired, TypedDict

from breezeblock.api import listing
from breezeblock.api.call import Call
from breezeblock.api.listing import Filter, Listing, equals
from breezeblock.api.schemas.qos_specs import Keys
from breezeblock.api.shapes import Counted, Link
from breezeblock.db import qos_specs, tables
from breezeblock.errors import InvalidInput
from breezeblock.model.qos_specs import QosSpecs
from breezeblock.services import qos_specs as services

LISTING = Listing(
    noun="QoS specs",
    table=tables.qos_specs,
    filters={name: Filter(make=equals) for name in ("id", "name", "consumer")},
    sort_keys=frozenset("id name consumer created_at updated_at".split()),
    links="qos_specs_links",
)


class QosSpecsShown(TypedDict):
    """QoS specs."""

    id: str
    name: str
    consumer: str
    specs: dict[str, str | None]


class OneQosSpecs(TypedDict):
    """QoS specs and where they lie."""

    qos_specs: QosSpecsShown
    links: list[Link]


class ManyQosSpecs(Counted):
    """All QoS specs."""

    qos_specs: list[QosSpecsShown]
    qos_specs_links: NotRequired[list[Link]]


class ChangedQosSpecs(TypedDict):
    """What was set."""

    qos_specs: dict[str, str | None]


class QosAssociation(TypedDict):
    """A volume type that has these specs."""

    association_type: str
    name: str
    id: str


class QosAssociations(TypedDict):
    """The volume types that have these specs."""

    qos_associations: list[QosAssociation]


def create(call: Call) -> OneQosSpecs:
    """POST /qos-specs."""
    asked: dict[str, str | None] = dict(call.body.content)
    name = (asked.pop("name", None) or "").strip()
    if not name:
        raise InvalidInput("The 'name' can not be empty.")
    return _detail(call, services.create_specs(call.database, name=name, specs=asked))


def index(call: Call) -> ManyQosSpecs:
    """GET /qos-specs."""
    page = listing.page(call, LISTING, tuple(tables.qos_specs.columns), "qos-specs")
    return page.whole(ManyQosSpecs(qos_specs=[_shown(QosSpecs(**row._mapping)) for row in page.rows]))


def show(call: Call) -> OneQosSpecs:
    """GET /qos-specs/{id}."""
    with call.database.read() as connection:
        return _detail(call, qos_specs.get(connection, call.id))


def update(call: Call) -> ChangedQosSpecs:
    """PUT /qos-specs/{id}."""
    services.update_specs(call.database, call.id, call.body.content)
    return {"qos_specs": call.body.content}


def delete(call: Call) -> None:
    """DELETE /qos-specs/{id}?force=."""
    services.delete_specs(call.database, call.id, call.flag("force"))


def delete_keys(call: Call) -> None:
    """PUT /qos-specs/{id}/delete_keys."""
    body: Keys = call.body
    if len(set(body.keys)) != len(body.keys):
        raise InvalidInput(f"Invalid input for field/attribute keys. Value: {body.keys}. It has non-unique elements.")
    services.delete_keys(call.database, call.id, body.keys)


def associations(call: Call) -> QosAssociations:
    """GET /qos-specs/{id}/associations."""
    found = services.associations(call.database, call.id)
    shown: list[QosAssociation] = [{"association_type": "volume_type", "name": one.name, "id": one.id} for one in found]
    return {"qos_associations": shown}


def associate(call: Call) -> None:
    """GET /qos-specs/{id}/associate?vol_type_id=."""
    services.associate(call.database, call.id, _type_id(call))


def disassociate(call: Call) -> None:
    """GET /qos-specs/{id}/disassociate?vol_type_id=."""
    services.disassociate(call.database, call.id, _type_id(call))


def disassociate_all(call: Call) -> None:
    """GET /qos-specs/{id}/disassociate_all."""
    services.disassociate_all(call.database, call.id)


def _type_id(call: Call) -> str:
    type_id = call.query.get("vol_type_id")
    if not type_id:
        raise InvalidInput("Volume Type id must not be None.")
    return type_id


def _shown(specs: QosSpecs) -> QosSpecsShown:
    """As Cinder shows them (`api/views/qos_specs.py`)."""
    return {"id": specs.id, "name": specs.name, "consumer": specs.consumer, "specs": specs.specs}


def _detail(call: Call, specs: QosSpecs) -> OneQosSpecs:
    return {"qos_specs": _shown(specs), "links": call.links.of("qos-specs", specs.id)}
