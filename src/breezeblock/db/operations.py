"""Queries on operations, and the requests for flows that stand behind those that are not finished."""

import re
import uuid
import zlib
from collections.abc import Collection
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breezeblock.context import RequestContext
from breezeblock.db import records, tables, wake
from breezeblock.model import clock, flows
from breezeblock.model.backup import Backup
from breezeblock.model.group import Group
from breezeblock.model.group_snapshot import GroupSnapshot
from breezeblock.model.image import ImageKey
from breezeblock.model.operation import Answer, Operation
from breezeblock.model.snapshot import Snapshot
from breezeblock.model.storage_service import StorageService
from breezeblock.model.volume import Volume

_operations = tables.operations
_requests = tables.flow_requests
_awaited = tables.flow_requests.alias("awaited")
_checkpoints = tables.flow_checkpoints

_OF_SLOT = _requests.c.slot == sa.bindparam("slot")
_PENDING = sa.select(_requests).where(_OF_SLOT).order_by(_requests.c.created_at, _requests.c.id)
_WAITS = sa.select(
    _requests.c.id,
    _operations.c.cancel_requested,
    sa.exists().where(_awaited.c.id == _operations.c.waits_for).label("waiting"),
).where(_OF_SLOT, _operations.c.id == _requests.c.id, _operations.c.waiting.is_not(None))
_CHECKPOINT = _checkpoints.insert()
_TAKEN = sa.select(sa.func.count()).where(tables.slots.c.slot.like(sa.bindparam("slots"), escape="/"))
_COUNT = _TAKEN.scalar_subquery()
_NUMBER = sa.bindparam("family", type_=sa.BigInteger) % sa.case((_COUNT > 0, _COUNT), else_=1)
_SLOT = sa.bindparam("place", type_=sa.Text) + sa.cast(_NUMBER, sa.Text)
_REQUEST = _requests.insert().values(slot=_SLOT).returning(_requests.c.slot)
_END_REQUEST = sa.delete(_requests).where(_requests.c.id == sa.bindparam("flow_id"))

Resource = Volume | Snapshot | Backup | Group | GroupSnapshot
"""What an operation is about, and has a status. There are those about the key of an image, or a backend, too."""

_NOUNS = {
    Volume: "volume",
    Snapshot: "snapshot",
    Backup: "backup",
    Group: "group",
    GroupSnapshot: "group_snapshot",
    ImageKey: "image",
    StorageService: "backend",
}


def noun_of(resource: Resource | ImageKey | StorageService) -> str:
    """What a resource is called in operations, moves and findings."""
    return _NOUNS[type(resource)]


class FlowRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One row of `flow_requests`: a flow that has to run on the slot (`host@backend#0`) that owns it."""

    id: str
    slot: str
    flow: str
    version: int
    arguments: dict[str, Any]
    context: dict[str, Any]
    attempts: int
    created_at: str


class Backlog(msgspec.Struct, frozen=True, kw_only=True):
    """How many flows of one version wait or run."""

    flow: str
    version: int
    count: int
    oldest: str
    """When the first of them was requested."""


class Waits(msgspec.Struct, frozen=True):
    """Which flows of a slot wait for an operation that has not ended, and which of those that wait for anything shall end."""

    waiting: frozenset[str]
    cancelled: frozenset[str]


def _where(resource: Resource | ImageKey | StorageService) -> dict[str, Any]:
    """What `_SLOT` is bound to. That is the slot that runs the flows of a resource: `host@backend#NUMBER`, the same for a volume, its snapshots and backups.

    Volumes are spread over the slots that the backend's workers have taken so far; until then all are #0's.
    """
    backend = (resource.host or "").partition("#")[0]
    family = getattr(resource, "volume_id", None) or resource.id
    return {"place": f"{backend}#", "family": zlib.crc32(family.encode()), "slots": _slots_like(backend)}


def _slots_like(backend: str) -> str:
    """The pattern of the slots of a backend."""
    return re.sub("([%_/])", r"/\1", backend) + "#%"


def slots_taken(connection: Connection, backend: str) -> int:
    """How many slots of `host@backend` have ever had an owner; 0 with SQLite."""
    return connection.scalar(_TAKEN, {"slots": _slots_like(backend)}) or 0


def request_flow(
    connection: Connection,
    context: RequestContext,
    flow: str,
    *,
    operation_id: str,
    resource: Resource | ImageKey | StorageService,
    arguments: dict[str, Any],
    answers: list[Answer] | None = None,
) -> Operation:
    """Write the operation and the request for its flow, and wake the owner of the slot that `resource` lies in.

    The request has the flow's newest version, and keeps it until the flow has ended.
    """
    operation = Operation(
        id=operation_id,
        kind=flow,
        resource_type=noun_of(resource),
        resource_id=resource.id,
        project_id=resource.project_id,
        user_id=context.user_id,
        request_id=context.request_id,
        answers=answers or [],
        created_at=clock.now(),
    )
    records.insert(connection, _operations, operation)
    request = FlowRequest(
        id=operation_id,
        slot="",
        flow=flow,
        version=flows.newest(flow),
        arguments=arguments,
        context=msgspec.to_builtins(context),
        attempts=0,
        created_at=operation.created_at,
    )
    values = records.columns_of(request) | _where(resource)
    del values["slot"]  # the statement finds it
    slot = connection.execute(_REQUEST, values).scalar_one()
    wake.wake(connection, slot)
    return operation


def note_failed(
    connection: Connection, context: RequestContext, kind: str, resource: Resource, message: str, answers: list[Answer]
) -> Operation:
    """Write an operation that failed before a flow could begin."""
    now = clock.now()
    operation = Operation(
        id=str(uuid.uuid4()),
        kind=kind,
        resource_type=type(resource).__name__.lower(),
        resource_id=resource.id,
        project_id=resource.project_id,
        user_id=context.user_id,
        request_id=context.request_id,
        state="failed",
        answers=answers,
        message=message,
        created_at=now,
        finished_at=now,
    )
    records.insert(connection, _operations, operation)
    return operation


def of_row(row: sa.Row[Any]) -> Operation:
    """An operation, of all columns of its row."""
    columns = dict(row._mapping)
    return Operation(**columns | {"answers": msgspec.convert(columns["answers"], list[Answer])})


def get(connection: Connection, operation_id: str) -> Operation | None:
    """One operation."""
    row = connection.execute(records.with_id(_operations), {"row_id": operation_id}).one_or_none()
    return None if row is None else of_row(row)


def by_id(connection: Connection, operation_ids: Collection[str]) -> dict[str, Operation]:
    """Those of these operations that there are."""
    if not operation_ids:
        return {}
    rows = connection.execute(sa.select(_operations).where(_operations.c.id.in_(operation_ids)))
    return {row.id: of_row(row) for row in rows}


def of_resource(connection: Connection, resource_id: str) -> list[Operation]:
    """All operations of a resource, the newest first."""
    query = sa.select(_operations).where(_operations.c.resource_id == resource_id)
    rows = connection.execute(query.order_by(_operations.c.created_at.desc(), _operations.c.id))
    return [of_row(row) for row in rows]


def pending_on(connection: Connection, backend: str) -> list[FlowRequest]:
    """The flows that all slots of `host@backend` have still to run."""
    query = sa.select(_requests).where(_requests.c.slot.startswith(f"{backend}#", autoescape=True))
    return records.fetch_all(connection, query, FlowRequest)


def pending(connection: Connection, slot: str) -> list[FlowRequest]:
    """The flows a slot has still to run, the oldest first."""
    return records.fetch_all(connection, _PENDING, FlowRequest, {"slot": slot})


def parked(connection: Connection, slot: str) -> set[str]:
    """Of the flows that a slot has still to run those that gave their thread back until what they wait for has come."""
    query = sa.select(_requests.c.id).where(
        _requests.c.slot == slot, _operations.c.id == _requests.c.id, _operations.c.waiting.is_not(None)
    )
    return set(connection.scalars(query))


def backlog(connection: Connection) -> list[Backlog]:
    """All flows that wait or run, counted by name and version."""
    kind = (_requests.c.flow, _requests.c.version)
    count, oldest = sa.func.count().label("count"), sa.func.min(_requests.c.created_at).label("oldest")
    return records.fetch_all(connection, sa.select(*kind, count, oldest).group_by(*kind).order_by(*kind), Backlog)


def waits(connection: Connection, slot: str) -> Waits:
    """What the flows of a slot wait for."""
    rows = connection.execute(_WAITS, {"slot": slot}).all()
    return Waits(
        waiting=frozenset(row.id for row in rows if row.waiting),
        cancelled=frozenset(row.id for row in rows if row.cancel_requested),
    )


def wake_waiting(connection: Connection, operation_id: str) -> None:
    """Wake the owners of all slots that have flows which wait for this operation."""
    waiting = sa.select(_requests.c.slot).distinct()
    for slot in connection.execute(
        waiting.where(_requests.c.id == _operations.c.id, _operations.c.waits_for == operation_id)
    ).scalars():
        wake.wake(connection, slot)


def stop_waiting(connection: Connection, operation_id: str) -> None:
    """Let all flows that wait for this operation go on, whether it has ended or not."""
    wake_waiting(connection, operation_id)
    changed = sa.update(_operations).where(_operations.c.waits_for == operation_id, _operations.c.waiting.is_not(None))
    connection.execute(changed.values(waits_for=None))


def is_awaited(connection: Connection, operation_id: str, but_for: str) -> bool:
    """Whether another flow than this one waits for an operation."""
    query = sa.select(_requests.c.id).where(
        _requests.c.id == _operations.c.id, _operations.c.waits_for == operation_id, _requests.c.id != but_for
    )
    return connection.execute(query.limit(1)).first() is not None


def count_attempt(connection: Connection, *flow_ids: str) -> None:
    """Note that flows were interrupted, or broke and could not be undone: they are tried again, but not for ever."""
    changed = sa.update(_requests).where(_requests.c.id.in_(flow_ids))
    connection.execute(changed.values(attempts=_requests.c.attempts + 1))


def checkpoints(connection: Connection, flow_id: str) -> dict[str, Any]:
    """The results of the durable steps that a flow has behind it, by step."""
    query = sa.select(_checkpoints.c.step, _checkpoints.c.result).where(_checkpoints.c.flow_id == flow_id)
    return {row.step: row.result for row in connection.execute(query)}


def write_checkpoint(connection: Connection, flow_id: str, step: str, result: Any) -> None:
    """Note that a durable step is done and what it answered."""
    values = {"flow_id": flow_id, "step": step, "result": result, "created_at": clock.now()}
    connection.execute(_CHECKPOINT, values)


def drop_checkpoint(connection: Connection, flow_id: str, step: str) -> None:
    """Forget a durable step: what it held is free."""
    connection.execute(sa.delete(_checkpoints).where(_checkpoints.c.flow_id == flow_id, _checkpoints.c.step == step))


def who_is_at(connection: Connection, step: str, but_for: str = "") -> str | None:
    """A live flow that has this durable step behind it, other than `but_for`; None where there is none."""
    query = sa.select(_checkpoints.c.flow_id).where(_checkpoints.c.step == step, _checkpoints.c.flow_id != but_for)
    return connection.execute(query.limit(1)).scalar_one_or_none()


def has_step(connection: Connection, flow_id: str, beginning: str) -> bool:
    """Whether a live flow has a durable step behind it whose name begins so."""
    step = _checkpoints.c.step.startswith(beginning, autoescape=True)
    query = sa.select(_checkpoints.c.step).where(_checkpoints.c.flow_id == flow_id, step)
    return connection.execute(query.limit(1)).first() is not None


def is_at(connection: Connection, step: str) -> bool:
    """Whether any live flow has this durable step behind it."""
    return who_is_at(connection, step) is not None


def update(connection: Connection, operation_id: str, **values: Any) -> None:
    """Set columns of an operation."""
    records.update(connection, _operations, operation_id, values)


def finish(connection: Connection, operation_id: str, state: str, had_checkpoints: bool, **values: Any) -> None:
    """End an operation, and with it the request and the checkpoints of its flow."""
    ended = {"state": state, "step": None, "waiting": None, "waits_for": None, "finished_at": clock.now()}
    update(connection, operation_id, **ended | values)
    connection.execute(_END_REQUEST, {"flow_id": operation_id})
    if had_checkpoints:
        connection.execute(sa.delete(_checkpoints).where(_checkpoints.c.flow_id == operation_id))


def hand_over(
    connection: Connection, operation_id: str, resource: Resource, arguments: dict[str, Any], answers: list[Answer]
) -> None:
    """Let the slot that `resource` lies in now run a flow from its beginning, with these arguments."""
    again = {"state": "queued", "step": None, "waiting": None, "waits_for": None, "bytes_done": 0, "bytes_total": None}
    update(connection, operation_id, answers=answers, **again)
    changed = sa.update(_requests).where(_requests.c.id == operation_id)
    changed = changed.values(slot=_SLOT, arguments=arguments, attempts=0).returning(_requests.c.slot)
    slot = connection.execute(changed, _where(resource)).scalar_one()
    connection.execute(sa.delete(_checkpoints).where(_checkpoints.c.flow_id == operation_id))
    wake.wake(connection, slot)


def request_cancel(connection: Connection, operation_id: str) -> None:
    """Ask a flow to stop, and have its slot's owner look: it may have no thread that would."""
    update(connection, operation_id, cancel_requested=True)
    for slot in connection.execute(sa.select(_requests.c.slot).where(_requests.c.id == operation_id)).scalars():
        wake.wake(connection, slot)


def cancel_requested(connection: Connection, operation_id: str) -> bool:
    """Whether somebody asked for this operation to stop."""
    query = sa.select(_operations.c.cancel_requested).where(_operations.c.id == operation_id)
    return bool(connection.execute(query).scalar_one_or_none())


def is_under_way(connection: Connection, resource_id: str, kind: str) -> bool:
    """Whether a flow of this kind is asked for, or runs, for this resource."""
    query = sa.select(_operations.c.id).join(_requests, _requests.c.id == _operations.c.id)
    query = query.where(_operations.c.resource_id == resource_id, _operations.c.kind == kind)
    return connection.execute(query).first() is not None


def next_under_way(
    connection: Connection, kind: str, resource_ids: Collection[str], backend: str | None = None
) -> Operation | None:
    """One of the operations of this kind on these resources whose flow has still to end, or None; `backend` (`host@backend`)
    leaves out those of others."""
    query = sa.select(_operations).join(_requests, _requests.c.id == _operations.c.id)
    query = query.where(_operations.c.resource_id.in_(resource_ids), _operations.c.kind == kind)
    if backend is not None:
        query = query.where(_requests.c.slot.startswith(f"{backend}#", autoescape=True))
    row = connection.execute(query.order_by(_operations.c.created_at, _operations.c.id).limit(1)).first()
    return None if row is None else of_row(row)


def forget_attempts(connection: Connection, flow_id: str) -> None:
    """Let a flow that works be interrupted as often as ever."""
    connection.execute(sa.update(_requests).where(_requests.c.id == flow_id).values(attempts=0))


def is_pending(connection: Connection, flow_id: str) -> bool:
    """Whether a flow has still to run."""
    return connection.execute(records.with_id(_requests), {"row_id": flow_id}).first() is not None
