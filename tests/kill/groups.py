"""What is done to groups: of two kinds, plain ones and those whose snapshots are of one moment."""

from tests.kill.base import fresh, is_gone
from tests.kill.verbs import Verb
from tests.kill.world import PAYLOAD_SHA


class GroupVerb(Verb):
    """Something done to a group with one volume that holds the payload."""

    def __init__(self, name, backend, consistent=False):
        super().__init__(name, backend)
        self.consistent = consistent

    def prepare(self, world, base):
        group = world.call("POST", "/groups", {"group": self.wanted(world)})["group"]["id"]
        source = base.volumes[self.backend]
        kind = {"volume_type": self.backend, "group_id": group}
        return {"group": group, "volume": world.made("volumes", size=1, name=fresh(), source_volid=source, **kind)}

    def wanted(self, world):
        specs = {"consistent_group_snapshot_enabled": "<is> True"} if self.consistent else {}
        kind = world.call("POST", "/group_types", {"group_type": {"name": fresh(), "group_specs": specs}})
        return {"group_type": kind["group_type"]["id"], "volume_types": [self.backend], "name": fresh()}

    def snapshot(self, world, state):
        """A snapshot of the group."""
        body = {"group_snapshot": {"group_id": state["group"], "name": fresh()}}
        taken = world.call("POST", "/group_snapshots", body)["group_snapshot"]["id"]
        world.settle()
        return taken

    def status(self, world, kind, resource_id):
        return world.call("GET", f"/{kind}/{resource_id}")[kind.removesuffix("s")]["status"]

    def members(self, world, kind, key, of):
        listed = world.call("GET", f"/{kind}/detail?limit=1000")[kind]
        return [one for one in listed if one[key] == of]

    def clean(self, world, base, state):
        world.mend()
        for taken in world.call("GET", f"/group_snapshots?group_id={state['group']}")["group_snapshots"]:
            world.remove("group_snapshots", taken["id"])
        for group in (state["group"], state.get("copy")):
            if group and not is_gone(world, "groups", group):
                world.call("POST", f"/groups/{group}/action", {"delete": {"delete-volumes": True}})
                world.settle()
                assert is_gone(world, "groups", group)


class SnapshotGroup(GroupVerb):
    outcomes = {"available"}

    def prepare(self, world, base):
        return {**super().prepare(world, base), "name": fresh()}

    def ask(self, world, base, state):
        body = {"group_snapshot": {"group_id": state["group"], "name": state["name"]}}
        world.client.call("POST", "/group_snapshots", body)

    def is_asked(self, world, base, state):
        return world.find("group_snapshots", state["name"]) is not None

    def outcome(self, world, base, state):
        taken = world.find("group_snapshots", state["name"])
        made = self.members(world, "snapshots", "group_snapshot_id", taken["id"])
        assert {one["status"] for one in made} == {taken["status"]}, (taken, made)
        if taken["status"] == "available":
            copy = world.made("volumes", snapshot_id=made[0]["id"], name=fresh(), volume_type=self.backend)
            assert world.content(copy) == PAYLOAD_SHA
            world.remove("volumes", copy)
        assert world.content(state["volume"]) == PAYLOAD_SHA, "another content"
        return taken["status"]


class DeleteGroupSnapshot(GroupVerb):
    outcomes = {"gone"}

    def prepare(self, world, base):
        state = super().prepare(world, base)
        return {**state, "taken": self.snapshot(world, state), "operations": world.count_operations()}

    def ask(self, world, base, state):
        world.client.call("DELETE", f"/group_snapshots/{state['taken']}")

    def is_asked(self, world, base, state):
        return world.count_operations() > state["operations"]

    def outcome(self, world, base, state):
        left = self.members(world, "snapshots", "group_snapshot_id", state["taken"])
        if is_gone(world, "group_snapshots", state["taken"]):
            assert left == []
            return "gone"
        return self.status(world, "group_snapshots", state["taken"])


class CopyGroup(GroupVerb):
    outcomes = {"available"}

    def prepare(self, world, base):
        return {**super().prepare(world, base), "name": fresh()}

    def ask(self, world, base, state):
        body = {"create-from-src": {"source_group_id": state["group"], "name": state["name"]}}
        world.client.call("POST", "/groups/action", body)

    def is_asked(self, world, base, state):
        return world.find("groups", state["name"]) is not None

    def outcome(self, world, base, state):
        copy = world.find("groups", state["name"])
        state["copy"] = copy["id"]
        made = self.members(world, "volumes", "group_id", copy["id"])
        assert {one["status"] for one in made} == {copy["status"]}, (copy, made)
        if copy["status"] == "available":
            assert [world.content(one["id"]) for one in made] == [PAYLOAD_SHA]
        return copy["status"]


class DeleteGroup(GroupVerb):
    outcomes = {"gone"}

    def prepare(self, world, base):
        return {**super().prepare(world, base), "operations": world.count_operations()}

    def ask(self, world, base, state):
        world.client.call("POST", f"/groups/{state['group']}/action", {"delete": {"delete-volumes": True}})

    def is_asked(self, world, base, state):
        return world.count_operations() > state["operations"]

    def outcome(self, world, base, state):
        if is_gone(world, "groups", state["group"]):
            assert is_gone(world, "volumes", state["volume"])
            return "gone"
        return self.status(world, "groups", state["group"])


class Failing:
    """A verb on a group of the backend `weak`, whose storage fails: what was begun is undone."""

    background = ()
    outcomes = {"error"}

    def __init__(self, name, verb, deed):
        self.name, self.verb, self.deed = name, verb, deed

    def prepare(self, world, base):
        return self.deed.prepare(world, base)

    def ask(self, world, base, state):
        world.fail(self.verb)
        self.deed.ask(world, base, state)

    def again(self, world, base, state):
        self.deed.again(world, base, state)

    def outcome(self, world, base, state):
        world.mend()
        return self.deed.outcome(world, base, state)

    def clean(self, world, base, state):
        self.deed.clean(world, base, state)


GROUPS: list[GroupVerb | Failing] = [
    SnapshotGroup("snapshot_group", "sim"),
    SnapshotGroup("snapshot_group-together", "sim", consistent=True),
    SnapshotGroup("snapshot_group-together-dir", "dir", consistent=True),
    DeleteGroupSnapshot("delete_group_snapshot", "sim"),
    CopyGroup("copy_group", "sim"),
    DeleteGroup("delete_group", "sim"),
    Failing("undo-snapshot_group", "create_snapshot", SnapshotGroup("", "weak")),
    Failing("undo-snapshot_group-together", "create_group_snapshot", SnapshotGroup("", "weak", consistent=True)),
    Failing("undo-delete_group_snapshot", "delete_snapshot", DeleteGroupSnapshot("", "weak")),
    Failing("undo-copy_group", "create_cloned_volume", CopyGroup("", "weak")),
    Failing("undo-delete_group", "delete_volume", DeleteGroup("", "weak")),
]
