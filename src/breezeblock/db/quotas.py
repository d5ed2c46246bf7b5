"""Quota: what a project may have, and what it has, which is a sum over the rows and nothing else."""

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breezeblock.db import tables


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What a project has. GiB of volumes, snapshots and backups are told apart."""

    volumes: int
    volume_gigabytes: int
    snapshots: int
    snapshot_gigabytes: int
    backups: int
    backup_gigabytes: int


def usage(connection: Connection, project_id: str) -> Usage:
    """The sums over a project's rows, in one statement."""

    def sums(table: sa.Table, size: str) -> list[sa.ScalarSelect[int]]:
        mine = table.c.project_id == project_id
        if "consumes_quota" in table.c:
            mine = mine & table.c.consumes_quota
        return [
            sa.select(sa.func.count()).select_from(table).where(mine).scalar_subquery(),
            sa.select(sa.func.coalesce(sa.func.sum(table.c[size]), 0)).where(mine).scalar_subquery(),
        ]

    row = connection.execute(
        sa.select(*sums(tables.volumes, "size"), *sums(tables.snapshots, "volume_size"), *sums(tables.backups, "size"))
    ).one()
    return Usage(
        volumes=row[0],
        volume_gigabytes=int(row[1]),
        snapshots=row[2],
        snapshot_gigabytes=int(row[3]),
        backups=row[4],
        backup_gigabytes=int(row[5]),
    )


def limits(connection: Connection, project_id: str) -> dict[str, int]:
    """The limits set for a project, by resource; those not set are the configuration's."""
    quotas = tables.quotas
    query = sa.select(quotas.c.resource, quotas.c.limit).where(quotas.c.project_id == project_id)
    return {row.resource: row.limit for row in connection.execute(query)}


def set_limits(connection: Connection, project_id: str, limits: dict[str, int]) -> None:
    """Set limits of a project."""
    quotas = tables.quotas
    connection.execute(sa.delete(quotas).where(quotas.c.project_id == project_id, quotas.c.resource.in_(list(limits))))
    for resource, limit in limits.items():
        connection.execute(quotas.insert(), {"project_id": project_id, "resource": resource, "limit": limit})
