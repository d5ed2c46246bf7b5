"""Idempotency keys: the resource that the first request with a key made, so that a repeated one makes no second."""

import hashlib
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breezeblock.db import tables
from breezeblock.errors import Conflict, InvalidInput
from breezeblock.model import clock

KEPT_SECONDS = 24 * 3600
MAX_LENGTH = 255
_table = tables.idempotency_keys


def made_before(connection: Connection, project_id: str, key: str, request: Any) -> str | None:
    """The id of what the first request with this key made, or None where this is the first.

    Raises:
        Conflict: the key was used for another request.
        InvalidInput: the key is empty or too long.
    """
    if not 0 < len(key) <= MAX_LENGTH:
        raise InvalidInput(f"An Idempotency-Key has 1 to {MAX_LENGTH} characters.")
    _forget_old(connection, project_id)
    mine = (_table.c.project_id == project_id) & (_table.c.key == key)
    row = connection.execute(sa.select(_table.c.fingerprint, _table.c.resource_id).where(mine)).one_or_none()
    if row is None:
        return None
    if row.fingerprint != _fingerprint(request):
        raise Conflict(f"The Idempotency-Key {key} was used for another request within the last day.")
    return str(row.resource_id)


def keep(connection: Connection, project_id: str, key: str, request: Any, resource_id: str) -> None:
    """Note what the first request with a key makes, in the transaction that makes it."""
    row = {
        "project_id": project_id,
        "key": key,
        "fingerprint": _fingerprint(request),
        "resource_id": resource_id,
        "created_at": clock.now(),
    }
    connection.execute(_table.insert(), row)


def _fingerprint(request: Any) -> str:
    return hashlib.sha256(msgspec.json.encode(request)).hexdigest()


def _forget_old(connection: Connection, project_id: str) -> None:
    old = (_table.c.project_id == project_id) & (_table.c.created_at < clock.after(-KEPT_SECONDS))
    connection.execute(sa.delete(_table).where(old))
