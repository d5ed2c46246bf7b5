"""Give an encrypted volume to whoever took up its offer: the right to read its key first, then the volume.

The key stays what it is, as with Cinder, whose copy has the same content; who may read it changes by one call.
"""

from sqlalchemy.engine import Connection

from breezeblock import killpoints
from breezeblock.config import Settings
from breezeblock.context import RequestContext
from breezeblock.db import moves, outbox, snapshots, transfers, volumes
from breezeblock.errors import InvalidState
from breezeblock.flows.engine import Flow, flow, message_for_user, state_after
from breezeblock.model.snapshot import Snapshot
from breezeblock.model.transfer import Transfer
from breezeblock.model.volume import Volume
from breezeblock.scheduling import quota
from breezeblock.scheduling.admission import take_turn


def abandon(flow: Flow, error: BaseException) -> None:
    """The volume is whose it was, or of another who took it up meanwhile; that user reads its key."""
    with flow.backend.database.read() as connection:
        volume = volumes.find(connection, flow.arguments["volume_id"])
    if volume is not None:
        give_key(flow, volume, volume.user_id)
    with flow.ending(state_after(error), message_for_user(error)):
        pass


@flow("accept_transfer", abandon=abandon)
def accept_transfer(flow: Flow) -> None:
    """The key, then in one transaction the volume."""
    with flow.backend.database.read() as connection:
        volume = volumes.get(connection, flow.arguments["volume_id"])
    with flow.explained("give_key", encryption_key_id=volume.encryption_key_id):
        give_key(flow, volume, flow.context.user_id)
    with flow.ending() as connection:
        take_turn(connection)
        transfer = transfers.get(connection, flow.arguments["transfer_id"], lock=True)
        take(connection, flow.backend.settings, flow.context, transfer)


def give_key(flow: Flow, volume: Volume, reader: str) -> None:
    """Have this user read the volume's key, and nobody else."""
    killpoints.reached("before_give_key")
    flow.backend.keys.give(str(volume.encryption_key_id), reader)
    killpoints.reached("after_give_key")


def check(connection: Connection, settings: Settings, context: RequestContext, transfer: Transfer) -> Volume:
    """The volume of a transfer that the caller may take up, held. Raises `InvalidState`, `OverQuota`."""
    volume = volumes.get(connection, transfer.volume_id, lock=True)
    if volume.status != "awaiting-transfer":
        raise InvalidState(
            f"Invalid volume: Transfer {transfer.id}: Volume id {volume.id} expected in awaiting-transfer state."
        )
    going = _going(connection, transfer)
    check_available(going)
    if context.project_id != volume.project_id:
        _check_quota(connection, settings, context.project_id, volume, going)
    return volume


def take(connection: Connection, settings: Settings, context: RequestContext, transfer: Transfer) -> None:
    """The volume is the caller's, with its snapshots unless they stay, and the offer is gone. Raises as `check`."""
    volume = check(connection, settings, context, transfer)
    outbox.volume_event(connection, "transfer.accept.start", volume, None)
    owner = {"user_id": context.user_id, "project_id": context.project_id}
    moves.move(connection, "volume", volume.id, "offer_ended", **owner)
    for one in _going(connection, transfer):
        snapshots.update(connection, one.id, **owner)
    transfers.remove(connection, transfer.id)
    outbox.volume_event(connection, "transfer.accept.end", volumes.get(connection, volume.id), None)


def _going(connection: Connection, transfer: Transfer) -> list[Snapshot]:
    return [] if transfer.no_snapshots else snapshots.of_volume(connection, transfer.volume_id)


def check_available(kept: list[Snapshot]) -> None:
    """Raises `InvalidState` for a snapshot that is busy."""
    for one in kept:
        if one.status != "available":
            raise InvalidState(f"Invalid snapshot: snapshot: {one.id} status must be available")


def _check_quota(
    connection: Connection, settings: Settings, project_id: str, volume: Volume, going: list[Snapshot]
) -> None:
    counted = [one.volume_size for one in going if one.consumes_quota]
    gigabytes = volume.size if volume.consumes_quota else 0
    if not settings.no_snapshot_gb_quota:
        gigabytes += sum(counted)
    more = {"volumes": int(volume.consumes_quota), "snapshots": len(counted), "gigabytes": gigabytes}
    quota.check(connection, settings, project_id, volume_size=volume.size, type_id=volume.volume_type_id, **more)
