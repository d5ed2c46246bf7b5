"""All that is compared: what the stores have and what the rows say, looked at so that nothing under way looks wrong.

The stores are looked at first and the rows after them, in one snapshot. What an operation is live for, or was about
since the look began, is left out of every comparison: its row or its object may have come or gone in between.
"""

import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from breezeblock.config import Settings
from breezeblock.db import services, survey
from breezeblock.db.connect import Database
from breezeblock.db.survey import Survey
from breezeblock.flows.backup_bases import moment_id
from breezeblock.flows.image_ladder.sharing import copy_id
from breezeblock.model import clock
from breezeblock.services.doctor.backup_store import StoredBackups, look_at_backups
from breezeblock.services.doctor.stores import Storage, look_at_images, look_at_keys, look_at_storage
from breezeblock.services.hydration import HYDRATE


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """Stores and rows. `busy` are the ids that something is or was under way for."""

    storages: dict[str, Storage]
    """By `host@backend`."""
    stored_backups: StoredBackups
    keys: frozenset[str] | None
    """Ids of the keys there are; None where they are not kept by this service."""
    image_files: frozenset[str] | None
    """Files there were before and after the rows were read; None without a local image store."""
    image_files_ever: frozenset[str]
    """Files there were before or after."""
    rows: Survey
    live: frozenset[str]
    """Ids of flows that are requested or run."""
    busy: frozenset[str]


def take(settings: Settings, database: Database) -> Picture:
    """Look at everything. Changes nothing."""
    began = clock.now()
    with database.read() as connection:
        active = {own.backend: services.active_backend_id(connection, own.backend) for own in settings.backends}
    storages = {own.backend: look_at_storage(own, active[own.backend]) for own in settings.backends}
    stored = look_at_backups(settings)
    keys = look_at_keys(settings)
    before = look_at_images(settings)
    rows = survey.take(database, began)
    after = look_at_images(settings)
    return Picture(
        storages=storages,
        stored_backups=stored,
        keys=keys,
        image_files=None if before is None or after is None else before & after,
        image_files_ever=(before or frozenset()) | (after or frozenset()),
        rows=rows,
        live=frozenset(request.id for request in rows.requests),
        busy=busy_ids(rows),
    )


def busy_ids(rows: Survey) -> frozenset[str]:
    """What live flows are about: their resources, what their arguments name, and what belongs to those.

    A volume whose content is on its way is used like any other, and compared like any other.
    """
    requests = [request for request in rows.requests if request.flow != HYDRATE]
    live = {request.id for request in requests}
    busy = set(rows.touched) | {one.resource_id for one in rows.open_operations if one.id in live}
    for request in requests:
        busy.update(_texts(request.arguments))
    for backup in rows.backups:
        if backup.id in busy:
            busy.add(backup.volume_id)
    for snapshot in rows.snapshots:
        if snapshot.group_snapshot_id in busy:
            busy.add(snapshot.id)  # the storage takes it with the others
        if snapshot.volume_id in busy and snapshot.status == "deleting":
            busy.add(snapshot.id)  # a cascade takes it
    busy |= {moment_id(one) for one in busy if _is_uuid(one)}  # what a backup is read from
    busy |= {copy_id(one) for one in live if _is_uuid(one)}  # what creates leave for each other
    return frozenset(busy)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
