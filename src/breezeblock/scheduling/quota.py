"""Quota: checked against the sum of the rows, in the transaction that adds the row. Nothing is reserved."""

from sqlalchemy.engine import Connection

from breezeblock.config import Settings
from breezeblock.db import quotas
from breezeblock.errors import OverQuota

RESOURCES = ("volumes", "snapshots", "gigabytes", "backups", "backup_gigabytes")


def limits(connection: Connection, settings: Settings, project_id: str) -> dict[str, int]:
    """A project's limits by resource; -1 is without limit."""
    return defaults(settings) | quotas.limits(connection, project_id)


def defaults(settings: Settings) -> dict[str, int]:
    """The limits of a project that has none of its own: the configuration's."""
    found = {resource: int(settings.default[f"quota_{resource}"]) for resource in RESOURCES}
    found["per_volume_gigabytes"] = int(settings.per_volume_size_limit)
    return found


def in_use(usage: quotas.Usage, settings: Settings) -> dict[str, int]:
    """What counts against each limit; snapshots count as gigabytes unless `no_snapshot_gb_quota`."""
    snapshots = 0 if settings.no_snapshot_gb_quota else usage.snapshot_gigabytes
    return {
        "volumes": usage.volumes,
        "snapshots": usage.snapshots,
        "gigabytes": usage.volume_gigabytes + snapshots,
        "backups": usage.backups,
        "backup_gigabytes": usage.backup_gigabytes,
    }


def check(
    connection: Connection, settings: Settings, project_id: str, *, volume_size: int | None = None, **more: int
) -> None:
    """Whether a project may have so much more of each resource, and a volume of `volume_size` GiB.

    Raises `OverQuota` naming the first limit in the way.
    """
    allowed = limits(connection, settings, project_id)
    largest = allowed["per_volume_gigabytes"]
    if volume_size is not None and 0 <= largest < volume_size:
        raise OverQuota(f"A volume of {volume_size} GiB is larger than the limit of {largest} GiB for one volume.")
    used = in_use(quotas.usage(connection, project_id), settings)
    for resource, amount in more.items():
        limit = allowed[resource]
        if limit >= 0 and amount > 0 and used[resource] + amount > limit:
            raise OverQuota(
                f"{_WORDS[resource]} of {limit} exceeded for quota '{resource}': {used[resource]} are in use and "
                f"{amount} more were asked for. Delete something or ask for a larger quota."
            )


_WORDS = {
    "volumes": "Maximum number of volumes",
    "snapshots": "Maximum number of snapshots",
    "gigabytes": "Maximum of GiB",
    "backups": "Maximum number of backups",
    "backup_gigabytes": "Maximum of GiB of backups",
}
