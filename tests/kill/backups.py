"""Backups that share their chunks with others, and those that records tell of."""

import base64
import json
import uuid

from tests.kill.attached import Attached
from tests.kill.base import fresh, is_gone
from tests.kill.verbs import CreateBackup, Verb
from tests.kill.world import PAYLOAD_SHA


def check(world, backup, volume_type):
    """A volume made of the backup has the payload."""
    copy = world.made("volumes", size=1, backup_id=backup, name=fresh(), volume_type=volume_type)
    assert world.content(copy) == PAYLOAD_SHA, "another content"
    world.remove("volumes", copy)


class IncrementalBackup(CreateBackup):
    """A backup that stores nothing new; it outlives whatever happens to its parent's objects."""

    def prepare(self, world, base):
        state = super().prepare(world, base)
        return {**state, "parent": world.made("backups", volume_id=state["volume"], name=fresh())}

    def ask(self, world, base, state):
        body = {"volume_id": state["volume"], "name": state["name"], "incremental": True}
        world.client.call("POST", "/backups", {"backup": body})

    def outcome(self, world, base, state):
        assert world.find("backups", state["name"])["is_incremental"]
        return super().outcome(world, base, state)

    def clean(self, world, base, state):
        check(world, state["parent"], self.backend)
        world.remove("backups", state["parent"])
        super().clean(world, base, state)


class DeleteIncremental(Verb):
    """One of two backups that share all their chunks goes; the other one stays whole."""

    def prepare(self, world, base):
        state = super().prepare(world, base)
        state["parent"] = world.made("backups", volume_id=state["volume"], name=fresh())
        state["backup"] = world.made("backups", volume_id=state["volume"], name=fresh(), incremental=True)
        return state

    def ask(self, world, base, state):
        world.client.call("DELETE", f"/backups/{state['backup']}")

    def is_asked(self, world, base, state):
        return is_gone(world, "backups", state["backup"])

    def outcome(self, world, base, state):
        assert is_gone(world, "backups", state["backup"])
        check(world, state["parent"], self.backend)
        return super().outcome(world, base, state)

    def clean(self, world, base, state):
        world.remove("backups", state["parent"])
        super().clean(world, base, state)


class LiveBackup(Attached, CreateBackup):
    """A volume in use, by a snapshot that passes."""

    def ask(self, world, base, state):
        body = {"volume_id": state["volume"], "name": state["name"], "force": True}
        world.client.call("POST", "/backups", {"backup": body})


class ImportBackup(Verb):
    """A record that was given another id makes a backup of its own, which outlives the one it tells of."""

    def prepare(self, world, base):
        state = super().prepare(world, base)
        state["backup"] = world.made("backups", volume_id=state["volume"], name=fresh())
        record = world.call("GET", f"/backups/{state['backup']}/export_record")["backup-record"]
        state["copy"] = str(uuid.uuid4())
        fields = json.loads(base64.b64decode(record["backup_url"])) | {"id": state["copy"]} | self.changed()
        return {**state, "record": record | {"backup_url": base64.b64encode(json.dumps(fields).encode()).decode()}}

    def changed(self):
        return {}

    def ask(self, world, base, state):
        world.client.call("POST", "/backups/import_record", {"backup-record": state["record"]})

    def is_asked(self, world, base, state):
        return not is_gone(world, "backups", state["copy"])

    def outcome(self, world, base, state):
        found = world.call("GET", f"/backups/{state['copy']}")["backup"]
        assert found["status"] == "available", found
        world.remove("backups", state["backup"])
        check(world, state["copy"], self.backend)
        return super().outcome(world, base, state)

    def clean(self, world, base, state):
        world.remove("backups", state["copy"])
        super().clean(world, base, state)


class RefusedImport(ImportBackup):
    """A record that tells of another size; what was made of it is undone, and the one it tells of stays."""

    outcomes = {"error"}

    def changed(self):
        return {"size": 2}

    def outcome(self, world, base, state):
        found = world.call("GET", f"/backups/{state['copy']}")["backup"]
        assert "says 2 GiB" in (found["fail_reason"] or ""), found
        check(world, state["backup"], self.backend)
        return found["status"]

    def clean(self, world, base, state):
        world.remove("backups", state["backup"])
        super().clean(world, base, state)
