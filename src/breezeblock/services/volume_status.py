"""Use case: an administrator sets a volume's statuses by hand."""

from typing import Any

from breezeblock.context import RequestContext
from breezeblock.db import attachments, moves, outbox, volumes
from breezeblock.db.connect import Database
from breezeblock.errors import InvalidInput
from breezeblock.model.states import VOLUME_MOVES

ATTACH_STATUSES = ("attached", "detached")
MIGRATION_STATUSES = ("migrating", "error", "success", "completing", "none", "starting")


def reset_status(
    database: Database,
    context: RequestContext,
    volume_id: str,
    *,
    status: str | None = None,
    attach_status: str | None = None,
    migration_status: str | None = None,
) -> None:
    """Set those that are given. `detached` also forgets the attachments, whatever the storage still exports.

    Mirrors os-reset_status of Cinder. Raises `InvalidInput` for a status that cannot be set so, `NotFound`.
    """
    changes: dict[str, Any] = {}
    if attach_status is not None:
        changes["attach_status"] = _one_of(ATTACH_STATUSES, attach_status, "attach status")
    if migration_status is not None:
        migration = _one_of(MIGRATION_STATUSES, migration_status, "migration status")
        changes["migration_status"] = None if migration == "none" else migration
    if status == "deleting":  # error_deleting and detaching are set, as Cinder does, whose list lacks a comma
        raise InvalidInput(f"Cannot reset-state to {status}")
    with database.begin() as connection:
        volume = volumes.get(connection, volume_id, context.own_project, lock=True)
        attached = attachments.of_volume(connection, volume_id)
        if status == "in-use" and not attached:
            raise InvalidInput("Cannot reset-state to in-use because volume does not have any attachments.")
        outbox.volume_event(connection, "reset_status.start", volume, None)
        if status is None:
            volumes.update(connection, volume_id, **changes)
        else:
            try:
                moves.move(connection, "volume", volume_id, "reset_status", status, **changes)
            except ValueError as error:
                known = ", ".join(VOLUME_MOVES["reset_status"].end)
                raise InvalidInput(f"Volume status: {status} is invalid, valid statuses are: {known}.") from error
        if attach_status == "detached":
            for attachment in attached:
                attachments.remove(connection, attachment.id)
            volumes.forget_admin_metadata(connection, volume_id, "attached_mode")
        outbox.volume_event(connection, "reset_status.end", volumes.get(connection, volume_id), None)


def _one_of(known: tuple[str, ...], value: str, what: str) -> str:
    if value not in known:
        raise InvalidInput(f"Volume {what}: {value} is invalid, valid statuses are: {', '.join(known)}.")
    return value
