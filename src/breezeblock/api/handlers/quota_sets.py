"""Calls on quotas and limits."""

from typing import Any

import sqlalchemy as sa

from breezeblock.api.call import Call
from breezeblock.api.schemas.quota_sets import QuotaSet
from breezeblock.db import quotas, tables
from breezeblock.errors import InvalidInput
from breezeblock.scheduling import quota

GROUPS = 10
"""Limit of groups, of which there are none yet."""

RESOURCES = (*quota.RESOURCES, "per_volume_gigabytes", "groups")


def _limits_and_usage(call: Call, project_id: str) -> tuple[dict[str, int], dict[str, int]]:
    with call.database.read() as connection:
        limits = {"groups": GROUPS} | quota.limits(connection, call.settings, project_id)
        used = quota.in_use(quotas.usage(connection, project_id), call.settings)
    return limits, {name: used.get(name, 0) for name in RESOURCES}


def show(call: Call) -> Any:
    """GET /os-quota-sets/{project}, with what is in use by `?usage=True`."""
    call.must("volume_extension:quotas:show", call.id)
    limits, used = _limits_and_usage(call, call.id)
    if call.flag("usage"):
        shown: dict[str, Any] = {
            name: {"limit": limits[name], "in_use": used[name], "reserved": 0} for name in RESOURCES
        }
        return {"quota_set": shown | {"id": call.id}}
    return {"quota_set": {name: limits[name] for name in RESOURCES} | {"id": call.id}}


def defaults(call: Call) -> Any:
    """GET /os-quota-sets/{project}/defaults: the configuration's."""
    call.must("volume_extension:quotas:show", call.id)
    shown: dict[str, Any] = {"groups": GROUPS} | quota.defaults(call.settings)
    return {"quota_set": shown | {"id": call.id}}


def update(call: Call) -> Any:
    """PUT /os-quota-sets/{project}. A limit below what is in use is refused, as Cinder does."""
    body: QuotaSet = call.body.content
    asked = {name: getattr(body, name) for name in RESOURCES if getattr(body, name) is not None}
    _, used = _limits_and_usage(call, call.id)
    for name, limit in asked.items():
        if 0 <= limit < used[name] and name != "per_volume_gigabytes":
            raise InvalidInput(
                f"Quota {name} limit must be equal or greater than existing resources. Current usage is {used[name]} "
                f"and the requested limit is {limit}."
            )
    if asked:
        with call.database.begin() as connection:
            quotas.set_limits(connection, call.id, asked)
    limits, _ = _limits_and_usage(call, call.id)
    return {"quota_set": {name: limits[name] for name in RESOURCES}}


def reset(call: Call) -> None:
    """DELETE /os-quota-sets/{project}: back to the configuration's."""
    with call.database.begin() as connection:
        connection.execute(sa.delete(tables.quotas).where(tables.quotas.c.project_id == call.id))


def limits(call: Call) -> Any:
    """GET /limits; of another project for an administrator from 3.39 on."""
    project_id = call.context.project_id
    if call.version >= 39 and call.context.is_admin:
        project_id = call.query.get("project_id", call.query.get("tenant_id", project_id))
    allowed, used = _limits_and_usage(call, project_id)
    absolute = {
        "maxTotalVolumes": allowed["volumes"],
        "maxTotalVolumeGigabytes": allowed["gigabytes"],
        "maxTotalSnapshots": allowed["snapshots"],
        "maxTotalBackups": allowed["backups"],
        "maxTotalBackupGigabytes": allowed["backup_gigabytes"],
    }
    if call.may("limits_extension:used_limits"):
        absolute |= {
            "totalVolumesUsed": used["volumes"],
            "totalGigabytesUsed": used["gigabytes"],
            "totalSnapshotsUsed": used["snapshots"],
            "totalBackupsUsed": used["backups"],
            "totalBackupGigabytesUsed": used["backup_gigabytes"],
        }
    return {"limits": {"rate": [], "absolute": absolute}}
