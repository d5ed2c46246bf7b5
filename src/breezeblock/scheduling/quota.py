"""Quota: checked against the sum of the rows, in the transaction that adds the row. Nothing is reserved."""

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breezeblock.config import Settings
from breezeblock.db import quotas, tables, volume_types
from breezeblock.errors import OverQuota

RESOURCES = ("volumes", "snapshots", "gigabytes", "backups", "backup_gigabytes", "groups")
"""What is counted."""

LIMITED = (*RESOURCES, "per_volume_gigabytes")
"""What every project has a limit of, beside those by volume type."""

BY_TYPE = ("volumes", "gigabytes", "snapshots")
"""What there may be a limit of for each volume type, as `volumes_<type>`."""


def limits(connection: Connection, settings: Settings, project_id: str) -> dict[str, int]:
    """A project's limits by resource; -1 is without limit. Those by type that nobody has set are not in it."""
    return defaults(connection, settings) | quotas.limits(connection, project_id)


def defaults(connection: Connection, settings: Settings, class_name: str = quotas.DEFAULT_CLASS) -> dict[str, int]:
    """The limits of a class: its own, else those of the default class, else the configuration's."""
    found = {resource: int(settings.default[f"quota_{resource}"]) for resource in RESOURCES}
    found["per_volume_gigabytes"] = int(settings.per_volume_size_limit)
    found |= quotas.class_limits(connection, quotas.DEFAULT_CLASS)
    return found if class_name == quotas.DEFAULT_CLASS else found | quotas.class_limits(connection, class_name)


def names_by_type(connection: Connection) -> dict[str, tuple[str, str]]:
    """The resources by volume type: what is counted, and the type's id, by the name of the limit."""
    types = tables.volume_types
    rows = connection.execute(sa.select(types.c.id, types.c.name).order_by(types.c.name))
    return {f"{part}_{row.name}": (part, row.id) for row in rows for part in BY_TYPE}


def in_use(usage: quotas.Usage, settings: Settings) -> dict[str, int]:
    """What counts against each limit; snapshots count as gigabytes unless `no_snapshot_gb_quota`."""
    snapshots = 0 if settings.no_snapshot_gb_quota else usage.snapshot_gigabytes
    return {
        "volumes": usage.volumes,
        "snapshots": usage.snapshots,
        "gigabytes": usage.volume_gigabytes + snapshots,
        "backups": usage.backups,
        "backup_gigabytes": usage.backup_gigabytes,
        "groups": usage.groups,
    }


def check(
    connection: Connection,
    settings: Settings,
    project_id: str,
    *,
    volume_size: int | None = None,
    type_id: str | None = None,
    **more: int,
) -> None:
    """Whether a project may have so much more of each resource, of that volume type, and a volume of `volume_size` GiB.

    Raises `OverQuota` naming the first limit in the way.
    """
    allowed, usage = limits(connection, settings, project_id), quotas.usage(connection, project_id)
    largest = allowed["per_volume_gigabytes"]
    if volume_size is not None and 0 <= largest < volume_size:
        raise OverQuota(f"A volume of {volume_size} GiB is larger than the limit of {largest} GiB for one volume.")
    _refuse_over(in_use(usage, settings), more, allowed)
    if type_id is not None:
        _check_type(connection, settings, type_id, allowed, usage, more)


def check_type(connection: Connection, settings: Settings, project_id: str, type_id: str | None, **more: int) -> None:
    """Whether a project may have so much more of that volume type alone. Raises `OverQuota`."""
    if type_id is not None:
        allowed, usage = limits(connection, settings, project_id), quotas.usage(connection, project_id)
        _check_type(connection, settings, type_id, allowed, usage, more)


def _check_type(
    connection: Connection,
    settings: Settings,
    type_id: str,
    allowed: dict[str, int],
    usage: quotas.Usage,
    more: dict[str, int],
) -> None:
    name = volume_types.name_of(connection, type_id)
    if name is not None:
        of_type = {part: allowed.get(f"{part}_{name}", -1) for part in BY_TYPE}
        _refuse_over(in_use(usage.of_type(type_id), settings), more, of_type, f"_{name}")


def _refuse_over(used: dict[str, int], more: dict[str, int], allowed: dict[str, int], suffix: str = "") -> None:
    for resource, amount in more.items():
        limit = allowed.get(resource, -1)
        if limit >= 0 and amount > 0 and used[resource] + amount > limit:
            raise OverQuota(
                f"{_WORDS[resource]} of {limit} exceeded for quota '{resource}{suffix}': {used[resource]} are in use and "
                f"{amount} more were asked for. Delete something or ask for a larger quota."
            )


_WORDS = {
    "volumes": "Maximum number of volumes",
    "snapshots": "Maximum number of snapshots",
    "gigabytes": "Maximum of GiB",
    "backups": "Maximum number of backups",
    "backup_gigabytes": "Maximum of GiB of backups",
    "groups": "Maximum number of groups",
}
