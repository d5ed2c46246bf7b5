"""Calls on what lies on a backend and is managed by nobody, and the actions that let go of what is managed."""

from typing import Any

import msgspec

from breezeblock.api.call import Call
from breezeblock.api.schemas.fields import flag, trimmed
from breezeblock.api.schemas.manageable import ClusterVolumeManage, SnapshotManage, VolumeManage
from breezeblock.api.views import manageable as view
from breezeblock.api.views import snapshots as snapshot_view
from breezeblock.api.views import volumes as volume_view
from breezeblock.api.views.snapshots import SnapshotView
from breezeblock.api.views.volumes import VolumeView
from breezeblock.errors import InvalidInput
from breezeblock.services import manage

SORT_KEYS, SORT_DIRECTIONS = ("reference", "size"), ("asc", "desc")


def manage_volume(call: Call) -> volume_view.OneVolume:
    """POST /os-volume-manage."""
    body: VolumeManage | ClusterVolumeManage = call.body.content
    cluster = body.cluster if isinstance(body, ClusterVolumeManage) else None
    host = _host(call, body.host, cluster, 16)
    request = manage.ManageVolume(
        host=host,
        reference=_reference(body.ref),
        name=trimmed(body.name),
        description=trimmed(body.description),
        volume_type=body.volume_type or None,
        metadata=body.metadata or {},
        availability_zone=body.availability_zone,
        bootable=flag(body.bootable, "bootable"),
    )
    volume = manage.manage_volume(call.database, call.settings, call.context, request)
    with call.database.read() as connection:
        types = volume_view.type_names(connection)
    return {"volume": VolumeView(call, types, extended=False).detail(volume_view.row_of(volume), {})}


def manage_snapshot(call: Call) -> snapshot_view.OneSnapshot:
    """POST /os-snapshot-manage."""
    body: SnapshotManage = call.body.content
    fields = {"name": trimmed(body.name), "description": trimmed(body.description), "metadata": body.metadata or {}}
    snapshot = manage.manage_snapshot(
        call.database, call.settings, call.context, body.volume_id, _reference(body.ref), **fields
    )
    return {"snapshot": SnapshotView(call, extended=False).detail(snapshot_view.row_of(snapshot))}


def unmanage_volume(call: Call) -> None:
    """os-unmanage of a volume (administrators)."""
    manage.unmanage_volume(call.database, call.context, call.id)


def unmanage_snapshot(call: Call) -> None:
    """os-unmanage of a snapshot (administrators)."""
    manage.unmanage_snapshot(call.database, call.context, call.id)


def volume_summaries(call: Call) -> view.ManageableVolumeSummaries:
    """GET /os-volume-manage."""
    return {"manageable-volumes": [view.volume_summary(one) for one in _page(call, "volume")]}


def volume_details(call: Call) -> view.ManageableVolumeDetails:
    """GET /os-volume-manage/detail."""
    return {"manageable-volumes": [view.volume_detail(one) for one in _page(call, "volume")]}


def snapshot_summaries(call: Call) -> view.ManageableSnapshotSummaries:
    """GET /os-snapshot-manage."""
    return {"manageable-snapshots": [view.snapshot_summary(one) for one in _page(call, "snapshot")]}


def snapshot_details(call: Call) -> view.ManageableSnapshotDetails:
    """GET /os-snapshot-manage/detail."""
    return {"manageable-snapshots": [view.snapshot_detail(one) for one in _page(call, "snapshot")]}


def _page(call: Call, kind: str) -> list[dict[str, Any]]:
    """Cinder's `paginate_entries_list`: the marker is a reference as JSON, after which the page begins."""
    host = _host(call, call.query.get("host"), call.query.get("cluster"), 17)
    order = _order(call)
    limit, offset = _number(call, "limit", call.settings.osapi_max_limit), _number(call, "offset", 0)
    found = manage.manageable(call.database, call.context, host, kind)
    for key, direction in reversed(order):
        found.sort(key=lambda one, by=key: _sortable(one[by]), reverse=direction == "desc")  # type: ignore[misc]
    begin = offset + (_after(found, call.query["marker"]) if "marker" in call.query else 0)
    return found[begin : begin + min(limit, call.settings.osapi_max_limit)]


def _sortable(value: Any) -> Any:
    return sorted(value.values())[0] if isinstance(value, dict) else value


def _after(found: list[dict[str, Any]], marker: str) -> int:
    try:
        reference = msgspec.json.decode(marker)
    except msgspec.DecodeError as error:
        raise InvalidInput(
            f"Invalid input received: marker {marker} can not be analysed, please use json like format"
        ) from error
    for number, one in enumerate(found):
        if one["reference"] == reference:
            return number + 1
    raise InvalidInput(f"Invalid input received: marker not found: {marker}")


def _order(call: Call) -> list[tuple[str, str]]:
    """Sort keys with their directions, as `sort=KEY:DIRECTION,…` or by Cinder's older two parameters."""
    if "sort" in call.query:
        pairs = [one.strip().partition(":") for one in call.query["sort"].split(",")]
        order = [(key.strip(), direction.strip() or "desc") for key, _, direction in pairs]
    else:
        order = [(call.query.get("sort_key", "reference"), call.query.get("sort_dir", "desc"))]
    for what, values, known in (
        ("keys", [key for key, _ in order], SORT_KEYS),
        ("dirs", [direction for _, direction in order], SORT_DIRECTIONS),
    ):
        unknown = [value for value in values if value not in known]
        if unknown:
            raise InvalidInput(f"Invalid sort {what} passed: {', '.join(unknown)}")
    return order


def _number(call: Call, name: str, default: int) -> int:
    word = call.query.get(name)
    if word is None:
        return default
    if not word.isdecimal() or len(word) > 9:
        raise InvalidInput(f"{name} param must be a whole number, not negative.")
    return int(word)


def _host(call: Call, host: str | None, cluster: str | None, clusters_since: int) -> str:
    """The host asked for. A cluster is asked for as a host: there is none of them here."""
    if call.version < clusters_since:
        cluster = None
    if bool(cluster) == bool(host):
        known = call.version >= clusters_since
        message = "One and only one of cluster and host must be set." if known else "Host field is missing."
        raise InvalidInput(f"Invalid input received: {message}")
    return str(host or cluster)


def _reference(ref: Any) -> dict[str, str]:
    if not isinstance(ref, dict) or not all(isinstance(value, str) for value in ref.values()):
        raise InvalidInput("Invalid input for field/attribute ref. It is an object, such as {'source-name': NAME}.")
    return ref
