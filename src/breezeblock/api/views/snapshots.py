"""What a snapshot looks like (Cinder: `api/v3/views/snapshots.py`, and the extended attributes)."""

from collections.abc import Sequence
from typing import Annotated, Any, NotRequired, TypedDict, cast

import msgspec
import sqlalchemy as sa

from breezeblock.api.call import Call
from breezeblock.api.shapes import Counted, GiB, Link, Time, since, stored
from breezeblock.db import tables
from breezeblock.model.snapshot import Snapshot

_table = tables.snapshots

FIELDS = (
    "id created_at updated_at name description volume_id status volume_size metadata user_id consumes_quota progress "
    "project_id group_snapshot_id"
).split()

COLUMNS = tuple(sa.type_coerce(_table.c[name], sa.Text) if name == "metadata" else _table.c[name] for name in FIELDS)


def row_of(snapshot: Snapshot) -> tuple[Any, ...]:
    """A record as the row that the view takes."""
    return tuple(
        msgspec.json.encode(snapshot.metadata).decode() if name == "metadata" else getattr(snapshot, name)
        for name in FIELDS
    )


class SnapshotSummary(TypedDict):
    """A snapshot in the short list, which is not so short."""

    id: str
    created_at: Time
    updated_at: Time | None
    name: str | None
    description: str | None
    volume_id: str
    status: str
    size: GiB
    metadata: dict[str, str]


_Extended = TypedDict(
    "_Extended",
    {
        "os-extended-snapshot-attributes:progress": NotRequired[str],
        "os-extended-snapshot-attributes:project_id": NotRequired[str],
    },
)
"""For those whom policy tells them, and not in what create and update answer."""


class SnapshotDetail(SnapshotSummary, _Extended):
    """A snapshot."""

    group_snapshot_id: NotRequired[Annotated[str | None, since(14)]]
    user_id: NotRequired[Annotated[str, since(41)]]
    consumes_quota: NotRequired[Annotated[bool, since(65)]]


class OneSnapshot(TypedDict):
    """A snapshot."""

    snapshot: SnapshotDetail


class SnapshotSummaries(Counted):
    """Snapshots."""

    snapshots: list[SnapshotSummary]
    snapshots_links: NotRequired[list[Link]]


class SnapshotDetails(Counted):
    """Snapshots, with all that is told of them."""

    snapshots: list[SnapshotDetail]
    snapshots_links: NotRequired[list[Link]]


class SnapshotView:
    """The view for one call."""

    def __init__(self, call: Call, *, extended: bool) -> None:
        """`extended` is for show and the detailed list: the keys of Cinder's extension."""
        self._version = call.version
        self._extended = extended and call.may("volume_extension:extended_snapshot_attributes")

    def summary(self, row: Sequence[Any]) -> SnapshotSummary:
        """A snapshot in the short list, which is not so short."""
        snapshot_id, created_at, updated_at, name, description, volume_id, status, size, metadata = row[:9]
        return {
            "id": snapshot_id,
            "created_at": created_at,
            "updated_at": updated_at,
            "name": name,
            "description": description,
            "volume_id": volume_id,
            "status": status,
            "size": size,
            "metadata": stored(metadata),
        }

    def detail(self, row: Sequence[Any]) -> SnapshotDetail:
        """All that this version tells of a snapshot."""
        shown = cast(SnapshotDetail, self.summary(row))
        user_id, consumes_quota, progress, project_id, group_snapshot_id = row[9:]
        if self._version >= 14:
            shown["group_snapshot_id"] = group_snapshot_id
        if self._version >= 41:
            shown["user_id"] = user_id
        if self._version >= 65:
            shown["consumes_quota"] = consumes_quota
        if self._extended:
            shown["os-extended-snapshot-attributes:progress"] = progress
            shown["os-extended-snapshot-attributes:project_id"] = project_id
        return shown
