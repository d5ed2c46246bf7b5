"""Admission: quota, placement and the row of a new volume, together in the caller's transaction."""

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breezeblock.config import Settings
from breezeblock.db import volumes
from breezeblock.model import clock
from breezeblock.model.operation import Answer
from breezeblock.model.volume import Volume
from breezeblock.scheduling import quota
from breezeblock.scheduling.placement import Wanted, place


def take_turn(connection: Connection) -> None:
    """Let admissions, and deletions of what is copied from, go one after the other until the transaction ends; a SQLite
    writer is alone anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtextextended('breezeblock.admission', 0))"))


def admit_volume(
    connection: Connection, settings: Settings, draft: Volume, wanted: Wanted
) -> tuple[Volume, list[Answer]]:
    """Check the quota, choose a pool, and insert the volume with its host and zone. The caller has taken its turn.

    Returns the volume as inserted and what placement answered. Raises `OverQuota` or `NoValidBackend`.
    """
    if draft.consumes_quota:
        more = {"volumes": 1, "gigabytes": draft.size}
        quota.check(
            connection, settings, draft.project_id, volume_size=draft.size, type_id=draft.volume_type_id, **more
        )
    placement = place(connection, wanted)
    volume = msgspec.structs.replace(
        draft,
        host=placement.pool.name,
        availability_zone=placement.pool.availability_zone,
        scheduled_at=clock.now(),
    )
    volumes.insert(connection, volume)
    return volume, placement.answers
