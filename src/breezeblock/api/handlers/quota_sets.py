"""Calls on quotas, their classes, and limits."""

from typing import Any, NotRequired, TypedDict

from sqlalchemy.engine import Connection

from breezeblock.api.call import Call
from breezeblock.api.schemas.quota_sets import NOT_A_LIMIT, limit
from breezeblock.config import Settings
from breezeblock.db import quotas
from breezeblock.errors import InvalidInput
from breezeblock.scheduling import quota


class Usage(TypedDict):
    """A limit and what counts against it."""

    limit: int
    in_use: int
    reserved: int


class QuotaSet(TypedDict):
    """Limits by name, -1 for none, or with what is in use; `id` is the project."""

    quota_set: dict[str, int | str | Usage]


class QuotaClassSet(TypedDict):
    """The limits of a class by name, -1 for none; `id` is the class."""

    quota_class_set: dict[str, int | str]


class AbsoluteLimits(TypedDict):
    """A project's limits, and what it has in use for those whom policy tells it. Sizes are GiB."""

    maxTotalVolumes: int
    maxTotalVolumeGigabytes: int
    maxTotalSnapshots: int
    maxTotalBackups: int
    maxTotalBackupGigabytes: int
    totalVolumesUsed: NotRequired[int]
    totalGigabytesUsed: NotRequired[int]
    totalSnapshotsUsed: NotRequired[int]
    totalBackupsUsed: NotRequired[int]
    totalBackupGigabytesUsed: NotRequired[int]


class Limits(TypedDict):
    """Limits; there are none on rates."""

    rate: list[Any]
    absolute: AbsoluteLimits


class LimitsShown(TypedDict):
    """The limits of a project."""

    limits: Limits


def show(call: Call) -> QuotaSet:
    """GET /os-quota-sets/{project}, with what is in use by `?usage=True`; nothing is ever reserved."""
    call.must("volume_extension:quotas:show", call.id)
    with call.database.read() as connection:
        limits = _shown(connection, quota.limits(connection, call.settings, call.id))
        if not call.flag("usage"):
            return {"quota_set": limits | {"id": call.id}}
        used = _used(connection, call.settings, call.id)
    shown: dict[str, Any] = {
        name: {"limit": most, "in_use": used.get(name, 0), "reserved": 0} for name, most in limits.items()
    }
    return {"quota_set": shown | {"id": call.id}}


def defaults(call: Call) -> QuotaSet:
    """GET /os-quota-sets/{project}/defaults: those of the default class."""
    call.must("volume_extension:quotas:show", call.id)
    with call.database.read() as connection:
        limits = _shown(connection, quota.defaults(connection, call.settings))
    return {"quota_set": limits | {"id": call.id}}


def update(call: Call) -> QuotaSet:
    """PUT /os-quota-sets/{project}. A limit below what is in use is refused, as Cinder does."""
    _check_id(call, "quota_set_name")
    with call.database.begin() as connection:
        asked = _asked(connection, call.body.content, "quota set", NOT_A_LIMIT)
        used = _used(connection, call.settings, call.id)
        for name, most in asked.items():
            if 0 <= most < used.get(name, 0):
                raise InvalidInput(
                    f"Quota {name} limit must be equal or greater than existing resources. Current usage is "
                    f"{used[name]} and the requested limit is {most}."
                )
        quotas.set_limits(connection, call.id, asked)
        return {"quota_set": _shown(connection, quota.limits(connection, call.settings, call.id))}


def reset(call: Call) -> None:
    """DELETE /os-quota-sets/{project}: back to the default class."""
    with call.database.begin() as connection:
        quotas.reset(connection, call.id)


def show_class(call: Call) -> QuotaClassSet:
    """GET /os-quota-class-sets/{class}: its limits, and those of the default class where it has none."""
    with call.database.read() as connection:
        limits = _shown(connection, quota.defaults(connection, call.settings, call.id))
    return {"quota_class_set": limits | {"id": call.id}}


def update_class(call: Call) -> QuotaClassSet:
    """PUT /os-quota-class-sets/{class}."""
    _check_id(call, "quota_class_name")
    with call.database.begin() as connection:
        quotas.set_class_limits(connection, call.id, _asked(connection, call.body.content, "quota class set", set()))
        return {"quota_class_set": _shown(connection, quota.defaults(connection, call.settings, call.id))}


def limits(call: Call) -> LimitsShown:
    """GET /limits; of another project for an administrator from 3.39 on."""
    project_id = call.context.project_id
    if call.version >= 39 and call.context.is_admin:
        project_id = call.query.get("project_id", call.query.get("tenant_id", project_id))
    with call.database.read() as connection:
        allowed = quota.limits(connection, call.settings, project_id)
        used = quota.in_use(quotas.usage(connection, project_id), call.settings)
    absolute: AbsoluteLimits = {
        "maxTotalVolumes": allowed["volumes"],
        "maxTotalVolumeGigabytes": allowed["gigabytes"],
        "maxTotalSnapshots": allowed["snapshots"],
        "maxTotalBackups": allowed["backups"],
        "maxTotalBackupGigabytes": allowed["backup_gigabytes"],
    }
    if call.may("limits_extension:used_limits"):
        absolute["totalVolumesUsed"] = used["volumes"]
        absolute["totalGigabytesUsed"] = used["gigabytes"]
        absolute["totalSnapshotsUsed"] = used["snapshots"]
        absolute["totalBackupsUsed"] = used["backups"]
        absolute["totalBackupGigabytesUsed"] = used["backup_gigabytes"]
    return {"limits": {"rate": [], "absolute": absolute}}


def _shown(connection: Connection, limits: dict[str, int]) -> dict[str, Any]:
    """All limits, those of each volume type too; a type that nobody has limited is without limit."""
    names = [*quota.LIMITED, *quota.names_by_type(connection)]
    return {name: limits.get(name, -1) for name in names}


def _used(connection: Connection, settings: Settings, project_id: str) -> dict[str, int]:
    """What a project has in use, by the name of the limit that it counts against."""
    usage = quotas.usage(connection, project_id)
    found = quota.in_use(usage, settings)
    for name, (part, type_id) in quota.names_by_type(connection).items():
        found[name] = quota.in_use(usage.of_type(type_id), settings)[part]
    return found


def _asked(connection: Connection, body: dict[str, Any], what: str, passed_over: set[str]) -> dict[str, int]:
    """The limits that a body sets. Raises `InvalidInput` that names the keys nobody knows, in Cinder's words."""
    known = {*quota.LIMITED, *quota.names_by_type(connection), *passed_over}
    unknown = [name for name in body if name not in known]
    if unknown:
        raise InvalidInput(f"Invalid input received: Bad key(s) in {what}: {', '.join(unknown)}")
    return {name: limit(value, name) for name, value in body.items() if name not in passed_over}


def _check_id(call: Call, name: str) -> None:
    if len(call.id) > 255:
        raise InvalidInput(f"{name} has {len(call.id)} characters, more than 255.")
