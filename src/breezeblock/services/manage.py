"""Use cases: manage what lies on a backend and belongs to nobody, let go of what is managed, and list what there is."""

import re
import uuid
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from breezeblock.config import Settings
from breezeblock.context import RequestContext
from breezeblock.db import (
    attachments,
    moves,
    operations,
    outbox,
    pools,
    snapshots,
    type_encryptions,
    volume_types,
    volumes,
)
from breezeblock.db.connect import Database
from breezeblock.errors import InvalidInput, InvalidState, NotFound
from breezeblock.model import clock
from breezeblock.model.pool import Pool
from breezeblock.model.snapshot import Snapshot
from breezeblock.model.volume import Volume
from breezeblock.scheduling import quota
from breezeblock.scheduling.admission import take_turn
from breezeblock.services.attachments import wait_for
from breezeblock.services.hydration import require_hydrated

Reference = dict[str, str]
OURS = re.compile(r"_?(?:volume|snapshot)-([0-9a-f-]{36})")


class ManageVolume(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be managed, where, and as what; Cinder's names."""

    host: str
    reference: Reference
    name: str | None = None
    description: str | None = None
    volume_type: str | None = None
    metadata: dict[str, str] = {}
    availability_zone: str | None = None
    bootable: bool = False


def manage_volume(database: Database, settings: Settings, context: RequestContext, request: ManageVolume) -> Volume:
    """Have a volume made of what the reference names. Returns it in `managing`, with no size yet.

    Mirrors POST /os-volume-manage of Cinder: that the reference is bad is found out later. Raises `InvalidInput`,
    `InvalidState`, `OverQuota`, `NotFound` for an unknown type.
    """
    with database.begin() as connection:
        take_turn(connection)
        pool = _pool_at(connection, request.host)
        if pool is None or not pool.up:
            raise InvalidInput(f"Host '{request.host}' not found")
        _refuse_managed(connection, request.reference)
        if request.volume_type is not None:
            volume_type = volume_types.get(connection, request.volume_type, context.own_project)
        else:
            volume_type = volume_types.default_of(connection, settings, context.project_id)
        if type_encryptions.find(connection, volume_type.id) is not None:
            raise InvalidInput("Invalid volume type: Managing to an encrypted volume type is not supported.")
        quota.check(connection, settings, context.project_id, type_id=volume_type.id, volumes=1)
        volume = Volume(
            id=str(uuid.uuid4()),
            project_id=context.project_id,
            user_id=context.user_id,
            name=request.name,
            description=request.description,
            size=0,
            status="managing",
            host=pool.name,
            availability_zone=request.availability_zone or pool.availability_zone,
            volume_type_id=volume_type.id,
            multiattach=volume_type.wants("multiattach"),
            bootable=request.bootable,
            metadata=request.metadata,
            created_at=clock.now(),
            scheduled_at=clock.now(),
        )
        volumes.insert(connection, volume)
        operation_id = str(uuid.uuid4())
        outbox.volume_event(connection, "manage_existing.start", volume, operation_id)
        _request(connection, context, "manage_volume", operation_id, volume, reference=request.reference)
    return volume


def manage_snapshot(
    database: Database,
    settings: Settings,
    context: RequestContext,
    volume_id: str,
    reference: Reference,
    **fields: Any,
) -> Snapshot:
    """Have a snapshot of a volume made of what the reference names. Returns it in `creating`.

    Raises `NotFound`, `InvalidState`, `OverQuota`.
    """
    with database.begin() as connection:
        take_turn(connection)
        volume = volumes.get(connection, volume_id, context.own_project)
        if volume.status not in {"available", "in-use"}:
            raise InvalidState(f"Invalid volume: Volume {volume_id} status must be available or in-use.")
        gigabytes = 0 if settings.no_snapshot_gb_quota else volume.size
        quota.check(connection, settings, volume.project_id, snapshots=1, gigabytes=gigabytes)
        snapshot = Snapshot(
            id=str(uuid.uuid4()),
            project_id=volume.project_id,
            user_id=context.user_id,
            volume_id=volume_id,
            status="creating",
            volume_size=volume.size,
            volume_type_id=volume.volume_type_id,
            host=volume.host,
            bootable=volume.bootable,
            image_metadata=volume.image_metadata,
            created_at=clock.now(),
            **fields,
        )
        snapshots.insert(connection, snapshot)
        operation_id = str(uuid.uuid4())
        outbox.snapshot_event(connection, "manage_existing.start", snapshot, operation_id)
        _request(connection, context, "manage_snapshot", operation_id, snapshot, reference=reference)
    return snapshot


def unmanage_volume(database: Database, context: RequestContext, volume_id: str) -> None:
    """Have a volume forgotten and its content left. Raises `NotFound`, `InvalidInput`, `InvalidState`."""
    with database.begin() as connection:
        volume = volumes.get(connection, volume_id, context.own_project)
        if volume.encryption_key_id is not None:
            raise InvalidInput("Invalid input received: Unmanaging encrypted volumes is not supported.")
        require_hydrated(connection, volume_id)
        used = attachments.of_volume(connection, volume_id) or snapshots.of_volume(connection, volume_id)
        tied = bool(used) or volume.group_id is not None
        if tied or not moves.try_move(connection, "volume", volume_id, "unmanage"):
            raise InvalidState(
                f"Invalid volume: Volume {volume_id} status must be available or error or error_restoring or "
                "error_extending or error_managing and must not be migrating, attached, belong to a group, have "
                "snapshots, awaiting a transfer, or be disassociated from snapshots after volume transfer."
            )
        operation_id = str(uuid.uuid4())
        outbox.volume_event(connection, "unmanage.start", volume, operation_id)
        _request(connection, context, "unmanage_volume", operation_id, volume)


def unmanage_snapshot(database: Database, context: RequestContext, snapshot_id: str) -> None:
    """Have a snapshot forgotten and its content left. Raises `NotFound`, `InvalidState`."""
    with database.begin() as connection:
        snapshot = snapshots.get(connection, snapshot_id, context.own_project)
        if snapshots.being_used(connection, snapshot_id):
            raise InvalidState(f"Invalid snapshot: Volumes are being made of snapshot {snapshot_id}.")
        moves.move(connection, "snapshot", snapshot_id, "unmanage")
        operation_id = str(uuid.uuid4())
        outbox.snapshot_event(connection, "unmanage.start", snapshot, operation_id)
        _request(connection, context, "unmanage_snapshot", operation_id, snapshot)


def manageable(database: Database, context: RequestContext, host: str, kind: str) -> list[dict[str, Any]]:
    """What lies on a backend, by Cinder's keys; `kind` is volume or snapshot. Asks the backend's worker and waits.

    What is managed is told too, as not safe. Raises `NotFound` (no such host), and as `attachments.wait_for`.
    """
    operation_id = str(uuid.uuid4())
    with database.begin() as connection:
        pool = _pool_at(connection, host)
        if pool is None:
            raise NotFound(f"Service {host} could not be found.")
        place = Volume(
            id=str(uuid.uuid4()),
            project_id=context.project_id,
            user_id=context.user_id,
            size=0,
            status="managing",
            host=pool.name,
            created_at=clock.now(),
        )
        operations.request_flow(
            connection, context, "list_manageable", operation_id=operation_id, resource=place, arguments={"kind": kind}
        )
    wait_for(database, operation_id)
    with database.read() as connection:
        operation = operations.get(connection, operation_id)
        managed = _managed(connection, pool.backend, kind)
    found = operation.answers[-1].result["found"] if operation is not None else []
    return managed + [_shown(one["reference"], one["size"], one["safe"], one["reason"]) for one in found]


def _managed(connection: Connection, backend: str, kind: str) -> list[dict[str, Any]]:
    here = volumes.on_backend(connection, backend)
    if kind == "volume":
        return [_ours(one.storage_name, one.size, one.id) for one in here]
    taken = [one for volume in here for one in snapshots.of_volume(connection, volume.id)]
    return [
        _ours(one.storage_name, one.volume_size, one.id)
        | {"source_reference": {"source-name": f"volume-{one.volume_id}"}}
        for one in taken
    ]


def _ours(name: str, size: int, resource_id: str) -> dict[str, Any]:
    return _shown({"source-name": name}, size, False, "already managed") | {"cinder_id": resource_id}


def _shown(reference: Reference, size: int, safe: bool, reason: str | None) -> dict[str, Any]:
    return {
        "reference": reference,
        "size": size,
        "safe_to_manage": safe,
        "reason_not_safe": reason,
        "cinder_id": None,
        "extra_info": None,
        "source_reference": {},
    }


def _pool_at(connection: Connection, host: str) -> Pool | None:
    """The pool of that name, or the first of that `host@backend`."""
    return next((one for one in pools.all_pools(connection) if host in (one.name, one.backend)), None)


def _refuse_managed(connection: Connection, reference: Reference) -> None:
    named = OURS.fullmatch(reference.get("source-name", ""))
    if named and volumes.find(connection, named[1]) is not None:
        raise InvalidState("Invalid volume: Unable to manage existing volume. The volume is already managed")


def _request(
    connection: Connection,
    context: RequestContext,
    flow: str,
    operation_id: str,
    thing: Volume | Snapshot,
    **more: Any,
) -> None:
    noun = type(thing).__name__.lower()
    operations.request_flow(
        connection,
        context,
        flow,
        operation_id=operation_id,
        resource=thing,
        arguments={f"{noun}_id": thing.id, **more},
    )
