"""Queries on messages to users."""

import uuid

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breezeblock.config import Settings
from breezeblock.db import records, tables
from breezeblock.model import clock
from breezeblock.model.operation import Operation
from breezeblock.model.user_message import RESOURCE_TYPES, UserMessage

_table = tables.user_messages


def write(connection: Connection, settings: Settings, operation: Operation, action: str, detail: str) -> None:
    """Tell the owner of what an operation was about that it failed, and at what."""
    resource_type = RESOURCE_TYPES[operation.resource_type]
    message = UserMessage(
        id=str(uuid.uuid4()),
        project_id=operation.project_id,
        request_id=operation.request_id,
        resource_type=resource_type,
        resource_uuid=operation.resource_id,
        event_id=f"VOLUME_{resource_type}_{action}_{detail}",
        action_id=action,
        detail_id=detail,
        created_at=clock.now(),
        expires_at=clock.after(settings.message_ttl),
    )
    records.insert(connection, _table, message)


def remove(connection: Connection, message_id: str) -> None:
    """Forget a message."""
    connection.execute(sa.delete(_table).where(_table.c.id == message_id))
