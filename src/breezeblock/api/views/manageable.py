"""What lies on a backend and may be managed, or is (Cinder: `api/views/manageable_volumes.py`, `manageable_snapshots.py`)."""

from typing import Any, TypedDict

from breezeblock.api.shapes import GiB

Reference = dict[str, str]
"""How the storage knows an object: `{"source-name": NAME}`."""


class ManageableVolumeSummary(TypedDict):
    """An object of a backend."""

    reference: Reference
    size: GiB
    safe_to_manage: bool


class ManageableVolumeDetail(ManageableVolumeSummary):
    """The same, with why it cannot be managed, or as which volume or snapshot it is."""

    reason_not_safe: str | None
    cinder_id: str | None
    extra_info: str | None


class ManageableSnapshotSummary(ManageableVolumeSummary):
    """A snapshot on a backend, with what it was taken of."""

    source_reference: Reference


class ManageableSnapshotDetail(ManageableVolumeDetail, ManageableSnapshotSummary):
    """The same, with why it cannot be managed, or as which snapshot it is."""


ManageableVolumeSummaries = TypedDict(
    "ManageableVolumeSummaries", {"manageable-volumes": list[ManageableVolumeSummary]}
)
ManageableVolumeDetails = TypedDict("ManageableVolumeDetails", {"manageable-volumes": list[ManageableVolumeDetail]})
ManageableSnapshotSummaries = TypedDict(
    "ManageableSnapshotSummaries", {"manageable-snapshots": list[ManageableSnapshotSummary]}
)
ManageableSnapshotDetails = TypedDict(
    "ManageableSnapshotDetails", {"manageable-snapshots": list[ManageableSnapshotDetail]}
)


def volume_summary(found: dict[str, Any]) -> ManageableVolumeSummary:
    """A volume in the short list."""
    return {
        "reference": found["reference"],
        "size": found["size"],
        "safe_to_manage": found["safe_to_manage"],
    }


def volume_detail(found: dict[str, Any]) -> ManageableVolumeDetail:
    """A volume in the detailed list."""
    return {
        **volume_summary(found),
        "reason_not_safe": found["reason_not_safe"],
        "cinder_id": found["cinder_id"],
        "extra_info": found["extra_info"],
    }


def snapshot_summary(found: dict[str, Any]) -> ManageableSnapshotSummary:
    """A snapshot in the short list."""
    return {**volume_summary(found), "source_reference": found["source_reference"]}


def snapshot_detail(found: dict[str, Any]) -> ManageableSnapshotDetail:
    """A snapshot in the detailed list."""
    return {**volume_detail(found), "source_reference": found["source_reference"]}
