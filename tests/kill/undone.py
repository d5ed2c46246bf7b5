"""Verbs that fail, so that what they began is undone."""

from breezeblock.errors import BreezeblockError, ServiceUnavailable
from tests.kill.base import is_gone
from tests.kill.creates import Create
from tests.kill.images import LiveUpload, UploadSecret
from tests.kill.verbs import (
    Connect,
    CreateBackup,
    CreateSnapshot,
    DeleteSnapshot,
    Disconnect,
    Extend,
    RefreshReplica,
    Reimage,
    RestoreBackup,
    Revert,
    Verb,
)
from tests.kill.world import PAYLOAD_SHA


class Undone:
    """A verb that fails, so that what was begun is undone; killed meanwhile, it fails again."""

    background = ()

    def __init__(self, name: str, verb: str, deed: Verb, status: str, kind: str = "volumes"):
        self.name, self.verb, self.deed, self.kind, self.outcomes = name, verb, deed, kind, {status}

    def prepare(self, world, base):
        return {**self.deed.prepare(world, base), "operations": world.count_operations()}

    def ask(self, world, base, state):
        world.fail(self.verb)
        try:
            self.deed.ask(world, base, state)
        except ServiceUnavailable:
            raise
        except BreezeblockError as error:
            if not error.message.startswith("Simulated failure of"):  # the storage's reason, told to who connects
                raise

    def again(self, world, base, state):
        if world.count_operations() == state["operations"]:
            self.ask(world, base, state)

    def outcome(self, world, base, state):
        world.mend()
        if self.kind == "replication":
            return world.call("GET", f"/volumes/{state['volume']}/replication")["replication"]["status"]
        (found,) = self.found(world, state, self.kind)
        if self.verb not in ("delete_volume", "copy_image_to_volume", "revert_to_snapshot"):
            assert world.content(state["volume"]) == PAYLOAD_SHA, "another content"
        return found["status"]

    def found(self, world, state, kind):
        listed = world.call("GET", f"/{kind}/detail?all_tenants=1&limit=1000")[kind]
        return [one for one in listed if state["volume"] in (one["id"], one.get("volume_id"))]

    def clean(self, world, base, state):
        for attachment in self.found(world, state, "attachments"):
            world.call("DELETE", f"/attachments/{attachment['id']}")
        for backup in self.found(world, state, "backups"):
            world.remove("backups", backup["id"])
        for kind in ("snapshots", "volumes"):
            for one in self.found(world, state, kind):
                world.call("POST", f"/{kind}/{one['id']}/action", {"os-force_delete": None})
                world.settle()
        assert is_gone(world, "volumes", state["volume"])


class DeleteAlone(Verb):
    """A volume with nothing hanging on it."""

    def ask(self, world, base, state):
        world.client.call("DELETE", f"/volumes/{state['volume']}")


class UndoneFill(Create):
    """A create of an image whose bytes the storage does not take, neither into its cache nor into the volume."""

    def ask(self, world, base, state):
        world.fail("copy_image_to_volume")
        super().ask(world, base, state)

    def outcome(self, world, base, state):
        world.mend()
        return super().outcome(world, base, state)


UNDONE: list[Create | Undone] = [
    UndoneFill("undo-fill", "weak", "", lambda w, b: {"imageRef": w.image()}, outcomes=("error",)),
    Undone("undo-delete", "delete_volume", DeleteAlone("", "weak"), "error_deleting"),
    Undone("undo-extend", "extend_volume", Extend("", "weak"), "error_extending"),
    Undone("undo-snapshot", "create_snapshot", CreateSnapshot("", "weak"), "error", "snapshots"),
    Undone("undo-delete_snapshot", "delete_snapshot", DeleteSnapshot("", "weak"), "error_deleting", "snapshots"),
    Undone("undo-backup", "open_volume", CreateBackup("", "weak"), "error", "backups"),
    Undone("undo-backup-secret", "open_volume", CreateBackup("", "secret-weak"), "error", "backups"),
    Undone("undo-restore", "copy_image_to_volume", RestoreBackup("", "weak"), "error_restoring"),
    Undone("undo-reimage", "copy_image_to_volume", Reimage("", "weak"), "error"),
    Undone("undo-revert", "revert_to_snapshot", Revert("", "weak"), "error"),
    Undone("undo-upload", "open_volume", LiveUpload("", "weak"), "in-use"),
    Undone("undo-upload-secret", "open_volume", UploadSecret("", "secret-weak"), "available"),
    Undone("undo-connect", "initialize_connection", Connect("", "weak"), "error_attaching", "attachments"),
    Undone("undo-disconnect", "terminate_connection", Disconnect("", "weak"), "error_detaching", "attachments"),
    Undone("undo-refresh", "update_replica", RefreshReplica("", "weak"), "error", "replication"),
]
