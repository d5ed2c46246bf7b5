"""What `--fix` does about each kind of finding. Every change looks once more whether the row is still as it was found."""

import uuid
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breezeblock.backups.legacy import PREFIX
from breezeblock.backups.repository import place_of
from breezeblock.config import Settings
from breezeblock.db import (
    attachments,
    backups,
    group_snapshots,
    groups,
    image_cache,
    image_keys,
    images,
    moves,
    operations,
    outbox,
    records,
    snapshots,
    tables,
    volumes,
)
from breezeblock.db.connect import Database
from breezeblock.errors import BreezeblockError
from breezeblock.flows.backup_content import open_store
from breezeblock.images.local import LocalCatalog
from breezeblock.model import clock
from breezeblock.model.group import Group
from breezeblock.model.group_snapshot import GroupSnapshot
from breezeblock.model.operation import Operation
from breezeblock.model.snapshot import Snapshot
from breezeblock.model.volume import Volume
from breezeblock.services.doctor.finding import Finding
from breezeblock.services.doctor.hands import Hands

CHANGED = "left it: it has changed meanwhile"
LOST = "Its content is not on the storage any more; found by breezeblock doctor."
UNENDED = "The operation was lost: nothing would ever have ended it; found by breezeblock doctor."
TABLES = {
    "volume": tables.volumes,
    "snapshot": tables.snapshots,
    "backup": tables.backups,
    "group": tables.groups,
    "group_snapshot": tables.group_snapshots,
}


class Fixer:
    """Mends findings one by one."""

    def __init__(self, settings: Settings, database: Database, hands: Hands) -> None:
        self._settings = settings
        self._database = database
        self._hands = hands

    def fix(self, finding: Finding) -> str:
        """Mend a finding that has a fix; what was done, or why not."""
        try:
            return FIXES[finding.kind](self, finding)
        except BreezeblockError as error:
            return f"could not: {error.message}"

    def purge(self, finding: Finding) -> str:
        """Remove an object that no row wants."""
        assert finding.backend is not None
        return self._hands.purge(finding.backend, finding.details["name"], finding.kind == "orphan_replica")

    def settle_export(self, finding: Finding) -> str:
        """Export or withdraw, as the attachments say."""
        assert finding.backend is not None
        return self._hands.settle_export(finding.backend, finding.id)

    def lost(self, finding: Finding) -> str:
        """Put what has lost its content in error."""
        with self._database.begin() as connection:
            if finding.resource == "image":
                nothing = dict.fromkeys(("size", "virtual_size", "checksum", "os_hash_algo", "os_hash_value"))
                done = images.update(connection, finding.id, {"status": "queued", **nothing}, status=["active"])
                return "set its status to queued" if done else CHANGED
            if not _still(connection, finding):
                return CHANGED
            if finding.resource == "backup":
                moves.move(connection, "backup", finding.id, "lost", fail_reason=finding.details.get("reason", LOST))
            else:
                moves.move(connection, finding.resource, finding.id, "reset_status", "error")
                self._tell(connection, finding, LOST)
        return "set its status to error"

    def resize(self, finding: Finding) -> str:
        """Make row and storage agree on a size: grow the object, or have the row say what is there."""
        details = finding.details
        size = -(-details["size"] >> 30)
        with self._database.begin() as connection:
            if not _still(connection, finding):
                return CHANGED
            if finding.resource == "snapshot":
                snapshots.update(connection, finding.id, volume_size=size)
            elif not details["extend"]:
                volumes.update(connection, finding.id, size=size)
            else:
                volume = volumes.get(connection, finding.id)
                moves.move(connection, "volume", finding.id, "extend")
                return self._request(
                    connection,
                    "extend_volume",
                    volume,
                    "resize.start",
                    old_size=max(1, details["size"] >> 30),
                    new_size=volume.size,
                )
        return f"the row says {size} GiB now"

    def unstick(self, finding: Finding) -> str:
        """End a passing status: a delete is asked for again, all else ends as if its flow had failed."""
        with self._database.begin() as connection:
            if not _still(connection, finding):
                return CHANGED
            if finding.details["status"] == "deleting":
                return self._delete(connection, finding)
            moves.strand(connection, finding.resource, finding.id)
            self._tell(connection, finding, UNENDED)
            made = None
            if finding.resource in {"volume", "snapshot"} and finding.details["status"] in {"creating", "downloading"}:
                made = _find(connection, finding)
        if made is None or not made.host:
            return "ended its status"
        return f"ended its status; {self._hands.purge(made.host.partition('#')[0], made.storage_name)}"

    def delete_snapshot(self, finding: Finding) -> str:
        """Have a snapshot deleted whose volume is gone."""
        with self._database.begin() as connection:
            if not _still(connection, finding):
                return CHANGED
            moves.move(connection, "snapshot", finding.id, "force_delete")
            return self._delete(connection, finding)

    def drop_flow(self, finding: Finding) -> str:
        """End an operation that cannot be run, with its request."""
        with self._database.begin() as connection:
            operations.finish(connection, finding.id, "failed", had_checkpoints=True, message=UNENDED)
            outbox.end_open(connection, finding.id, "error", error=UNENDED)
        return "ended the operation as failed"

    def end_event(self, finding: Finding) -> str:
        """Write the errors that are missing."""
        details = finding.details
        with self._database.begin() as connection:
            if operations.is_pending(connection, details["operation_id"]):
                return CHANGED
            outbox.end_open(connection, details["operation_id"], "error", error=UNENDED)
        return f"wrote {details['event']}.error"

    def leave_group(self, finding: Finding) -> str:
        """Let what belongs to a group that is not there belong to none."""
        with self._database.begin() as connection:
            if finding.resource == "volume":
                volumes.update(connection, finding.id, group_id=None)
            else:
                snapshots.update(connection, finding.id, group_snapshot_id=None)
        return "let it belong to no group"

    def drop_attachment(self, finding: Finding) -> str:
        """Forget an attachment of nothing."""
        with self._database.begin() as connection:
            attachments.remove(connection, finding.id)
        return "dropped the attachment"

    def detach(self, finding: Finding) -> str:
        """Nobody is attached, so the volume is available."""
        with self._database.begin() as connection:
            if not _still(connection, finding) or attachments.of_volume(connection, finding.id):
                return CHANGED
            moves.move(connection, "volume", finding.id, "reset_status", "available", attach_status="detached")
        done = "set its status to available"
        return f"{done}; {self.settle_export(finding)}" if finding.backend else done

    def drop_cache_entry(self, finding: Finding) -> str:
        """Forget a cache entry that has no volume, or that no flow fills."""
        with self._database.begin() as connection:
            image_cache.remove(connection, finding.details["volume_id"])
        return "dropped the cache entry"

    def forget_image_key(self, finding: Finding) -> str:
        """Have the key of an image that is gone forgotten."""
        with self._database.begin() as connection:
            key = image_keys.find(connection, finding.id)
            if key is None:
                return CHANGED
            image_keys.request(connection, self._hands.context, key)
        return "requested that its key is forgotten"

    def settle_image(self, finding: Finding) -> str:
        """Have the image that a volume was made on turned into something of the storage's own."""
        with self._database.begin() as connection:
            volume = volumes.find(connection, finding.id)
            if volume is None:
                return CHANGED
            return self._request(connection, "settle_image", volume, None, storage_name=volume.storage_name)

    def purge_backup(self, finding: Finding) -> str:
        """Remove from the store what nobody makes and no row tells of; the chunks too that only it needed."""
        store, location = open_store(self._settings), finding.details["location"]
        place = place_of(location)
        with self._database.read() as connection:
            row = backups.find(connection, finding.id)
        if row is not None and (finding.details["finished"] or row.status == "creating"):
            return CHANGED
        if place is None:
            store.legacy.delete(location.removeprefix(PREFIX))
            return "removed it from the store"
        if finding.details["finished"]:
            claims = store.repository.remove(place)
        else:
            store.repository.unclaim(place)
            claims = store.repository.collect(place.volume_id)
        return "removed it from the store" + (f"; its chunks are left until {claims[0]} is made" if claims else "")

    def purge_chunks(self, finding: Finding) -> str:
        """Remove the chunks that no backup of a volume needs."""
        claims = open_store(self._settings).repository.collect(finding.id)
        return f"left them: the backup {claims[0]} is being made" if claims else "removed them"

    def purge_image_file(self, finding: Finding) -> str:
        """Remove image files that belong to no image with data; uploads that run are left alone."""
        LocalCatalog(self._database, self._settings.path("image_store_path", "images")).recover()
        return "removed the file"

    def _delete(self, connection: Connection, finding: Finding) -> str:
        row = _find(connection, finding)
        event = None if finding.resource == "backup" else "delete.start"
        return self._request(connection, f"delete_{finding.resource}", row, event)

    def _request(self, connection: Connection, flow: str, resource: Any, event: str | None, **more: Any) -> str:
        operation_id = self._hands.new_operation()
        if event:
            _EVENTS[type(resource)](connection, event, resource, operation_id)
        noun = operations.noun_of(resource)
        operations.request_flow(
            connection,
            self._hands.context,
            flow,
            operation_id=operation_id,
            resource=resource,
            arguments={f"{noun}_id": resource.id, **more},
        )
        return f"requested {flow} (operation {operation_id})"

    def _tell(self, connection: Connection, finding: Finding, message: str) -> None:
        """Leave a word for `explain` and for the resource's user."""
        row = _find(connection, finding)
        now = clock.now()
        told = Operation(
            id=str(uuid.uuid4()),
            kind="doctor",
            resource_type=finding.resource,
            resource_id=finding.id,
            project_id=row.project_id,
            user_id=self._hands.context.user_id,
            request_id=self._hands.context.request_id,
            state="failed",
            message=message,
            created_at=now,
            started_at=now,
            finished_at=now,
        )
        records.insert(connection, tables.operations, told)


_EVENTS: dict[type, Callable[..., None]] = {
    Volume: outbox.volume_event,
    Snapshot: outbox.snapshot_event,
    Group: outbox.group_event,
    GroupSnapshot: outbox.group_snapshot_event,
}


def _find(connection: Connection, finding: Finding) -> Any:
    modules: dict[str, Any] = {
        "volume": volumes,
        "snapshot": snapshots,
        "backup": backups,
        "group": groups,
        "group_snapshot": group_snapshots,
    }
    return modules[finding.resource].get(connection, finding.id)


def _still(connection: Connection, finding: Finding) -> bool:
    """Whether the row has the status it was found with; it keeps it until the transaction ends."""
    table = TABLES[finding.resource]
    query = sa.select(table.c.status).where(table.c.id == finding.id).with_for_update()
    return bool(connection.execute(query).scalar_one_or_none() == finding.details["status"])


FIXES: dict[str, Callable[[Fixer, Finding], str]] = {
    "orphan": Fixer.purge,
    "unfinished": Fixer.purge,
    "orphan_replica": Fixer.purge,
    "remains": Fixer.purge,
    "ghost": Fixer.lost,
    "wrong_size": Fixer.resize,
    "orphan_backup": Fixer.purge_backup,
    "orphan_chunks": Fixer.purge_chunks,
    "orphan_image_file": Fixer.purge_image_file,
    "stuck": Fixer.unstick,
    "flow_without_resource": Fixer.drop_flow,
    "operation_without_flow": Fixer.drop_flow,
    "unpaired_event": Fixer.end_event,
    "attachment_without_volume": Fixer.drop_attachment,
    "in_use_without_attachment": Fixer.detach,
    "unwanted_export": Fixer.settle_export,
    "missing_export": Fixer.settle_export,
    "snapshot_without_volume": Fixer.delete_snapshot,
    "without_group": Fixer.leave_group,
    "cache_without_volume": Fixer.drop_cache_entry,
    "cache_without_fill": Fixer.drop_cache_entry,
    "adoption_without_flow": Fixer.settle_image,
    "left_image_key": Fixer.forget_image_key,
}
