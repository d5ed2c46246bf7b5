"""The state machine of volumes, snapshots, backups, groups and group snapshots as one table of legal moves.

A move is named by what is done. Every change of a status in the database goes through `db.moves.move`, which is a
compare-and-swap on this table: a row whose status a move does not start from is left alone.
"""

import msgspec

ANY: frozenset[str] = frozenset()
"""As a start: from every status."""


class Move(msgspec.Struct, frozen=True):
    """From any of these statuses to one of those. A move with one end needs no `to` where it is made."""

    start: frozenset[str]
    end: tuple[str, ...]

    def allows(self, status: str) -> bool:
        """Whether the move may start from `status`."""
        return self.start is ANY or status in self.start


def _move(start: str, *end: str) -> Move:
    return Move(ANY if start == "*" else frozenset(start.split()), end)


STRANDED = {
    "creating": "error",
    "downloading": "error",
    "deleting": "error_deleting",
    "extending": "error_extending",
    "uploading": "available",
    "backing-up": "available",
    "restoring-backup": "error_restoring",
    "restoring": "available",
    "reverting": "error",
    "retyping": "error",
    "managing": "error_managing",
    "unmanaging": "error_unmanaging",
}
"""What a passing status becomes when the flow behind it can neither end nor be undone (the move `strand`)."""

VOLUME_MOVES: dict[str, Move] = {
    "download": _move("creating downloading", "downloading"),
    "create_done": _move("creating downloading restoring-backup", "available"),
    "create_failed": _move("creating downloading restoring-backup", "error"),
    "delete": _move("available error error_restoring error_extending error_managing", "deleting"),
    "force_delete": _move("*", "deleting"),
    "delete_failed": _move("deleting", "error_deleting"),
    "delete_busy": _move("deleting", "available"),
    "extend": _move("available in-use", "extending"),
    "extend_done": _move("extending", "available", "in-use"),
    "extend_failed": _move("extending", "error_extending"),
    "reserve": _move("available reserved downloading in-use", "reserved"),
    "attach": _move("available reserved attaching in-use", "attaching"),
    "claim": _move("available", "attaching"),
    "claim_shared": _move("available in-use", "attaching"),
    "unclaim": _move("attaching", "available", "in-use"),
    "attach_done": _move("reserved attaching in-use available detaching", "in-use"),
    "offer": _move("available", "awaiting-transfer"),
    "offer_ended": _move("awaiting-transfer", "available"),
    "begin_detaching": _move("in-use", "detaching"),
    "roll_detaching": _move("detaching", "in-use"),
    "detach_broken": _move("error error_extending error_deleting error_restoring", "detaching"),
    "detach_done": _move("reserved attaching in-use detaching", "available", "in-use", "reserved"),
    "backup": _move("available in-use", "backing-up"),
    "backup_done": _move("backing-up", "available", "in-use"),
    "restore": _move("available creating", "restoring-backup"),
    "restore_done": _move("restoring-backup", "available"),
    "restore_failed": _move("restoring-backup", "error_restoring"),
    "revert": _move("available", "reverting"),
    "revert_done": _move("reverting", "available"),
    "revert_failed": _move("reverting", "error"),
    "manage_done": _move("managing", "available"),
    "manage_failed": _move("managing", "error_managing"),
    "unmanage": _move("available error error_restoring error_extending error_managing", "unmanaging"),
    "unmanage_failed": _move("unmanaging", "error_unmanaging"),
    "retype": _move("available in-use", "retyping"),
    "retype_done": _move("retyping", "available", "in-use"),
    "migrate": _move("available", "maintenance"),
    "migrate_done": _move("maintenance in-use", "available", "in-use"),
    "reimage": _move("available error reserved", "downloading"),
    "reimage_done": _move("downloading", "available", "error", "reserved"),
    "reimage_failed": _move("downloading", "error"),
    "upload": _move("available in-use", "uploading"),
    "upload_done": _move("uploading", "available", "in-use"),
    "hydrate_failed": _move(
        "available in-use reserved attaching detaching maintenance extending error_extending uploading backing-up",
        "error",
    ),
    "left_behind": _move("available in-use reserved attaching detaching maintenance awaiting-transfer", "error"),
    "found_again": _move("error", "available", "in-use", "reserved"),
    "strand": _move(" ".join(STRANDED), *dict.fromkeys(STRANDED.values())),
    "reset_status": _move(
        "*",
        *"creating available deleting error error_deleting attaching detaching in-use maintenance extending "
        "error_extending uploading downloading reserved backing-up restoring-backup error_restoring awaiting-transfer "
        "error_backing-up managing error_managing retyping".split(),
    ),
}

SNAPSHOT_MOVES: dict[str, Move] = {
    "create_done": _move("creating", "available"),
    "create_failed": _move("creating", "error"),
    "delete": _move("available error", "deleting"),
    "force_delete": _move("*", "deleting"),
    "delete_failed": _move("deleting", "error_deleting"),
    "delete_busy": _move("deleting", "available"),
    "revert": _move("available", "restoring"),
    "revert_done": _move("restoring", "available"),
    "backup": _move("available", "backing-up"),
    "backup_done": _move("backing-up", "available"),
    "unmanage": _move("available error", "unmanaging"),
    "unmanage_failed": _move("unmanaging", "error_unmanaging"),
    "left_behind": _move("available", "error"),
    "found_again": _move("error", "available"),
    "strand": _move(
        "creating deleting restoring backing-up unmanaging", "error", "error_deleting", "available", "error_unmanaging"
    ),
    "told_creating": _move("creating", "creating", "available", "error"),
    "told_deleting": _move("deleting", "deleting", "error_deleting"),
    "reset_status": _move(
        "*",
        *"error available creating deleting deleted updating error_deleting unmanaging backing-up restoring".split(),
    ),
}

BACKUP_MOVES: dict[str, Move] = {
    "create_done": _move("creating", "available"),
    "create_failed": _move("creating", "error"),
    "restore": _move("available", "restoring"),
    "restore_done": _move("restoring", "available"),
    "delete": _move("available error", "deleting"),
    "force_delete": _move("*", "deleting"),
    "delete_failed": _move("deleting", "error_deleting"),
    "reset_status": _move("*", "available", "error"),
    "lost": _move("available error_deleting", "error"),
    "strand": _move("creating restoring deleting", "error", "available", "error_deleting"),
}

GROUP_MOVES: dict[str, Move] = {
    "create_done": _move("creating", "available"),
    "create_failed": _move("creating", "error"),
    "update": _move("available", "available"),
    "delete": _move("available error", "deleting"),
    "delete_all": _move("available error updating error_deleting", "deleting"),
    "delete_failed": _move("deleting", "error"),
    "strand": _move("creating deleting", "error", "error_deleting"),
    "reset_status": _move("*", *"creating available deleting error error_deleting updating".split()),
}

GROUP_SNAPSHOT_MOVES: dict[str, Move] = {
    "create_done": _move("creating", "available"),
    "create_failed": _move("creating", "error"),
    "delete": _move("available error", "deleting"),
    "delete_failed": _move("deleting", "error"),
    "strand": _move("creating deleting", "error", "error_deleting"),
    "reset_status": _move("*", *"creating available deleting error error_deleting updating".split()),
}

PASSING = frozenset(
    "creating downloading deleting extending uploading backing-up restoring-backup restoring retyping reverting "
    "managing unmanaging".split()
)
"""Statuses that must have a live flow behind them."""
