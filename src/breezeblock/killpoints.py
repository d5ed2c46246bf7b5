"""Named places between two side effects, where a process can be made to kill itself, so that tests find out what is left.

A place is where the work is (`create_volume.image.download`), an event what has just been done or is just about to be
(`after_create_volume`); both together name the kill point. Without the environment variables that arm them, passing a
point is one comparison.

    BREEZEBLOCK_KILL_AT=NAME[:N[:TIMES]]   die when the N-th passing of that point, in one process, is reached, TIMES times
    BREEZEBLOCK_KILL_DIR=DIRECTORY         remembers how often that was, so that the next process passes; its file `armed`
                                           takes the place of BREEZEBLOCK_KILL_AT and may be changed at any time; its
                                           file `reached` gets the name of each point passed

Several points may be armed at once, with blanks between them.
"""

import functools
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_VERBS = {
    "create_volume": "an empty volume is made",
    "delete_volume": "a volume is removed from the storage",
    "extend_volume": "a volume grows on the storage",
    "create_snapshot": "a snapshot is taken",
    "create_group_snapshot": "snapshots of all volumes of a group are taken",
    "delete_snapshot": "a snapshot is removed from the storage",
    "create_volume_from_snapshot": "a volume is made of a snapshot",
    "create_cloned_volume": "a volume is cloned",
    "copy_image_to_volume": "a volume is filled",
    "adopt_image": "a volume stands on an image's own file",
    "settle_image": "the image's file is turned into something of the storage's own",
    "create_hydrating_volume": "a volume is made that reads its image",
    "hydrate_volume": "the content of a volume that is used is put below it",
    "clone_image": "the storage makes a volume of an image",
    "manage_existing": "what nobody managed is made a volume",
    "unmanage": "what a volume held is left to nobody",
    "manage_existing_snapshot": "what nobody managed is made a snapshot",
    "unmanage_snapshot": "what a snapshot held is left to nobody",
    "migrate_volume": "the storage moves a volume by itself",
    "revert_to_snapshot": "a volume has its snapshot's content again",
    "update_replica": "a replica is brought in step",
    "delete_replica": "a replica is removed",
    "create_replica_test_volume": "a volume is made of a replica",
    "use_backend": "the other place is asked",
    "promote_replica": "a replica is the volume",
    "initialize_connection": "a volume is exported",
    "terminate_connection": "an export is withdrawn",
    "ensure_export": "an export is there again",
}
"""The verbs of a driver that change the storage, and what they do."""

_ACTS = _VERBS | {
    "upload": "an image gets its data",
    "discard": "an image is removed",
    "make_key": "the key of an encrypted volume is made",
    "copy_key": "the key of an encrypted volume is copied for its backup or image",
    "describe": "an image tells which key it is encrypted under",
    "delete_key": "the key of what is gone is forgotten",
    "give_key": "the user of an encrypted volume may read its key, and nobody else",
}
"""These, and what flows do beside."""

COMMIT = ("before_commit", "after_commit")
PUBLISH = ("before_publish", "after_publish")
SERVE = ("before_serve", "after_serve")
REMOVE = ("between_removals",)


def _around(*verbs: str) -> tuple[str, ...]:
    return tuple(f"{when}_{verb}" for verb in verbs for when in ("before", "after"))


_FILL = ("create_volume", "copy_image_to_volume", "extend_volume")

POINTS: dict[str, tuple[str, ...]] = {
    "api": (*PUBLISH, *COMMIT),
    "accept_transfer": (*_around("give_key"), *COMMIT),
    "accept_transfer.undo": (*_around("give_key"), *COMMIT),
    "create_volume": (*_around("make_key"), *PUBLISH),
    "create_volume.raw": (
        *_around("create_volume", "copy_image_to_volume", "delete_volume", "delete_key"),
        *PUBLISH,
        *COMMIT,
    ),
    "create_volume.snap": (*_around("create_volume_from_snapshot"), *PUBLISH, *COMMIT),
    "create_volume.source_vol": (*_around("create_cloned_volume", "delete_volume"), *PUBLISH, *COMMIT),
    "create_volume.source_replica": (*_around("create_replica_test_volume"), *PUBLISH, *COMMIT),
    "create_volume.backup": (
        *_around("create_volume", "copy_image_to_volume"),
        "between_chunks",
        *PUBLISH,
        *COMMIT,
    ),
    "create_volume.image": (*_around("delete_volume"), *REMOVE, *COMMIT),
    "create_volume.image.driver_clone": (*_around("clone_image"), *PUBLISH, *REMOVE, *COMMIT),
    "create_volume.image.image_volume": (*_around("create_cloned_volume"), *PUBLISH, *COMMIT),
    "create_volume.image.lazy": (*_around("create_hydrating_volume"), *PUBLISH),
    "hydrate_volume": (*_around("hydrate_volume"), "between_pieces", *PUBLISH, *COMMIT),
    "create_volume.image.cached": (*_around("create_cloned_volume"), *PUBLISH, *COMMIT),
    "create_volume.image.download": (
        *_around(*_FILL, "adopt_image", "create_cloned_volume"),
        "between_pieces",
        *PUBLISH,
        *COMMIT,
    ),
    "create_volume.undo": (*_around("delete_volume", "delete_key"), *COMMIT),
    "settle_image": (*_around("settle_image"), *PUBLISH, *COMMIT),
    "fill_image_cache": (*_around(*_FILL[:2], "adopt_image"), "between_pieces", *PUBLISH, *COMMIT),
    "fill_image_cache.undo": (*_around("delete_volume"), *REMOVE, *COMMIT),
    "delete_volume": (
        *_around("delete_snapshot", "delete_replica", "delete_volume", "delete_key"),
        *PUBLISH,
        *REMOVE,
        *COMMIT,
    ),
    "delete_volume.undo": COMMIT,
    "extend_volume": (*_around("extend_volume"), "after_withdraw", *PUBLISH, *SERVE, *COMMIT),
    "extend_volume.undo": COMMIT,
    "create_snapshot": (*_around("create_snapshot"), *PUBLISH, *COMMIT),
    "create_snapshot.undo": (*_around("delete_snapshot"), *COMMIT),
    "create_group_from_src": COMMIT,
    "create_group_from_src.undo": COMMIT,
    "create_group_snapshot": (*_around("create_group_snapshot"), *PUBLISH, *COMMIT),
    "create_group_snapshot.undo": (*_around("delete_snapshot"), *COMMIT),
    "delete_group": COMMIT,
    "delete_group.undo": COMMIT,
    "delete_group_snapshot": COMMIT,
    "delete_group_snapshot.undo": COMMIT,
    "delete_snapshot": (*_around("delete_snapshot"), *PUBLISH, *REMOVE, *COMMIT),
    "delete_snapshot.undo": COMMIT,
    "create_backup": (
        *_around("copy_key", "create_snapshot", "delete_snapshot"),
        "between_chunks",
        *PUBLISH,
        *REMOVE,
        *COMMIT,
    ),
    "create_backup.undo": (*_around("delete_snapshot", "delete_key"), *REMOVE, *COMMIT),
    "restore_backup": (*_around("copy_image_to_volume"), "between_chunks", *PUBLISH, *COMMIT),
    "upload_image": (
        *_around("create_snapshot", "copy_key", "describe", "upload", "delete_snapshot"),
        "between_pieces",
        *PUBLISH,
        *REMOVE,
        *COMMIT,
    ),
    "upload_image.undo": (*_around("discard", "delete_key", "delete_snapshot"), *REMOVE, *COMMIT),
    "forget_image_key": (*_around("delete_key"), *COMMIT),
    "manage_volume": (*_around("manage_existing"), *PUBLISH, *REMOVE, *COMMIT),
    "manage_volume.undo": (*_around("unmanage"), *COMMIT),
    "manage_snapshot": (*_around("manage_existing_snapshot"), *PUBLISH, *REMOVE, *COMMIT),
    "unmanage_volume": (*_around("delete_snapshot", "unmanage"), *PUBLISH, *REMOVE, *COMMIT),
    "unmanage_volume.undo": COMMIT,
    "unmanage_snapshot": (*_around("unmanage_snapshot"), *PUBLISH, *REMOVE, *COMMIT),
    "migrate_volume": (*_around("migrate_volume", "initialize_connection"), *PUBLISH, *SERVE, *COMMIT),
    "migrate_volume.arriving": (*_around("create_volume", "copy_image_to_volume"), "between_pieces", *PUBLISH, *COMMIT),
    "migrate_volume.undo": (*_around("delete_volume", "terminate_connection"), *REMOVE, *COMMIT),
    "migrate_volume.returning": (*_around("terminate_connection"), *PUBLISH, *COMMIT),
    "retype_volume": (
        *_around("initialize_connection", "terminate_connection", "create_snapshot", "make_key", "delete_volume"),
        *_around("create_volume", "copy_image_to_volume", "delete_snapshot"),
        "between_pieces",
        "after_withdraw",
        *PUBLISH,
        *REMOVE,
        *SERVE,
        *COMMIT,
    ),
    "retype_volume.arriving": (
        *_around("make_key", "create_volume", "copy_image_to_volume"),
        "between_pieces",
        *PUBLISH,
        *COMMIT,
    ),
    "retype_volume.undo": (
        *_around("delete_volume", "create_volume_from_snapshot", "delete_snapshot", "delete_key"),
        *_around("terminate_connection"),
        *PUBLISH,
        *REMOVE,
        *COMMIT,
    ),
    "retype_volume.returning": (*_around("terminate_connection"), *PUBLISH, *COMMIT),
    "reimage_volume": (*_around("copy_image_to_volume"), "between_pieces", *PUBLISH, *COMMIT),
    "reimage_volume.undo": COMMIT,
    "revert_to_snapshot": (*_around("revert_to_snapshot", "copy_image_to_volume"), "between_pieces", *PUBLISH, *COMMIT),
    "revert_to_snapshot.undo": COMMIT,
    "restore_backup.undo": COMMIT,
    "delete_backup": (*_around("delete_key"), *REMOVE, *COMMIT),
    "import_backup": (*_around("copy_key"), *PUBLISH, *REMOVE, *COMMIT),
    "import_backup.undo": (*_around("delete_key"), *REMOVE, *COMMIT),
    "connect_volume": (*_around("initialize_connection"), *PUBLISH, *SERVE, *COMMIT),
    "connect_volume.undo": (*_around("terminate_connection"), *COMMIT),
    "disconnect_volume": (*_around("terminate_connection"), "after_withdraw", *PUBLISH, *COMMIT),
    "disconnect_volume.undo": COMMIT,
    "refresh_replica": (*_around("update_replica"), *PUBLISH, *COMMIT),
    "refresh_replica.undo": COMMIT,
    "failover_host": (
        *_around("update_replica", "delete_replica", "use_backend", "promote_replica"),
        *PUBLISH,
        *REMOVE,
        *COMMIT,
    ),
    "failover_host.undo": COMMIT,
    "request_refresh": COMMIT,
    "purge_orphan": (
        *_around("terminate_connection", "delete_volume", "delete_snapshot", "delete_key"),
        "after_withdraw",
        *PUBLISH,
        *REMOVE,
        *COMMIT,
    ),
    "reconcile_export": (*_around("ensure_export"), *SERVE, *COMMIT),
    "report_pools": COMMIT,
    "restore_exports": (*_around("ensure_export"), *SERVE),
    "take_up": COMMIT,
    "take_slot": ("before_epoch", "after_epoch"),
}
"""The events of each place. tests/kill holds it against the code: what is passed stands here, what stands here is passed."""

_DIRECTORY = os.environ.get("BREEZEBLOCK_KILL_DIR")
_AT = os.environ.get("BREEZEBLOCK_KILL_AT")
_ENABLED = bool(_DIRECTORY or _AT)

_here = threading.local()
_passed: Counter[str] = Counter()
_lock = threading.Lock()


def names() -> dict[str, str]:
    """All kill points, each with what it stands between."""
    return {f"{place}.{event}": _meaning(event) for place, events in POINTS.items() for event in events}


def _meaning(event: str) -> str:
    told = {
        "before_commit": "all statements of a transaction are sent | it commits",
        "after_commit": "a transaction is committed | whoever waits for it is woken",
        "before_publish": "what is new is on the disk | it takes its place under its name",
        "after_publish": "it has taken its place | the name is on the disk",
        "between_removals": "what is removed has left its place | its files are removed",
        "before_serve": "a link says which daemon will serve it | the daemon serves it",
        "after_serve": "the daemon serves it | the flow goes on",
        "after_withdraw": "the daemon serves it no more | its link is removed",
        "before_epoch": "the slot's lock is taken and the last owner's end is proved | the epoch is raised",
        "after_epoch": "the epoch is raised | the storage is opened",
        "between_pieces": "a piece of an image or volume is written | the next one is",
        "between_chunks": "a chunk of a backup is copied | the next one is",
    }
    if event in told:
        return told[event]
    when, _, verb = event.partition("_")
    did = _ACTS[verb]
    return f"what came before is done | {did}" if when == "before" else f"{did} | the flow notes it"


@contextmanager
def within(name: str, *, anew: bool = False) -> Iterator[None]:
    """The block's points are those of this place, below the place around it, or of this place alone (`anew`)."""
    if not _ENABLED:
        yield
        return
    before: str | None = getattr(_here, "place", None)
    _here.place = name if anew or before is None else f"{before}.{name}"
    try:
        yield
    finally:
        _here.place = before


def reached(event: str) -> None:
    """Pass a point of the place where this thread is; nowhere is no point."""
    if not _ENABLED:
        return
    place: str | None = getattr(_here, "place", None)
    if place is not None:
        _pass(f"{place}.{event}")


def _pass(name: str) -> None:
    with _lock:
        if _DIRECTORY is not None:
            _append("reached", f"{name}\n")
        for armed in _armed():
            wanted, number, times = [*armed.split(":"), "1", "1"][:3]
            if wanted != name:
                continue
            _passed[armed] += 1
            if _passed[armed] >= int(number) and _fired(armed) < int(times):
                if _DIRECTORY is not None:
                    _append("fired", f"{armed}\n")
                os.kill(os.getpid(), signal.SIGKILL)


def _armed() -> list[str]:
    """All that is armed: `NAME[:N[:TIMES]]`, and after that, by another colon, what tells one arming from the next."""
    if _DIRECTORY is None:
        return (_AT or "").split()
    try:
        return (Path(_DIRECTORY) / "armed").read_text().split()
    except FileNotFoundError:
        return (_AT or "").split()


def _fired(armed: str) -> int:
    if _DIRECTORY is None:
        return 0
    try:
        return (Path(_DIRECTORY) / "fired").read_text().splitlines().count(armed)
    except FileNotFoundError:
        return 0


def _append(file: str, line: str) -> None:
    fd = os.open(Path(_DIRECTORY or "") / file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, line.encode())
    finally:
        os.close(fd)


def watched(driver: Any) -> Any:
    """The driver, with a point before and after each verb that changes the storage; itself where nothing is armed."""
    if not _ENABLED:
        return driver
    verbs = {name: _verb(getattr(driver, name), name) for name in dir(driver) if not name.startswith("_")}
    return type("WatchedDriver", (), verbs)()


def _verb(attribute: Any, name: str) -> Any:
    if name not in _VERBS:
        return staticmethod(attribute) if callable(attribute) else attribute

    @functools.wraps(attribute)
    def struck(*args: Any, **kwargs: Any) -> Any:
        reached(f"before_{name}")
        answer = attribute(*args, **kwargs)
        reached(f"after_{name}")
        return answer

    return staticmethod(struck)
