"""A backend that is failed over to where its replicas lie, and back."""

from tests.kill.base import fresh, is_gone
from tests.kill.verbs import Verb


class Failover(Verb):
    """There and back; a volume that is deleted there leaves nothing here."""

    def prepare(self, world, base):
        kind = f"replicated-{self.backend}"
        return {
            "volume": world.made("volumes", size=1, name=fresh(), imageRef=base.image, volume_type=kind),
            "doomed": world.made("volumes", size=1, name=fresh(), volume_type=kind),
            "was": False,
        }

    def service(self, world):
        host = world.settings.backend(self.backend).backend
        (found,) = world.call("GET", f"/os-services?host={host}&binary=cinder-volume")["services"]
        return found

    def order(self, world, backend_id):
        host = self.service(world)["host"]
        world.client.call("PUT", "/os-services/failover_host", {"host": host, "backend_id": backend_id})
        world.settle()

    def ask(self, world, base, state):
        world.settle()
        if not state["was"] and self.service(world)["active_backend_id"] is None:
            self.order(world, "secondary")
        assert state["was"] or self.service(world)["active_backend_id"] == "secondary"
        state["was"] = True
        if not is_gone(world, "volumes", state["doomed"]):
            world.client.call("DELETE", f"/volumes/{state['doomed']}")
            world.settle()
        if self.service(world)["active_backend_id"] is not None:
            self.order(world, "default")

    def again(self, world, base, state):
        self.ask(world, base, state)

    def outcome(self, world, base, state):
        service = self.service(world)
        told = [service[name] for name in ("replication_status", "active_backend_id", "status")]
        assert told == ["enabled", None, "enabled"], service
        assert is_gone(world, "volumes", state["doomed"])
        return super().outcome(world, base, state)


class RefusedFailover(Failover):
    """To a target that there is not."""

    def ask(self, world, base, state):
        world.settle()
        self.order(world, "nowhere")

    def outcome(self, world, base, state):
        assert self.service(world)["replication_status"] == "enabled"
        world.remove("volumes", state["doomed"])
        return super().outcome(world, base, state)


FAILING_OVER: list[Verb] = [Failover("failover", "twin"), RefusedFailover("undo-failover", "twin")]
