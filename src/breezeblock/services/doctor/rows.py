"""Rows against rows: statuses and flows, operations, events, attachments, the image cache, projects."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from breezeblock.model import flows
from breezeblock.model.states import PASSING
from breezeblock.services.doctor.finding import Finding
from breezeblock.services.doctor.picture import Picture

_ABOUT = ("volume_id", "snapshot_id", "backup_id", "group_id", "group_snapshot_id")
"""The argument of a flow that names what it is about."""


def check(picture: Picture) -> Iterator[Finding]:
    """All findings that need no store but for exports."""
    yield from _stuck(picture)
    yield from _flows(picture)
    yield from _events(picture)
    yield from _attachments(picture)
    yield from _exports(picture)
    yield from _without_volume(picture)
    yield from _without_group(picture)
    yield from _cache(picture)
    yield from _projects(picture)


def _stuck(picture: Picture) -> Iterator[Finding]:
    for noun, row in picture.rows.resources():
        if row.status not in PASSING or row.id in picture.busy:
            continue
        again = row.status == "deleting"
        yield Finding(
            kind="stuck",
            resource=noun,
            id=row.id,
            wrong=f"{row.status}, and no flow will ever change that",
            fix="request the delete again" if again else "end the status as if its flow had failed",
            details={"status": row.status},
        )


def _flows(picture: Picture) -> Iterator[Finding]:
    rows = picture.rows
    present = {row.id for _, row in rows.resources()} | {one.id for one in rows.attachments}
    operations = {one.id: one for one in rows.open_operations}
    for request in rows.requests:
        if not flows.is_known(request.flow, request.version):
            yield Finding(
                kind="unknown_flow",
                resource="operation",
                id=request.id,
                wrong=f"{request.flow} version {request.version} is to be run, which this release does not know: "
                "run the release that requested it until this is gone",
                fix=None,
            )
            continue
        resource_id = request.arguments.get("attachment_id") or next(
            (request.arguments[key] for key in _ABOUT if key in request.arguments),
            None,
        )
        harmless = request.flow.startswith(
            ("delete_", "disconnect_", "purge_", "reconcile_", "refresh_", "hydrate_", "settle_")
        )
        if (resource_id is not None and resource_id not in present and not harmless) or request.id not in operations:
            yield Finding(
                kind="flow_without_resource",
                resource="operation",
                id=request.id,
                wrong=f"{request.flow} is to be run for {resource_id}, which is not there",
                fix="drop the request and let the operation be failed",
            )
    for operation in rows.open_operations:
        if operation.id not in picture.live:
            yield Finding(
                kind="operation_without_flow",
                resource="operation",
                id=operation.id,
                wrong=f"{operation.kind} of {operation.resource_id} is {operation.state}, and no flow is requested",
                fix="let the operation be failed",
            )


def _events(picture: Picture) -> Iterator[Finding]:
    for event in picture.rows.unpaired:
        if event.operation_id in picture.live:
            continue
        missing = event.starts > event.ends
        yield Finding(
            kind="unpaired_event",
            resource=event.resource_type,
            id=event.resource_id,
            wrong=f"{event.name}: {event.starts} start, {event.ends} end or error by operation {event.operation_id}",
            fix=f"write the missing {event.name}.error" if missing else None,
            details={
                "name": f"{event.operation_id} {event.name}",
                "operation_id": event.operation_id,
                "event": event.name,
            },
        )


def _attachments(picture: Picture) -> Iterator[Finding]:
    attached = {one.volume_id for one in picture.rows.attachments if not one.is_bare}
    for volume in picture.rows.volumes:
        if volume.status == "in-use" and volume.id not in attached and volume.id not in picture.busy:
            yield Finding(
                kind="in_use_without_attachment",
                resource="volume",
                id=volume.id,
                wrong="in-use, but it has no attachment",
                fix="set its status to available and withdraw its export",
                backend=volume.backend,
                details={"status": volume.status},
            )


def _exports(picture: Picture) -> Iterator[Finding]:
    connected: defaultdict[str, set[str]] = defaultdict(set)
    for one in picture.rows.attachments:
        if one.connection_info is not None:
            connected[one.volume_id].add(one.attach_status)
    for storage in picture.storages.values():
        if storage.exports is None:
            continue
        here = {one.storage_name: one for one in picture.rows.volumes if one.backend == storage.backend}
        for name in sorted(storage.exports):
            volume = here.get(name)
            if volume is None or volume.id in picture.busy or volume.id in connected:
                continue  # an orphan's export goes with the orphan
            yield Finding(
                kind="unwanted_export",
                resource="volume",
                id=volume.id,
                wrong="exported, but no attachment is connected",
                fix="withdraw the export",
                backend=storage.backend,
            )
        for name, volume in here.items():
            wanted = connected.get(volume.id, set()) & {"attaching", "attached", "detached"}
            fenced = name in storage.hydrating and volume.status == "error"
            if wanted and not fenced and name not in storage.exports and volume.id not in picture.busy:
                yield Finding(
                    kind="missing_export",
                    resource="volume",
                    id=volume.id,
                    wrong="attached, but it is not exported",
                    fix="export it again",
                    backend=storage.backend,
                )


def _without_volume(picture: Picture) -> Iterator[Finding]:
    """What belongs to a volume that is not there."""
    rows = picture.rows
    present = {one.id for one in rows.volumes}
    belonging: list[tuple[str, str, str, str, dict[str, Any]]] = [
        *(("attachment", one.id, one.volume_id, "drop the attachment", {}) for one in rows.attachments),
        *(("snapshot", one.id, one.volume_id, "delete the snapshot", {"status": one.status}) for one in rows.snapshots),
    ]
    for noun, id_, volume_id, fix, details in belonging:
        if volume_id in present or id_ in picture.busy:
            continue
        yield Finding(
            kind=f"{noun}_without_volume",
            resource=noun,
            id=id_,
            wrong=f"its volume {volume_id} is not there",
            fix=fix,
            details=details,
        )


def _without_group(picture: Picture) -> Iterator[Finding]:
    """Members of what is not there: they could neither be deleted alone nor with it."""
    rows = picture.rows
    groups = {one.id for one in rows.groups}
    taken = {one.id for one in rows.group_snapshots}
    belonging = [
        *(("volume", one.id, one.group_id) for one in rows.volumes if one.group_id not in {None, *groups}),
        *(
            ("snapshot", one.id, one.group_snapshot_id)
            for one in rows.snapshots
            if one.group_snapshot_id not in {None, *taken}
        ),
    ]
    for noun, id_, missing in belonging:
        if id_ not in picture.busy:
            yield Finding(
                kind="without_group",
                resource=noun,
                id=id_,
                wrong=f"it belongs to {missing}, which is not there",
                fix="let it belong to no group",
                details={"name": missing},
            )


def _cache(picture: Picture) -> Iterator[Finding]:
    present = {one.id for one in picture.rows.volumes} | picture.busy
    for entry in picture.rows.cache_entries:
        if entry.operation_id is not None and entry.operation_id not in picture.live:
            kind = "cache_without_fill"
            wrong = f"is being cached on {entry.backend} by operation {entry.operation_id}, which does not run"
        elif entry.volume_id not in present:
            kind = "cache_without_volume"
            wrong = f"cached on {entry.backend} by volume {entry.volume_id}, which is not there"
        else:
            continue
        yield Finding(
            kind=kind,
            resource="image",
            id=entry.image_id,
            wrong=wrong,
            fix="drop the cache entry",
            backend=entry.backend,
            details={"name": entry.volume_id, "volume_id": entry.volume_id},
        )


def _projects(picture: Picture) -> Iterator[Finding]:
    """Usage is the sum of the rows, so it cannot disagree with them; but a row of no project counts for nobody."""
    for noun, row in picture.rows.resources():
        if not row.project_id:
            yield Finding(
                kind="no_project",
                resource=noun,
                id=row.id,
                wrong="it belongs to no project, so no quota counts it",
                fix=None,
            )
