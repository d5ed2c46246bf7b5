"""What is asked while processes die: each create by source and rung, and the other verbs.

A scenario prepares, asks once, and then tells what came of it; it raises where that is neither the whole nor nothing.
`again` is what a client does whose API died before it took the request.
"""

from tests.kill.attached import LiveExtend, LiveSnapshot, PurgeOrphan, ReconcileExport, Restart, Rounds
from tests.kill.creates import Create, of_cached_image
from tests.kill.images import Evict, LiveUpload, Prefetch, Together, Upload, UploadImage
from tests.kill.undone import UNDONE, Undone
from tests.kill.verbs import (
    Connect,
    CreateBackup,
    CreateSnapshot,
    Delete,
    DeleteBackup,
    DeleteSnapshot,
    Disconnect,
    Extend,
    RefreshReplica,
    RequestRefresh,
    RestoreBackup,
    Verb,
)
from tests.kill.world import EMPTY_SHA, PAYLOAD_SHA

ALL: list[Create | Verb | Upload | Undone | Together] = [
    Create("raw", "sim", EMPTY_SHA, lambda w, b: {}),
    Create("raw-dir", "dir", EMPTY_SHA, lambda w, b: {}),
    Create("snap", "sim", PAYLOAD_SHA, lambda w, b: {"snapshot_id": b.snapshots["sim"]}),
    Create("snap-dir", "dir", PAYLOAD_SHA, lambda w, b: {"snapshot_id": b.snapshots["dir"]}),
    Create("source_vol", "sim", PAYLOAD_SHA, lambda w, b: {"source_volid": b.volumes["sim"]}),
    Create("source_vol-dir", "dir", PAYLOAD_SHA, lambda w, b: {"source_volid": b.volumes["dir"]}),
    Create("source_replica", "sim", PAYLOAD_SHA, lambda w, b: {"source_replica": b.volumes["sim"]}),
    Create("source_replica-dir", "dir", PAYLOAD_SHA, lambda w, b: {"source_replica": b.volumes["dir"]}),
    Create("backup", "sim", PAYLOAD_SHA, lambda w, b: {"backup_id": b.backup}),
    Create("backup-dir", "dir", PAYLOAD_SHA, lambda w, b: {"backup_id": b.backup}),
    Create("driver_clone", "cloning", PAYLOAD_SHA, lambda w, b: {"imageRef": b.image}),
    Create("driver_clone-dir", "dir", PAYLOAD_SHA, lambda w, b: {"imageRef": b.qcow2}),
    Create("image_volume", "sim", PAYLOAD_SHA, lambda w, b: {"imageRef": b.image_volume}),
    Create("cached-fill", "sim", PAYLOAD_SHA, lambda w, b: {"imageRef": w.image()}),
    Create("cached-fill-dir", "dir", PAYLOAD_SHA, lambda w, b: {"imageRef": w.image()}),
    Create("cached-hit", "sim", PAYLOAD_SHA, of_cached_image),
    Together(),
    Prefetch("prefetch", "sim"),
    Evict("evict", "sim"),
    Create("download", "plain", PAYLOAD_SHA, lambda w, b: {"imageRef": b.image}, size=2),
    Create("download-qcow2", "plain", PAYLOAD_SHA, lambda w, b: {"imageRef": b.qcow2}),
    Create("reschedule", "pair", EMPTY_SHA, lambda w, b: {}),
    Create("undo", "broken", EMPTY_SHA, lambda w, b: {}, outcomes=("error",)),
    Delete("delete", "sim"),
    Delete("delete-dir", "dir"),
    Extend("extend", "sim"),
    Extend("extend-dir", "dir"),
    CreateSnapshot("snapshot", "sim"),
    CreateSnapshot("snapshot-dir", "dir"),
    LiveSnapshot("snapshot-attached", "dir"),
    LiveExtend("extend-attached", "dir"),
    DeleteSnapshot("delete_snapshot", "sim"),
    DeleteSnapshot("delete_snapshot-dir", "dir"),
    CreateBackup("create_backup", "sim"),
    RestoreBackup("restore_backup", "sim"),
    RestoreBackup("restore_backup-dir", "dir"),
    DeleteBackup("delete_backup", "sim"),
    Connect("connect", "sim"),
    Connect("connect-dir", "dir"),
    Disconnect("disconnect", "sim"),
    Disconnect("disconnect-dir", "dir"),
    RefreshReplica("refresh_replica", "sim"),
    RefreshReplica("refresh_replica-dir", "dir"),
    RequestRefresh("request_refresh", "sim"),
    Restart("restart", "dir"),
    Rounds("rounds", "sim"),
    Upload("image_data"),
    UploadImage("upload_image", "sim"),
    LiveUpload("upload_image-attached", "dir"),
    PurgeOrphan("purge_orphan", "sim"),
    PurgeOrphan("purge_orphan-dir", "dir"),
    ReconcileExport("reconcile_export", "dir"),
    *UNDONE,
]
SCENARIOS = {one.name: one for one in ALL}
