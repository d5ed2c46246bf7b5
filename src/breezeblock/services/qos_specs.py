"""Use cases of QoS specs: make, change, delete, say for which types they hold (administrators)."""

import uuid
from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breezeblock.db import qos_specs, tables, volume_types
from breezeblock.db.connect import Database
from breezeblock.errors import InvalidInput, InvalidState, NotFound
from breezeblock.model import clock
from breezeblock.model.qos_specs import CONSUMERS, QosSpecs
from breezeblock.model.volume_type import VolumeType
from breezeblock.services.volume_types import of_id

Specs = dict[str, str | None]


def create_specs(database: Database, *, name: str, specs: Specs) -> QosSpecs:
    """Make QoS specs; `consumer` among the specs says who obeys them. Raises `InvalidInput`, `Conflict`."""
    consumer, rest = _split(specs)
    made = QosSpecs(
        id=str(uuid.uuid4()), name=name, consumer=consumer or CONSUMERS[0], specs=rest, created_at=clock.now()
    )
    with database.begin() as connection:
        qos_specs.insert(connection, made)
    return made


def update_specs(database: Database, specs_id: str, specs: Specs) -> None:
    """Add specs, or change their values. Raises `NotFound`, `InvalidInput`."""
    with database.begin() as connection:
        before = _locked(connection, specs_id)
        consumer, rest = _split(specs)
        qos_specs.update(connection, specs_id, specs=before.specs | rest, consumer=consumer or before.consumer)


def delete_keys(database: Database, specs_id: str, keys: Sequence[str]) -> None:
    """Remove specs, all or none. Raises `NotFound` for one that is not there."""
    with database.begin() as connection:
        specs = _locked(connection, specs_id).specs
        for key in keys:
            if key not in specs:
                raise NotFound(f"QoS spec {specs_id} has no spec with key {key}.")
        kept = {key: value for key, value in specs.items() if key not in keys}
        qos_specs.update(connection, specs_id, specs=kept)


def delete_specs(database: Database, specs_id: str, force: bool) -> None:
    """Delete QoS specs. Raises `NotFound`, `InvalidState` while they hold for a type, unless `force`."""
    with database.begin() as connection:
        _locked(connection, specs_id)
        if not force and volume_types.of_qos_specs(connection, specs_id):
            raise InvalidState("Qos specs still in use.")
        qos_specs.remove(connection, specs_id)


def associations(database: Database, specs_id: str) -> list[VolumeType]:
    """The types that QoS specs hold for. Raises `NotFound`."""
    with database.read() as connection:
        qos_specs.get(connection, specs_id)
        return volume_types.of_qos_specs(connection, specs_id)


def associate(database: Database, specs_id: str, type_id: str) -> None:
    """Let QoS specs hold for a type. Raises `NotFound`, `InvalidInput` where others do."""
    with database.begin() as connection:
        _locked(connection, specs_id)
        held = of_id(connection, type_id).qos_specs_id
        if held is not None and held != specs_id:
            raise InvalidInput(
                f"Invalid volume type: Type {type_id} is already associated with another qos specs: {held}"
            )
        qos_specs.associate(connection, specs_id, type_id)


def disassociate(database: Database, specs_id: str, type_id: str) -> None:
    """Let QoS specs hold no more for a type. Raises `NotFound`."""
    with database.begin() as connection:
        _locked(connection, specs_id)
        of_id(connection, type_id)
        qos_specs.disassociate(connection, specs_id, type_id)


def disassociate_all(database: Database, specs_id: str) -> None:
    """Let QoS specs hold for no type. Raises `NotFound`."""
    with database.begin() as connection:
        _locked(connection, specs_id)
        qos_specs.disassociate(connection, specs_id)


def _split(specs: Specs) -> tuple[str | None, Specs]:
    """The consumer, and the specs beside it. Raises `InvalidInput` for a consumer that there is not."""
    consumer = specs.get("consumer")
    if consumer is not None and consumer not in CONSUMERS:
        raise InvalidInput(f"Invalid qos specs: Valid consumer of QoS specs are: {list(CONSUMERS)}")
    return consumer, {key: value for key, value in specs.items() if key != "consumer"}


def _locked(connection: Connection, specs_id: str) -> QosSpecs:
    """The specs, their row locked until the transaction ends. Raises `NotFound`."""
    table = tables.qos_specs
    connection.execute(sa.select(table.c.id).where(table.c.id == specs_id).with_for_update())
    return qos_specs.get(connection, specs_id)
