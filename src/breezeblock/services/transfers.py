"""Use cases of transfers: offer a volume, withdraw the offer, take it up (Cinder: `transfer/api.py`).

Whoever knows the key may take the volume. It is told once, when the offer is made; kept is a salted hash of it.
"""

import hashlib
import hmac
import secrets
import uuid

import msgspec
from sqlalchemy.engine import Connection

from breezeblock.config import Settings
from breezeblock.context import RequestContext
from breezeblock.db import attachments, moves, operations, outbox, snapshots, transfers, volumes
from breezeblock.db.connect import Database
from breezeblock.errors import InvalidInput, InvalidState
from breezeblock.flows import accept_transfer as accepting
from breezeblock.model import clock
from breezeblock.model.transfer import Transfer
from breezeblock.model.volume import Volume
from breezeblock.scheduling.admission import take_turn
from breezeblock.services.attachments import ConnectionFailed, wait_for
from breezeblock.services.membership import refuse_grouped


class Offer(msgspec.Struct, frozen=True):
    """A transfer just made, and its key."""

    transfer: Transfer
    auth_key: str


def create_transfer(
    database: Database,
    settings: Settings,
    context: RequestContext,
    *,
    volume_id: str,
    name: str | None,
    no_snapshots: bool,
    allow_encrypted: bool,
) -> Offer:
    """Offer a volume: it is `awaiting-transfer` from now on.

    Raises `NotFound`, `InvalidState`: it, or a snapshot that would go with it, is not available or encrypted.
    """
    with database.begin() as connection:
        volume = volumes.get(connection, volume_id, context.own_project, lock=True)
        _check_offered(connection, volume, no_snapshots)
        if volume.encryption_key_id is not None:
            _check_key(no_snapshots, allow_encrypted)
        auth_key = _random(settings.volume_transfer_key_length)
        salt = _random(settings.volume_transfer_salt_length)
        transfer = Transfer(
            id=str(uuid.uuid4()),
            volume_id=volume_id,
            project_id=volume.project_id,
            name=name,
            salt=salt,
            crypt_hash=_hash(salt, auth_key),
            no_snapshots=no_snapshots,
            created_at=clock.now(),
        )
        outbox.volume_event(connection, "transfer.create.start", volume, None)
        moves.move(connection, "volume", volume_id, "offer")
        transfers.insert(connection, transfer)
        outbox.volume_event(connection, "transfer.create.end", volumes.get(connection, volume_id), None)
    return Offer(transfer, auth_key)


def _check_offered(connection: Connection, volume: Volume, no_snapshots: bool) -> None:
    if volume.status != "available":
        raise InvalidState("Invalid volume: status must be available")
    refuse_grouped(volume)
    if attachments.connected(connection, volume.id):
        raise InvalidState("Invalid volume: a host is connected to it; terminate the connection first.")
    if not no_snapshots:
        accepting.check_available(snapshots.of_volume(connection, volume.id))


def _check_key(no_snapshots: bool, allow_encrypted: bool) -> None:
    """An encrypted volume goes with all that its key opens."""
    if not allow_encrypted:
        raise InvalidState("Invalid volume: transferring encrypted volume is not supported")
    if no_snapshots:
        raise InvalidState("Invalid volume: transferring an encrypted volume without its snapshots is not supported")


def delete_transfer(database: Database, context: RequestContext, transfer_id: str) -> None:
    """Withdraw an offer: the volume is available again, unless somebody has set its status meanwhile."""
    with database.begin() as connection:
        transfer = transfers.get(connection, transfer_id, context.own_project, lock=True)
        volume = volumes.get(connection, transfer.volume_id)
        outbox.volume_event(connection, "transfer.delete.start", volume, None)
        moves.try_move(connection, "volume", volume.id, "offer_ended")
        transfers.remove(connection, transfer_id)
        outbox.volume_event(connection, "transfer.delete.end", volumes.get(connection, volume.id), None)


def accept_transfer(
    database: Database, settings: Settings, context: RequestContext, transfer_id: str, auth_key: str
) -> Transfer:
    """Take up an offer: the volume is the caller's, with its snapshots unless they stay. One transaction, with the quota.

    An encrypted one is so when its worker has let the caller read its key; this waits for that.
    Raises `NotFound`, `InvalidInput` (another key), `InvalidState`, `OverQuota`, `ServiceUnavailable` (no worker answers).
    """
    with database.begin() as connection:
        take_turn(connection)
        transfer = transfers.get(connection, transfer_id, lock=True)
        if not hmac.compare_digest(_hash(transfer.salt, auth_key), transfer.crypt_hash):
            raise InvalidInput(f"Invalid auth key: Attempt to transfer {transfer_id} with invalid auth key.")
        volume = accepting.check(connection, settings, context, transfer)
        if volume.encryption_key_id is None:
            accepting.take(connection, settings, context, transfer)
            return transfer
        operation_id = str(uuid.uuid4())
        operations.request_flow(
            connection,
            context,
            "accept_transfer",
            operation_id=operation_id,
            resource=volume,
            arguments={"volume_id": volume.id, "transfer_id": transfer_id},
        )
    try:
        wait_for(database, operation_id)
    except ConnectionFailed as error:
        raise InvalidState(f"Invalid volume: {error.message}") from error
    return transfer


def _random(length: int) -> str:
    """So many hexadecimal digits, which anybody can type."""
    return secrets.token_hex(length // 2 + 1)[:length]


def _hash(salt: str, auth_key: str) -> str:
    return hmac.new(salt.encode(), auth_key.encode(), hashlib.sha256).hexdigest()
