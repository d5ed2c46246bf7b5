"""What is done to a volume while it is attached; and what a worker does by itself, or because the doctor asked."""

import contextlib

from tests.drivers.nbd_client import NbdClient
from tests.kill.base import CONNECTOR
from tests.kill.verbs import CreateSnapshot, Extend, Verb
from tests.kill.world import PAYLOAD


class Attached(Verb):
    """Something done to a volume that is connected."""

    def prepare(self, world, base):
        state = super().prepare(world, base)
        body = {"attachment": {"volume_uuid": state["volume"], "connector": CONNECTOR}}
        attachment = world.call("POST", "/attachments", body)["attachment"]["id"]
        world.call("POST", f"/attachments/{attachment}/action", {"os-complete": None})
        return {**state, "attachment": attachment}

    def outcome(self, world, base, state):
        world.call("DELETE", f"/attachments/{state['attachment']}")
        return super().outcome(world, base, state)


class LiveSnapshot(Attached, CreateSnapshot):
    pass


class LiveExtend(Attached, Extend):
    def outcome(self, world, base, state):
        outcome = super().outcome(world, base, state)
        assert self.is_asked(world, base, state)
        return outcome


class Restart(Attached):
    """Worker and export daemon die; what was attached can be reached again."""

    background = ("take_slot", "take_up", "restore_exports")

    def ask(self, world, base, state):
        world.kill_export_daemons()
        world.kill("worker")
        world.wait(lambda: self.is_reached(world, state))

    def again(self, world, base, state):
        pass

    def is_reached(self, world, state):
        info = world.call("GET", f"/attachments/{state['attachment']}")["attachment"]["connection_info"]
        with contextlib.suppress(OSError):
            with NbdClient(info["uri"]) as client:
                return client.read(len(PAYLOAD), 0) == PAYLOAD
        return False

    def outcome(self, world, base, state):
        world.wait(lambda: self.is_reached(world, state))
        return super().outcome(world, base, state)


class Rounds(Verb):
    """The worker says what it has room for."""

    background = ("report_pools",)

    def ask(self, world, base, state):
        before = world.reports()
        world.wait(lambda: world.reports() > before)

    def again(self, world, base, state):
        pass


class PurgeOrphan(Verb):
    """What `doctor --fix` asks the owner for: an object without a row goes."""

    def prepare(self, world, base):
        state = super().prepare(world, base)
        world.forget(state["volume"])
        return state

    def ask(self, world, base, state):
        world.request_purge(self.backend, f"volume-{state['volume']}")

    def again(self, world, base, state):
        pass

    def outcome(self, world, base, state):
        return "done"  # that it is gone is what a look at the storage says

    def clean(self, world, base, state):
        pass


class ReconcileExport(Attached):
    """What `doctor --fix` asks the owner for: an attached volume is exported."""

    def ask(self, world, base, state):
        world.kill_export_daemons()
        world.request_flow("reconcile_export", state["volume"])

    def again(self, world, base, state):
        pass
