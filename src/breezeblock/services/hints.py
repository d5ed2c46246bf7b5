"""Scheduler hints of a create: volumes and servers become the places where they are."""

from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breezeblock.context import RequestContext
from breezeblock.db import tables
from breezeblock.scheduling.hints import Hints, parsed


class AskedHints(msgspec.Struct, frozen=True, kw_only=True):
    """What a user says: ids of volumes, the id of a server, a query. Other hints mean nothing."""

    same_host: tuple[str, ...] | None = None
    different_host: tuple[str, ...] = ()
    local_to_instance: str | None = None
    query: str | None = None


def settle(connection: Connection, context: RequestContext, asked: AskedHints) -> Hints:
    """The hints as placement takes them; another project's volumes are as if they were not there.

    Raises `InvalidInput` for a query that is not JSON.
    """
    if asked.query is not None:
        parsed(asked.query)
    return Hints(
        same=_backends(connection, context, asked.same_host) if asked.same_host else None,
        different=_backends(connection, context, asked.different_host),
        near=_hosts_of(connection, context, asked.local_to_instance) if asked.local_to_instance else None,
        query=asked.query,
    )


def _backends(connection: Connection, context: RequestContext, volume_ids: tuple[str, ...]) -> frozenset[str]:
    if not volume_ids:
        return frozenset()
    volumes = tables.volumes
    found = connection.execute(_own(sa.select(volumes.c.host).where(volumes.c.id.in_(volume_ids)), volumes, context))
    return frozenset(host.partition("#")[0] for host in found.scalars() if host)


def _hosts_of(connection: Connection, context: RequestContext, server: str) -> frozenset[str]:
    table = tables.attachments
    query = sa.select(table.c.attached_host).where(table.c.instance_uuid == server)
    found = connection.execute(_own(query, table, context))
    return frozenset(host for host in found.scalars() if host)


def _own(query: sa.Select[Any], table: sa.Table, context: RequestContext) -> sa.Select[Any]:
    project = context.own_project
    return query if project is None else query.where(table.c.project_id == project)
