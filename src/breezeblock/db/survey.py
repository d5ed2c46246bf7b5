"""Everything the database says of one moment, for `breezeblock doctor`: a fixed number of statements, no write lock."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breezeblock.db import pools, records, tables
from breezeblock.db.connect import Database
from breezeblock.db.image_cache import CacheEntry
from breezeblock.db.operations import FlowRequest, Resource, noun_of
from breezeblock.model.attachment import Attachment
from breezeblock.model.backup import Backup
from breezeblock.model.group import Group
from breezeblock.model.group_snapshot import GroupSnapshot
from breezeblock.model.image import ImageKey
from breezeblock.model.snapshot import Snapshot
from breezeblock.model.volume import Volume


class OpenOperation(msgspec.Struct, frozen=True, kw_only=True):
    """An operation that is not ended."""

    id: str
    kind: str
    resource_type: str
    resource_id: str
    state: str


class UnpairedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Events of one operation and resource whose starts and ends are not as many. `name` is such as `volume.create`."""

    operation_id: str
    name: str
    resource_type: str
    resource_id: str
    project_id: str
    starts: int
    ends: int


class Survey(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of one moment."""

    volumes: list[Volume]
    snapshots: list[Snapshot]
    backups: list[Backup]
    groups: list[Group]
    group_snapshots: list[GroupSnapshot]
    attachments: list[Attachment]
    cache_entries: list[CacheEntry]
    image_keys: list[ImageKey]
    images: dict[str, str]
    """Status by id."""
    requests: list[FlowRequest]
    open_operations: list[OpenOperation]
    unpaired: list[UnpairedEvent]
    problems: dict[str, str]
    """Why backends cannot work, by `host@backend`, as their workers say."""
    touched: frozenset[str]
    """Ids of the resources that an operation or event was about since the time asked for."""

    def resources(self) -> Iterator[tuple[str, Resource]]:
        """All that have a status and belong to a project, each with what it is."""
        for found in (self.volumes, self.snapshots, self.backups, self.groups, self.group_snapshots):
            yield from ((noun_of(row), row) for row in found)


def take(database: Database, since: str) -> Survey:
    """The rows of this moment; `touched` counts from the time `since` (`model.clock`) on."""
    with _moment(database) as connection:
        return Survey(
            volumes=records.fetch_all(connection, sa.select(tables.volumes), Volume),
            snapshots=records.fetch_all(connection, sa.select(tables.snapshots), Snapshot),
            backups=records.fetch_all(connection, sa.select(tables.backups), Backup),
            groups=records.fetch_all(connection, sa.select(tables.groups), Group),
            group_snapshots=records.fetch_all(connection, sa.select(tables.group_snapshots), GroupSnapshot),
            attachments=records.fetch_all(connection, sa.select(tables.attachments), Attachment),
            cache_entries=records.fetch_all(connection, sa.select(tables.image_cache_entries), CacheEntry),
            image_keys=records.fetch_all(connection, sa.select(tables.image_keys), ImageKey),
            images={row.id: row.status for row in connection.execute(sa.select(tables.images))},
            requests=records.fetch_all(connection, sa.select(tables.flow_requests), FlowRequest),
            open_operations=_open_operations(connection),
            unpaired=_unpaired_events(connection),
            problems=pools.problems(connection),
            touched=_touched(connection, since),
        )


@contextmanager
def _moment(database: Database) -> Iterator[Connection]:
    """All statements see the same state of the tables; writers go on."""
    with database.read() as connection:
        connection.exec_driver_sql("BEGIN" if database.is_sqlite else "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            yield connection
        finally:
            connection.exec_driver_sql("ROLLBACK")


def _open_operations(connection: Connection) -> list[OpenOperation]:
    table = tables.operations
    query = sa.select(table.c.id, table.c.kind, table.c.resource_type, table.c.resource_id, table.c.state)
    return records.fetch_all(
        connection, query.where(table.c.state.in_(["queued", "running", "stalled"])), OpenOperation
    )


def _unpaired_events(connection: Connection) -> list[UnpairedEvent]:
    table = tables.events
    kind: sa.ColumnElement[Any] = table.c.type
    for ending in (".start", ".end", ".error"):
        kind = sa.func.replace(kind, ending, "")
    started = sa.case((table.c.type.like("%.start"), 1), else_=0)
    ended = sa.case((sa.or_(table.c.type.like("%.end"), table.c.type.like("%.error")), 1), else_=0)
    inner = sa.select(
        table.c.operation_id,
        kind.label("name"),
        table.c.resource_type,
        table.c.resource_id,
        table.c.project_id,
        started.label("started"),
        ended.label("ended"),
    )
    each = inner.where(table.c.operation_id.is_not(None)).subquery()
    group = (each.c.operation_id, each.c.name, each.c.resource_type, each.c.resource_id, each.c.project_id)
    starts, ends = sa.func.sum(each.c.started), sa.func.sum(each.c.ended)
    query = sa.select(*group, starts.label("starts"), ends.label("ends")).group_by(*group).having(starts != ends)
    return records.fetch_all(connection, query.order_by(each.c.operation_id, each.c.name), UnpairedEvent)


def _touched(connection: Connection, since: str) -> frozenset[str]:
    operations, events = tables.operations, tables.events
    ended = sa.select(operations.c.resource_id).where(operations.c.finished_at >= since)
    told = sa.select(events.c.resource_id).where(events.c.created_at >= since)
    return frozenset(connection.execute(ended.union(told)).scalars())
