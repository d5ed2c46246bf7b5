"""Use cases of volumes: create, plan, update, delete."""

import time
import uuid
from collections.abc import Callable
from typing import NotRequired, TypedDict

import msgspec
from sqlalchemy.engine import Connection

from breezeblock.auth import policy
from breezeblock.config import Settings
from breezeblock.context import RequestContext
from breezeblock.db import (
    attachments,
    idempotency,
    moves,
    operations,
    outbox,
    snapshots,
    user_messages,
    volume_types,
    volumes,
)
from breezeblock.db.connect import Database
from breezeblock.encryption.luks import HEADER_BYTES
from breezeblock.errors import BreezeblockError, InvalidInput, InvalidState, NoBackendYet, NoValidBackend
from breezeblock.images.catalog import ImageCatalog
from breezeblock.keys.store import name_for
from breezeblock.model import clock
from breezeblock.model.group import Group
from breezeblock.model.image import Image
from breezeblock.model.operation import Answer
from breezeblock.model.sources import FromBackup, FromImage, Snap, SourceVol, tag_of
from breezeblock.model.volume import Volume
from breezeblock.model.volume_type import VolumeType
from breezeblock.scheduling import placement, quota
from breezeblock.scheduling.admission import admit_volume, take_turn
from breezeblock.scheduling.placement import Wanted
from breezeblock.services import hints, membership, sources
from breezeblock.services.encryption import of_new_volume
from breezeblock.services.hints import AskedHints
from breezeblock.services.sources import Source
from breezeblock.services.volume_types import check_size

NO_BACKEND = ("001", "003")
"""Action and detail of the message to a user whose volume fits nowhere."""

FIRST_REPORT_SECONDS = 10.0
LOOK_SECONDS = 0.1


class CreateVolume(sources.Request, frozen=True, kw_only=True):
    """What a client asks for, with Cinder's names. `size` is GiB; the sources are those of `sources.Request`."""

    size: int | None = None
    name: str | None = None
    description: str | None = None
    availability_zone: str | None = None
    volume_type: str | None = None
    """Name or id."""
    group_id: str | None = None
    metadata: dict[str, str] = {}
    hints: AskedHints = AskedHints()


class _Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A request settled: the volume's draft, what it is made of, and where it may lie."""

    draft: Volume
    source: Source
    wanted: Wanted


def create_volume(
    database: Database,
    settings: Settings,
    catalog: ImageCatalog,
    context: RequestContext,
    request: CreateVolume,
    idempotency_key: str | None = None,
    admitted: Callable[[Connection, Volume], None] | None = None,
) -> Volume:
    """Admit a volume and have it made: row, event and flow request commit together. Returns it in `creating`,
    or in `error` where no backend can take it.

    Mirrors POST /v3/volumes of Cinder. On a service's first start it waits for the first report of a worker. A request
    repeated with its `idempotency_key` returns the volume that the first one made, as it is now. `admitted` is called in
    the transaction of a volume that a backend takes.
    Raises the errors of `sources`, `OverQuota`, `NoBackendYet`, `InvalidInput`, `Conflict`.
    """
    image = _image_of(catalog, context, request)
    deadline = time.monotonic() + FIRST_REPORT_SECONDS
    while True:
        try:
            return _create(database, settings, context, request, image, idempotency_key, admitted)
        except NoBackendYet:
            if time.monotonic() > deadline:
                raise
            time.sleep(LOOK_SECONDS)


def _create(
    database: Database,
    settings: Settings,
    context: RequestContext,
    request: CreateVolume,
    image: Image | None,
    key: str | None,
    admitted: Callable[[Connection, Volume], None] | None,
) -> Volume:
    with database.begin() as connection:
        take_turn(connection)  # before the source is looked at: what deletes it takes its turn too
        if key is not None:
            first = idempotency.made_before(connection, context.project_id, key, request)
            if first is not None:
                return volumes.get(connection, first)
        volume = request_volume(connection, settings, context, request, image)
        if admitted is not None and volume.status != "error":
            admitted(connection, volume)
        if key is not None:
            idempotency.keep(connection, context.project_id, key, request, volume.id)
    return volume


def request_volume(
    connection: Connection,
    settings: Settings,
    context: RequestContext,
    request: CreateVolume,
    image: Image | None = None,
    **more: object,
) -> Volume:
    """As `create_volume`, in the caller's transaction; `more` are further arguments of the flow."""
    plan = _settle(connection, settings, context, request, image)
    try:
        volume, answers = admit_volume(connection, settings, plan.draft, plan.wanted)
    except NoValidBackend as error:
        return _refuse(connection, settings, context, plan, error)
    operation_id = str(uuid.uuid4())
    outbox.volume_event(connection, "create.start", volume, operation_id)
    operations.request_flow(
        connection,
        context,
        "create_volume",
        operation_id=operation_id,
        resource=volume,
        arguments=_arguments(volume, plan) | more,
        answers=answers,
    )
    return volume


def _refuse(
    connection: Connection, settings: Settings, context: RequestContext, plan: _Plan, error: NoValidBackend
) -> Volume:
    """Keep a volume that no backend can take, in `error` and with a message: Cinder's clients look for that."""
    zone = next(iter(plan.wanted.zones), settings.storage_availability_zone)
    draft = msgspec.structs.replace(plan.draft, availability_zone=zone)
    volume = msgspec.structs.replace(draft, status="error", encryption_key_id=None, scheduled_at=None)
    volumes.insert(connection, volume)
    operation = operations.note_failed(
        connection, context, "create_volume", volume, error.message, answers=list(error.answers)
    )
    outbox.volume_event(connection, "create.start", draft, operation.id)
    outbox.volume_event(connection, "create.error", volume, operation.id, error=error.message)
    user_messages.write(connection, settings, operation, *NO_BACKEND)
    return volume


def _arguments(volume: Volume, plan: _Plan) -> dict[str, object]:
    """What the create flow is told: the source, what placement looked for, and until when it must be done."""
    arguments = {
        "volume_id": volume.id,
        "spec": msgspec.to_builtins(plan.source.spec),
        "wanted": msgspec.to_builtins(plan.wanted),
    }
    seconds = plan.wanted.extra_specs.get("creation_deadline")
    if seconds is None:
        return arguments
    if not seconds.isdigit():
        raise InvalidInput(f"The volume type's creation_deadline {seconds} is not a whole number of seconds.")
    return arguments | {"deadline": clock.after(float(seconds))}


class Plan(TypedDict):
    """What a create would do and why; of one that is not possible, the reason and the status that it would answer."""

    possible: bool
    reason: NotRequired[str]
    code: NotRequired[int]
    source: NotRequired[str]
    size: NotRequired[int]
    volume_type_id: NotRequired[str | None]
    host: NotRequired[str]
    availability_zone: NotRequired[str]
    quota: NotRequired[dict[str, int]]
    answers: NotRequired[list[Answer]]


def plan_volume(
    database: Database, settings: Settings, catalog: ImageCatalog, context: RequestContext, request: CreateVolume
) -> Plan:
    """What `create_volume` would do and why; changes nothing. A refusal is part of the answer, not an error."""
    try:
        image = _image_of(catalog, context, request)
        with database.read() as connection:
            plan = _settle(connection, settings, context, request, image)
            size = plan.draft.size
            more = {"volume_size": size, "volumes": 1, "gigabytes": size}
            quota.check(connection, settings, context.project_id, type_id=plan.draft.volume_type_id, **more)
            chosen = placement.place(connection, plan.wanted)
    except BreezeblockError as error:
        return {"possible": False, "reason": error.message, "code": error.status}
    return {
        "possible": True,
        "source": tag_of(plan.source.spec),
        "size": plan.draft.size,
        "volume_type_id": plan.draft.volume_type_id,
        "host": chosen.pool.name,
        "availability_zone": chosen.pool.availability_zone,
        "quota": {"volumes": 1, "gigabytes": plan.draft.size},
        "answers": list(chosen.answers),
    }


def _image_of(catalog: ImageCatalog, context: RequestContext, request: CreateVolume) -> Image | None:
    sources.only_one(request)
    return sources.find_image(catalog, context, request.image_ref) if request.image_ref is not None else None


def _settle(
    connection: Connection, settings: Settings, context: RequestContext, request: CreateVolume, image: Image | None
) -> _Plan:
    group = membership.group_of_new(connection, context, request.group_id, request.volume_type)
    source = sources.of_image(image) if image else sources.resolve(connection, context, request)
    size = _size(request, source)
    volume_type = _type_of(connection, settings, context, request, source)
    encryption = of_new_volume(connection, volume_type, source, image)
    check_size(volume_type, size)
    multiattach = volume_type.wants("multiattach")
    if multiattach:
        policy.authorize(context, "volume:multiattach")
        if encryption:
            raise InvalidInput("Invalid input received: Multiattach cannot be used with encrypted volumes.")
    if image:
        check_image_fits(image, size, HEADER_BYTES if encryption and image.encryption_key_id is None else 0)
    spec = source.spec
    replicated = volume_type.wants("replication_enabled")
    volume_id = str(uuid.uuid4())
    draft = Volume(
        id=volume_id,
        project_id=context.project_id,
        user_id=context.user_id,
        name=request.name,
        description=request.description,
        size=size,
        status="creating",
        volume_type_id=volume_type.id,
        snapshot_id=spec.snapshot_id if isinstance(spec, Snap) else None,
        source_volid=spec.source_volid if isinstance(spec, SourceVol) else None,
        image_id=spec.image_id if isinstance(spec, FromImage) else None,
        backup_id=spec.backup_id if isinstance(spec, FromBackup) else None,
        group_id=group.id if group else None,
        multiattach=multiattach,
        encryption_key_id=name_for(volume_id) if encryption else None,
        metadata=source.metadata | request.metadata,
        admin_metadata=_ways(volume_type),
        replication_status="enabled" if replicated else None,
        created_at=clock.now(),
    )
    wanted = Wanted(
        size=size,
        extra_specs=volume_type.extra_specs,
        zones=_zones(settings, request, source, volume_type, group),
        any_zone_instead=settings.allow_availability_zone_fallback,
        backend=membership.only_backend(group, source.backend),
        encrypted=encryption is not None,
        hints=hints.settle(connection, context, request.hints),
    )
    return _Plan(draft=draft, source=source, wanted=wanted)


def _ways(volume_type: VolumeType) -> dict[str, str]:
    """What must be known of the type later on, kept at the volume so that a later change of the type means nothing."""
    specs = {"provisioning": "provisioning:type", "hydration": "image_hydration"}
    wanted = {name: volume_type.extra_specs.get(spec) for name, spec in specs.items()}
    return {name: value for name, value in wanted.items() if value}


def _size(request: CreateVolume, source: Source) -> int:
    if request.size is None:
        if not source.size_is_default:
            raise InvalidInput("Invalid input received: size is required: a whole number of GiB greater than 0.")
        return source.size
    if request.size < 1:
        raise InvalidInput(f"Invalid input received: Volume size {request.size} must be an integer greater than 0.")
    if request.size < source.size and source.size_is_default:
        raise InvalidInput(
            f"Invalid input received: Volume size {request.size}GB cannot be smaller than "
            f"the source's size {source.size}GB. They must be >= source size."
        )
    return request.size


def check_image_fits(image: Image, size: int, header: int) -> None:
    """Cinder's checks of an image against a volume's size (volume_utils.check_image_metadata).

    `size` is GiB; the `header` bytes of an encrypted volume leave less room for it. Raises `InvalidInput`.
    """
    if image.min_disk > size:
        raise InvalidInput(
            f"Invalid input received: Volume size {size}GB cannot be smaller than the image minDisk size {image.min_disk}GB."
        )
    needed = max(image.size or 0, image.virtual_size or 0)
    if needed > size << 30:
        raise InvalidInput(
            f"Invalid input received: Size of specified image {-(-needed >> 30)}GB is larger than volume size {size}GB."
        )
    if needed + header > size << 30:
        raise InvalidInput(
            f"Invalid input received: The image's {needed} bytes and the {header} bytes of the LUKS header are larger "
            f"than volume size {size}GB; ask for {size + 1}GB."
        )


def _type_of(
    connection: Connection, settings: Settings, context: RequestContext, request: CreateVolume, source: Source
) -> VolumeType:
    """The type asked for, else the source's, else the project's default, else everybody's; as Cinder settles it."""
    if request.volume_type is not None:
        return volume_types.get(connection, request.volume_type, context.own_project)
    if source.type_id is not None:
        found = volume_types.find(connection, source.type_id)
        if found is not None:
            return found
    return volume_types.default_of(connection, settings, context.project_id)


def _zones(
    settings: Settings, request: CreateVolume, source: Source, volume_type: VolumeType, group: Group | None
) -> tuple[str, ...]:
    """The zones a volume may lie in: its group's, asked, else the source's, the configured default, or the type's."""
    zone = group.availability_zone if group else request.availability_zone
    zone = zone or source.zone or settings.default_availability_zone
    if zone is not None:
        return (zone,)
    by_type = volume_type.extra_specs.get("RESKEY:availability_zones")
    return tuple(one.strip() for one in by_type.split(",")) if by_type else ()


def update_volume(database: Database, context: RequestContext, volume_id: str, **values: object) -> Volume:
    """Change name, description, metadata or the bootable flag. Raises `InvalidState` in maintenance."""
    with database.begin() as connection:
        before = volumes.get(connection, volume_id, context.own_project)
        if before.status == "maintenance":
            raise InvalidState("Invalid volume: The volume cannot be updated during maintenance.")
        if values:
            volumes.update(connection, volume_id, **values)
            outbox.volume_event(connection, "update.start", before, None)
            outbox.volume_event(connection, "update.end", before, None)
        return volumes.get(connection, volume_id)


def delete_volume(
    database: Database, context: RequestContext, volume_id: str, cascade: bool = False, force: bool = False
) -> None:
    """Have a volume deleted, with its snapshots where `cascade`; `force` from any status (admin).

    Raises `InvalidState` while it is attached, has snapshots, or is in a status that forbids it.
    """
    with database.begin() as connection:
        volume = volumes.get(connection, volume_id, context.own_project)
        membership.refuse_grouped(volume)
        remove_volume(connection, context, volume, cascade=cascade, force=force)


def remove_volume(
    connection: Connection,
    context: RequestContext,
    volume: Volume,
    *,
    cascade: bool = False,
    force: bool = False,
    **more: object,
) -> None:
    """As `delete_volume`, in the caller's transaction; `more` are further arguments of the flow."""
    take_turn(connection)  # nothing is made of it meanwhile, and no snapshot taken
    if attachments.of_volume(connection, volume.id) or attachments.connected(connection, volume.id):
        raise InvalidState(
            f"Invalid volume: Volume {volume.id} is attached or connected and cannot be deleted; detach it first."
        )
    if volume.migration_status not in {None, "deleting", "error", "success"}:
        raise InvalidState(f"Invalid volume: Volume {volume.id} must not be migrating to be deleted.")
    kept = snapshots.of_volume(connection, volume.id)
    if not context.is_admin and any(one.project_id != volume.project_id for one in kept):
        raise InvalidState(
            f"Invalid volume: Volume {volume.id} must be disassociated from snapshots after volume transfer: some are "
            "another project's."
        )
    if kept and not cascade:
        raise InvalidState(
            f"Invalid volume: Volume {volume.id} still has {len(kept)} dependent snapshots; delete them first, or cascade."
        )
    for snapshot in kept:
        membership.refuse_grouped_snapshot(snapshot)
    operation_id = str(uuid.uuid4())
    for snapshot in kept:
        if snapshot.status != "deleting":  # one that goes already is no obstacle
            moves.move(connection, "snapshot", snapshot.id, "force_delete" if force else "delete")
            outbox.snapshot_event(connection, "delete.start", snapshot, operation_id)
    moves.move(connection, "volume", volume.id, "force_delete" if force else "delete")
    outbox.volume_event(connection, "delete.start", volume, operation_id)
    if volume.host is None:  # it was never made: no storage has anything of it
        volumes.remove(connection, volume.id)
        outbox.volume_event(connection, "delete.end", volume, operation_id)
        return
    operations.request_flow(
        connection,
        context,
        "delete_volume",
        operation_id=operation_id,
        resource=volume,
        arguments={"volume_id": volume.id, **more},
    )
