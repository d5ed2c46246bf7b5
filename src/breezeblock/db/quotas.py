"""Quota: what a project may have, and what it has, which is a sum over the rows and nothing else."""

from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breezeblock.db import tables

DEFAULT_CLASS = "default"
"""The class whose limits hold for every project that has none of its own."""


class Usage(msgspec.Struct, kw_only=True):
    """What a project has, of one volume type or of all. GiB of volumes, snapshots and backups are told apart."""

    volumes: int = 0
    volume_gigabytes: int = 0
    snapshots: int = 0
    snapshot_gigabytes: int = 0
    backups: int = 0
    backup_gigabytes: int = 0
    groups: int = 0
    by_type: dict[str, "Usage"] = {}
    """Volumes and snapshots by the id of their type."""

    def of_type(self, type_id: str) -> "Usage":
        """What it has of that type."""
        return self.by_type.get(type_id) or Usage()


def _sums(noun: str, table: sa.Table, size: str) -> sa.Select[Any]:
    mine = table.c.project_id == sa.bindparam("project_id")
    if "consumes_quota" in table.c:
        mine = mine & table.c.consumes_quota
    sums = (sa.func.count().label("number"), sa.func.sum(table.c[size]).label("size"))
    query = sa.select(sa.literal(noun).label("noun"), table.c.volume_type_id, *sums)
    return query.where(mine).group_by(table.c.volume_type_id)


_GROUPS = sa.select(
    sa.literal("group"), sa.cast(sa.null(), sa.Text), sa.func.count().label("number"), sa.literal(0).label("size")
).where(tables.groups.c.project_id == sa.bindparam("project_id"))
_USAGE: sa.CompoundSelect[Any] = sa.union_all(
    _sums("volume", tables.volumes, "size"),
    _sums("snapshot", tables.snapshots, "volume_size"),
    _sums("backup", tables.backups, "size"),
    _GROUPS,
)


_LIMITS = sa.select(tables.quotas.c.resource, tables.quotas.c.limit).where(
    tables.quotas.c.project_id == sa.bindparam("project_id")
)
_CLASS_LIMITS = sa.select(tables.quota_classes.c.resource, tables.quota_classes.c.limit).where(
    tables.quota_classes.c.class_name == sa.bindparam("class_name")
)


def usage(connection: Connection, project_id: str) -> Usage:
    """The sums over a project's rows, in one statement."""
    found = Usage(by_type={})
    for row in connection.execute(_USAGE, {"project_id": project_id}):
        if row.noun == "group":
            found.groups = int(row.number)
            continue
        counted = (str(row.noun), int(row.number), int(row.size))
        _add(found, *counted)
        if row.volume_type_id is not None and row.noun != "backup":
            _add(found.by_type.setdefault(row.volume_type_id, Usage()), *counted)
    return found


def _add(usage: Usage, noun: str, count: int, size: int) -> None:
    for name, more in ((f"{noun}s", count), (f"{noun}_gigabytes", size)):
        setattr(usage, name, getattr(usage, name) + more)


def limits(connection: Connection, project_id: str) -> dict[str, int]:
    """The limits set for a project, by resource."""
    return {row.resource: row.limit for row in connection.execute(_LIMITS, {"project_id": project_id})}


def set_limits(connection: Connection, project_id: str, limits: dict[str, int]) -> None:
    """Set limits of a project."""
    quotas = tables.quotas
    connection.execute(sa.delete(quotas).where(quotas.c.project_id == project_id, quotas.c.resource.in_(list(limits))))
    for resource, limit in limits.items():
        connection.execute(quotas.insert(), {"project_id": project_id, "resource": resource, "limit": limit})


def reset(connection: Connection, project_id: str) -> None:
    """Let a project have no limits of its own."""
    connection.execute(sa.delete(tables.quotas).where(tables.quotas.c.project_id == project_id))


def class_limits(connection: Connection, class_name: str) -> dict[str, int]:
    """The limits set for a class, by resource."""
    return {row.resource: row.limit for row in connection.execute(_CLASS_LIMITS, {"class_name": class_name})}


def set_class_limits(connection: Connection, class_name: str, limits: dict[str, int]) -> None:
    """Set limits of a class."""
    classes = tables.quota_classes
    old = (classes.c.class_name == class_name) & classes.c.resource.in_(list(limits))
    connection.execute(sa.delete(classes).where(old))
    for resource, limit in limits.items():
        connection.execute(classes.insert(), {"class_name": class_name, "resource": resource, "limit": limit})


def rename(connection: Connection, resources: dict[str, str]) -> None:
    """Call limits otherwise, everywhere: old names to new ones."""
    for table in (tables.quotas, tables.quota_classes):
        for old, new in resources.items():
            connection.execute(sa.delete(table).where(table.c.resource == new))  # left by a type of that name
            connection.execute(sa.update(table).where(table.c.resource == old).values(resource=new))


def forget(connection: Connection, resources: list[str]) -> None:
    """Forget the limits of what there is no more."""
    for table in (tables.quotas, tables.quota_classes):
        connection.execute(sa.delete(table).where(table.c.resource.in_(resources)))
