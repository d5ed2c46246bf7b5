"""What nobody manages becomes a volume or snapshot, and these become such again."""

from tests.kill.base import fresh, is_gone
from tests.kill.undone import Undone
from tests.kill.verbs import Verb
from tests.kill.world import PAYLOAD_SHA


class Unmanage(Verb):
    """A volume; that it is whole is seen when it is managed again."""

    noun = "volume"

    def ask(self, world, base, state):
        world.client.call("POST", f"/{self.noun}s/{state[self.noun]}/action", {"os-unmanage": None})

    def is_asked(self, world, base, state):
        return is_gone(world, f"{self.noun}s", state[self.noun])

    def reference(self, state):
        return {"source-name": f"{self.noun}-{state[self.noun]}"}

    def manage(self, world, state):
        host = world.settings.backend(self.backend).backend
        name = state.setdefault("name", fresh())
        body = {"volume": {"host": host, "ref": self.reference(state), "volume_type": self.backend, "name": name}}
        world.client.call("POST", "/os-volume-manage", body)

    def outcome(self, world, base, state):
        assert self.is_asked(world, base, state)
        self.manage(world, state)
        world.settle()
        return self.managed(world, state)

    def managed(self, world, state):
        volume = world.find("volumes", state["name"])
        assert (volume["status"], volume["size"]) == ("available", 1), volume
        assert world.content(volume["id"]) == PAYLOAD_SHA
        state["volume"] = volume["id"]
        return "done"


class Manage(Unmanage):
    """A volume that was unmanaged."""

    def prepare(self, world, base):
        state = super().prepare(world, base)
        Unmanage.ask(self, world, base, state)
        world.settle()
        return {**state, "name": fresh()}

    def ask(self, world, base, state):
        self.manage(world, state)

    def is_asked(self, world, base, state):
        return world.find("volumes", state["name"]) is not None

    def outcome(self, world, base, state):
        return self.managed(world, state)


class UnmanageSnapshot(Unmanage):
    noun = "snapshot"

    def prepare(self, world, base):
        state = super().prepare(world, base)
        return {**state, "snapshot": world.made("snapshots", volume_id=state["volume"], name=fresh())}

    def manage(self, world, state):
        name = state.setdefault("name", fresh())
        body = {"snapshot": {"volume_id": state["volume"], "ref": self.reference(state), "name": name}}
        world.client.call("POST", "/os-snapshot-manage", body)

    def managed(self, world, state):
        snapshot = world.find("snapshots", state["name"])
        assert snapshot["status"] == "available", snapshot
        copy = world.made("volumes", snapshot_id=snapshot["id"], name=fresh(), volume_type=self.backend)
        assert world.content(copy) == PAYLOAD_SHA
        world.remove("volumes", copy)
        world.remove("snapshots", snapshot["id"])
        return "done"


class ManageSnapshot(UnmanageSnapshot):
    def prepare(self, world, base):
        state = super().prepare(world, base)
        super().ask(world, base, state)
        world.settle()
        return {**state, "name": fresh()}

    def ask(self, world, base, state):
        self.manage(world, state)

    def is_asked(self, world, base, state):
        return world.find("snapshots", state["name"]) is not None

    def outcome(self, world, base, state):
        return self.managed(world, state)


class UndoneManage(Manage):
    """The storage does not take it."""

    outcomes = {"error"}

    def ask(self, world, base, state):
        world.fail("manage_existing")
        super().ask(world, base, state)

    def outcome(self, world, base, state):
        world.mend()
        volume = world.find("volumes", state["name"])
        state["volume"] = volume["id"]
        return volume["status"]


MANAGING: list[Verb | Undone] = [
    Unmanage("unmanage", "sim"),
    Unmanage("unmanage-dir", "dir"),
    Manage("manage", "sim"),
    Manage("manage-dir", "dir"),
    UnmanageSnapshot("unmanage_snapshot", "sim"),
    UnmanageSnapshot("unmanage_snapshot-dir", "dir"),
    ManageSnapshot("manage_snapshot", "sim"),
    ManageSnapshot("manage_snapshot-dir", "dir"),
    UndoneManage("undo-manage", "weak"),
    Undone("undo-unmanage", "unmanage", Unmanage("", "weak"), "error_unmanaging"),
]
