"""One download for all creates of an image that come together, where the image cache does not serve them.

The first create of an image on a backend fetches it, into its own volume. Those that come meanwhile wait for its
operation, without a thread. When that volume is filled, and before anybody may use it, it leaves a copy for them, if there
are any: a clone that belongs to the internal tenant. They clone that, and the last of them has it deleted. Where the first
one fails, one of the others is the next first; where it could leave no copy, each fetches for itself.

Who fetches holds a durable step that names backend and image, who waits one that names the operation it waits for. Both end
with their flows, whatever becomes of the worker; whoever looks at them, or changes them, has the turn of admissions.
"""

import hashlib
import logging
import uuid

from sqlalchemy.engine import Connection

from breezeblock.db import moves, operations, outbox, volumes
from breezeblock.errors import RECOVERABLE, DriverError
from breezeblock.flows.engine import Flow, Parked
from breezeblock.flows.internal_volumes import draft, has_tenant, request_delete
from breezeblock.flows.made import Made
from breezeblock.flows.verification import Verification
from breezeblock.model import clock
from breezeblock.model.image import Image
from breezeblock.model.volume import Volume
from breezeblock.scheduling.admission import take_turn

log = logging.getLogger(__name__)

FETCHES = "fetches:"
WAITS = "waits-for-copy-of:"


def join(flow: Flow, volume: Volume, image: Image) -> Made | None:
    """A clone of what another create has fetched; None where this one has to fetch the image.

    Raises `Parked` while another one does, and as `Verification` where the image's signature is not good any more.
    """
    if volume.encryption_key_id is not None or not has_tenant(flow.backend.settings) or flow.held(FETCHES):
        return None
    with flow.saving(step="download", bytes_total=image.size) as connection:
        take_turn(connection)
        moves.try_move(connection, "volume", volume.id, "download")
        copy, alone = _copy_waited_for(connection, flow, volume)
        first = None if copy is not None or alone else _fetch_or_wait(connection, flow, image)
    if first is not None:
        raise Parked
    if copy is None:
        return None
    Verification(flow, image)  # a signature is judged for each volume
    return _clone(flow, volume, copy)


def _copy_waited_for(connection: Connection, flow: Flow, volume: Volume) -> tuple[Volume | None, bool]:
    """The copy that this create waited for, if it is there; else whether to wait for nobody any more."""
    for step in flow.held(WAITS):
        first = step.removeprefix(WAITS)
        copy = volumes.find(connection, copy_id(first))
        if copy is not None and copy.status == "available" and copy.size <= volume.size:
            return copy, False
        end(connection, flow)
        flow.let_go(connection, step)
        operation = operations.get(connection, first)
        return None, operation is not None and operation.state == "succeeded"
    return None, False


def _fetch_or_wait(connection: Connection, flow: Flow, image: Image) -> str | None:
    """Be the one that fetches the image (None), or wait for the operation that does."""
    step = FETCHES + _key(flow, image)
    first = operations.who_is_at(connection, step)
    if first is None:
        flow.hold(connection, step)
        return None
    flow.hold(connection, WAITS + first)
    flow.park(connection, "download", f"waits for operation {first}, which fetches the image", first)
    return first


def _key(flow: Flow, image: Image) -> str:
    version = image.os_hash_value or image.checksum or image.updated_at
    return hashlib.sha256(f"{flow.backend.name}|{image.id}|{version}".encode()).hexdigest()


def copy_id(operation_id: str) -> str:
    """The id of the volume that the create with this operation leaves for those who wait for it."""
    return str(uuid.uuid5(uuid.UUID(operation_id), "shared-image"))


def _clone(flow: Flow, volume: Volume, copy: Volume) -> Made | None:
    with flow.explained("shared", copy=copy.id, image=copy.image_id) as result:
        try:
            update = flow.driver.create_cloned_volume(volume, copy) or {}
        except RECOVERABLE as error:
            flow.driver.delete_volume(volume)
            result.update(outcome="declined", reason=error.message)
            return None
        result.update(outcome="made", model_update=update)
    return Made(model_update=update)


def leave_copy(flow: Flow, volume: Volume, image: Image) -> None:
    """Clone a volume that was filled for those who wait for it, if anybody does; after this nobody else will."""
    held = flow.held(FETCHES)
    if not held:
        return
    with flow.saving() as connection:
        take_turn(connection)
        copy = volumes.find(connection, copy_id(flow.id))
        if copy is None and not operations.is_at(connection, WAITS + flow.id):
            flow.let_go(connection, held[0])
            return
        if copy is None:
            copy = draft(
                flow.backend.settings,
                copy_id(flow.id),
                image,
                volume.volume_type_id,
                host=volume.host or flow.backend.name,
                size=volume.size,
            )
            volumes.insert(connection, copy)
            outbox.volume_event(connection, "create.start", copy, flow.id)
    if copy.status == "creating":
        _make(flow, volume, copy)


def _make(flow: Flow, volume: Volume, copy: Volume) -> None:
    with flow.explained("copy_for_others", copy=copy.id) as result:
        try:
            update = flow.driver.create_cloned_volume(copy, volume) or {}
        except DriverError as error:
            # this create has its volume all the same
            result.update(outcome="declined", reason=error.message)
            remove_half_made(flow)
            return
    changes = volumes.model_update_values(update)
    with flow.saving() as connection:
        moves.move(connection, "volume", copy.id, "create_done", launched_at=clock.now(), **changes)
        outbox.volume_event(connection, "create.end", volumes.get(connection, copy.id), flow.id)


def remove_half_made(flow: Flow) -> None:
    """Before a create that fetched fails: remove a copy that was not made to its end."""
    if not flow.held(FETCHES):
        return
    with flow.backend.database.read() as connection:
        copy = volumes.find(connection, copy_id(flow.id))
    if copy is None or copy.status != "creating":
        return
    try:
        flow.driver.delete_volume(copy)
        gone = True
    except DriverError:
        log.exception("volume %s: the remains of a copy could not be removed", copy.id)
        gone = False
    with flow.saving() as connection:
        if gone:
            volumes.remove(connection, copy.id)
        else:
            moves.try_move(connection, "volume", copy.id, "create_failed")
        outbox.volume_event(connection, "create.error", copy, flow.id, error="The copy could not be made.")


def end(connection: Connection, flow: Flow) -> None:
    """In the transaction that ends a create, or hands it over: let those go on who wait for it, and have a copy deleted
    that nobody needs any more."""
    fetches, waits = flow.held(FETCHES), flow.held(WAITS)
    if not fetches and not waits:
        return
    take_turn(connection)
    if fetches:
        operations.stop_waiting(connection, flow.id)
    for first in (*[flow.id for _ in fetches], *[step.removeprefix(WAITS) for step in waits]):
        if operations.who_is_at(connection, WAITS + first, but_for=flow.id) is not None:
            continue
        if first == flow.id or not operations.has_step(connection, first, FETCHES):
            request_delete(connection, copy_id(first))
