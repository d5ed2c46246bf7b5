"""What is done to a volume that is there, and to its snapshots, backups, attachments and replica."""

from typing import Any

import sqlalchemy as sa

from breezeblock.db import tables
from tests.kill.base import CONNECTOR, Base, fresh, is_gone
from tests.kill.world import EMPTY_SHA, PAYLOAD_SHA, World


class Verb:
    """Something done to a volume of its own, that holds the payload."""

    outcomes = {"done"}
    background: tuple[str, ...] = ()
    """The places that workers pass by themselves now and then, and that this scenario is about."""

    def __init__(self, name: str, backend: str):
        self.name, self.backend = name, backend

    def prepare(self, world: World, base: Base) -> dict[str, Any]:
        return {"volume": self.clone(world, base)}

    def clone(self, world, base, volume_type=None):
        source = base.volumes[self.backend]
        kind = volume_type or self.backend
        return world.made("volumes", size=1, name=fresh(), source_volid=source, volume_type=kind)

    def ask(self, world: World, base: Base, state) -> None:
        raise NotImplementedError

    def is_asked(self, world: World, base: Base, state) -> bool:
        raise NotImplementedError

    def again(self, world: World, base: Base, state) -> None:
        if not self.is_asked(world, base, state):
            self.ask(world, base, state)

    def outcome(self, world: World, base: Base, state) -> str:
        volume = world.call("GET", f"/volumes/{state['volume']}")["volume"]
        assert volume["status"] == "available", volume
        assert world.content(state["volume"]) == PAYLOAD_SHA, "another content"
        return "done"

    def clean(self, world: World, base: Base, state) -> None:
        world.remove("volumes", state["volume"])


class Delete(Verb):
    """A volume with all that hangs on it."""

    def prepare(self, world, base):
        state = {"volume": self.clone(world, base, f"replicated-{self.backend}")}
        state["snapshot"] = world.made("snapshots", volume_id=state["volume"], name=fresh())
        world.request_refresh(state["volume"])
        world.settle()
        return state

    def ask(self, world, base, state):
        world.client.call("DELETE", f"/volumes/{state['volume']}?cascade=true")

    def is_asked(self, world, base, state):
        return is_gone(world, "volumes", state["volume"])

    def outcome(self, world, base, state):
        assert is_gone(world, "volumes", state["volume"])
        assert is_gone(world, "snapshots", state["snapshot"])
        return "done"

    def clean(self, world, base, state):
        pass


class Extend(Verb):
    def ask(self, world, base, state):
        world.client.call("POST", f"/volumes/{state['volume']}/action", {"os-extend": {"new_size": 2}})

    def is_asked(self, world, base, state):
        return world.call("GET", f"/volumes/{state['volume']}")["volume"]["size"] == 2


class CreateSnapshot(Verb):
    def prepare(self, world, base):
        return {**super().prepare(world, base), "name": fresh()}

    def ask(self, world, base, state):
        world.client.call(
            "POST", "/snapshots", {"snapshot": {"volume_id": state["volume"], "name": state["name"], "force": True}}
        )

    def is_asked(self, world, base, state):
        return world.find("snapshots", state["name"]) is not None

    def outcome(self, world, base, state):
        snapshot = world.find("snapshots", state["name"])
        assert snapshot["status"] == "available", snapshot
        copy = world.made("volumes", snapshot_id=snapshot["id"], name=fresh(), volume_type=self.backend)
        assert world.content(copy) == PAYLOAD_SHA
        world.remove("volumes", copy)
        world.remove("snapshots", snapshot["id"])
        return super().outcome(world, base, state)


class AcceptTransfer(Verb):
    """An offer of an encrypted volume is taken up."""

    def prepare(self, world, base):
        state = super().prepare(world, base)
        body = {"transfer": {"volume_id": state["volume"], "name": fresh()}}
        return {**state, "transfer": world.call("POST", "/volume-transfers", body)["transfer"]}

    def ask(self, world, base, state):
        transfer = state["transfer"]
        body = {"accept": {"auth_key": transfer["auth_key"]}}
        world.client.call("POST", f"/volume-transfers/{transfer['id']}/accept", body)

    def is_asked(self, world, base, state):
        return is_gone(world, "volume-transfers", state["transfer"]["id"])


class AcceptWithdrawn(Verb):
    """An offer that was withdrawn before its worker came to it: the key stays whose the volume is."""

    def ask(self, world, base, state):
        state.setdefault("operations", world.count_operations())
        world.request_flow("accept_transfer", state["volume"], transfer_id=state["volume"])

    def is_asked(self, world, base, state):
        return world.count_operations() > state["operations"]


class DeleteSnapshot(Verb):
    def prepare(self, world, base):
        state = super().prepare(world, base)
        return {**state, "snapshot": world.made("snapshots", volume_id=state["volume"], name=fresh())}

    def ask(self, world, base, state):
        world.client.call("DELETE", f"/snapshots/{state['snapshot']}")

    def is_asked(self, world, base, state):
        return is_gone(world, "snapshots", state["snapshot"])

    def outcome(self, world, base, state):
        assert is_gone(world, "snapshots", state["snapshot"])
        return super().outcome(world, base, state)


class Revert(Verb):
    """To a snapshot of the payload, after the volume got another content by a restore of nothing."""

    def prepare(self, world, base):
        state = super().prepare(world, base)
        state["snapshot"] = world.made("snapshots", volume_id=state["volume"], name=fresh())
        world.overwrite(state["volume"])
        assert world.content(state["volume"]) == EMPTY_SHA
        return state

    def ask(self, world, base, state):
        world.client.call("POST", f"/volumes/{state['volume']}/action", {"revert": {"snapshot_id": state["snapshot"]}})

    def is_asked(self, world, base, state):
        return world.content(state["volume"]) == PAYLOAD_SHA

    def clean(self, world, base, state):
        world.remove("snapshots", state["snapshot"])
        super().clean(world, base, state)


class Reimage(Verb):
    """With an image, of a volume that reads as zeros."""

    def prepare(self, world, base):
        return {"volume": world.made("volumes", size=1, name=fresh(), volume_type=self.backend)}

    def ask(self, world, base, state):
        path, image = f"/volumes/{state['volume']}/action", base.qcow2 if self.backend == "dir" else base.image
        world.client.call("POST", path, {"os-reimage": {"image_id": image}})

    def is_asked(self, world, base, state):
        return world.content(state["volume"]) == PAYLOAD_SHA


class CreateBackup(CreateSnapshot):
    def ask(self, world, base, state):
        world.client.call("POST", "/backups", {"backup": {"volume_id": state["volume"], "name": state["name"]}})

    def is_asked(self, world, base, state):
        return world.find("backups", state["name"]) is not None

    def outcome(self, world, base, state):
        backup = world.find("backups", state["name"])
        assert backup["status"] == "available", backup
        copy = world.made("volumes", size=1, backup_id=backup["id"], name=fresh(), volume_type=self.backend)
        assert world.content(copy) == PAYLOAD_SHA
        world.remove("volumes", copy)
        world.remove("backups", backup["id"])
        return Verb.outcome(self, world, base, state)


class RestoreBackup(Verb):
    def prepare(self, world, base):
        return {"volume": world.made("volumes", size=1, name=fresh(), volume_type=self.backend)}

    def ask(self, world, base, state):
        world.client.call("POST", f"/backups/{base.backup}/restore", {"restore": {"volume_id": state["volume"]}})

    def is_asked(self, world, base, state):
        return world.content(state["volume"]) == PAYLOAD_SHA


class DeleteBackup(Verb):
    def prepare(self, world, base):
        state = super().prepare(world, base)
        return {**state, "backup": world.made("backups", volume_id=state["volume"], name=fresh())}

    def ask(self, world, base, state):
        world.client.call("DELETE", f"/backups/{state['backup']}")

    def is_asked(self, world, base, state):
        return is_gone(world, "backups", state["backup"])

    def outcome(self, world, base, state):
        assert is_gone(world, "backups", state["backup"])
        return super().outcome(world, base, state)


class Connect(Verb):
    """An attachment that is connected: exported, and free again when it is deleted."""

    def prepare(self, world, base):
        state = super().prepare(world, base)
        body = {"attachment": {"volume_uuid": state["volume"]}}
        return {**state, "attachment": world.call("POST", "/attachments", body)["attachment"]["id"]}

    def ask(self, world, base, state):
        world.client.call("PUT", f"/attachments/{state['attachment']}", {"attachment": {"connector": CONNECTOR}})

    def is_asked(self, world, base, state):
        return bool(self.shown(world, state)["connection_info"])

    def shown(self, world, state):
        return world.call("GET", f"/attachments/{state['attachment']}")["attachment"]

    def outcome(self, world, base, state):
        assert self.shown(world, state)["connection_info"]
        world.call("DELETE", f"/attachments/{state['attachment']}")
        return super().outcome(world, base, state)


class Disconnect(Connect):
    def prepare(self, world, base):
        state = super().prepare(world, base)
        Connect.ask(self, world, base, state)
        return state

    def ask(self, world, base, state):
        world.client.call("DELETE", f"/attachments/{state['attachment']}")

    def is_asked(self, world, base, state):
        return is_gone(world, "attachments", state["attachment"])

    def outcome(self, world, base, state):
        assert is_gone(world, "attachments", state["attachment"])
        return Verb.outcome(self, world, base, state)


class RefreshReplica(Verb):
    """A refresh as the worker's rounds request it."""

    def ask(self, world, base, state):
        world.request_refresh(state["volume"])

    def again(self, world, base, state):
        pass

    def in_step_at(self, world, state):
        found = world.call("GET", f"/volumes/{state['volume']}/replication")["replication"]
        return found["last_in_step_at"]

    def outcome(self, world, base, state):
        assert self.in_step_at(world, state)
        copy = world.made("volumes", size=1, source_replica=state["volume"], name=fresh(), volume_type=self.backend)
        assert world.content(copy) == PAYLOAD_SHA
        world.remove("volumes", copy)
        return super().outcome(world, base, state)


class RequestRefresh(RefreshReplica):
    """The rounds of the worker request it, for a volume that never was in step."""

    def ask(self, world, base, state):
        with world.database.begin() as connection:
            changed = sa.update(tables.volumes).where(tables.volumes.c.id == state["volume"])
            connection.execute(changed.values(replication_status="enabled", replicated_at=None))
        world.wait(lambda: self.in_step_at(world, state))
