"""Backups of a backend that keeps the snapshot of the last one, to read only what has changed: where that goes."""

from tests.kill.backups import IncrementalBackup, check
from tests.kill.base import fresh, is_gone
from tests.kill.managing import Unmanage
from tests.kill.moving import Migrate, RetypeSecret
from tests.kill.verbs import DeleteBackup, Verb


class Compared(Verb):
    """Something done to a volume that has a backup."""

    def prepare(self, world, base):
        state = super().prepare(world, base)
        return {**state, "compared": world.made("backups", volume_id=state["volume"], name=fresh())}

    def clean(self, world, base, state):
        check(world, state["compared"], self.backend)
        world.remove("backups", state["compared"])
        super().clean(world, base, state)


class DeleteVolume(Verb):
    """It takes the snapshot along; the backup stays."""

    def ask(self, world, base, state):
        world.client.call("DELETE", f"/volumes/{state['volume']}")

    def is_asked(self, world, base, state):
        return is_gone(world, "volumes", state["volume"])

    def outcome(self, world, base, state):
        assert self.is_asked(world, base, state)
        return "done"

    def clean(self, world, base, state):
        assert self.is_asked(world, base, state)


class DeleteCompared(Compared, DeleteVolume):
    pass


class UnmanageCompared(Compared, Unmanage):
    pass


class MigrateCompared(Compared, Migrate):
    pass


class RetypeCompared(Compared, RetypeSecret):
    """What it compares with goes: the content has nothing in common with the last backup any more."""


COMPARED: list[Verb] = [
    IncrementalBackup("create_backup-changes", "plain"),
    DeleteBackup("delete_backup-changes", "plain"),
    DeleteCompared("delete-changes", "plain"),
    UnmanageCompared("unmanage-changes", "plain"),
    MigrateCompared("migrate-changes", "plain", "plain"),
    RetypeCompared("retype-changes", "plain", "plain", "secret-plain"),
]
