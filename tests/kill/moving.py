"""A volume that goes to another backend, by a retype or by an administrator's word."""

import sqlalchemy as sa

from breezeblock.db import tables
from tests.kill.base import fresh
from tests.kill.undone import Undone
from tests.kill.verbs import Verb


class Retype(Verb):
    """To a type of another backend, or of the same."""

    def __init__(self, name, backend, new_type):
        super().__init__(name, backend)
        self.new_type = new_type

    def ask(self, world, base, state):
        body = {"os-retype": {"new_type": self.new_type, "migration_policy": "on-demand"}}
        world.client.call("POST", f"/volumes/{state['volume']}/action", body)

    def is_asked(self, world, base, state):
        return world.call("GET", f"/volumes/{state['volume']}")["volume"]["volume_type"] == self.new_type

    def outcome(self, world, base, state):
        assert self.is_asked(world, base, state)
        return super().outcome(world, base, state)


class Migrate(Verb):
    """To a backend, or to another pool of its own."""

    def __init__(self, name, backend, target):
        super().__init__(name, backend)
        self.target = target

    def prepare(self, world, base):
        """A volume that any backend may have."""
        state = super().prepare(world, base)
        with world.database.begin() as connection:
            changed = sa.update(tables.volumes).where(tables.volumes.c.id == state["volume"])
            connection.execute(changed.values(volume_type_id=None))
        return {**state, "host": self.place(world, self.host(world, state))}

    def place(self, world, host):
        """Where it has to go."""
        if self.target != self.backend:
            return world.settings.backend(self.target).backend
        backend, _, pool = host.partition("#")
        return f"{backend}#{'DS02' if pool == 'DS01' else 'DS01'}"

    def host(self, world, state):
        return world.call("GET", f"/volumes/{state['volume']}")["volume"]["os-vol-host-attr:host"]

    def ask(self, world, base, state):
        body = {"os-migrate_volume": {"host": state["host"]}}
        world.client.call("POST", f"/volumes/{state['volume']}/action", body)

    def is_asked(self, world, base, state):
        return self.host(world, state).startswith(state["host"])

    def outcome(self, world, base, state):
        assert self.is_asked(world, base, state)
        return super().outcome(world, base, state)


class RetypeSecret(Retype):
    """To a type that encrypts otherwise; the content is the same inside."""

    def __init__(self, name, backend, source_type, new_type):
        super().__init__(name, backend, new_type)
        self.source_type = source_type

    def clone(self, world, base, volume_type=None):
        source = base.volumes[self.source_type]
        return world.made("volumes", size=1, name=fresh(), source_volid=source, volume_type=self.source_type)


MOVING: list[Verb | Undone] = [
    Retype("retype", "sim", "plain"),
    Retype("retype-to-dir", "sim", "dir"),
    Retype("retype-dir", "dir", "sim"),
    Retype("retype-in-place", "sim", "sim-too"),
    Migrate("migrate", "sim", "plain"),
    Migrate("migrate-dir", "dir", "plain"),
    Migrate("migrate-pools", "plain", "plain"),
    RetypeSecret("retype-rekey", "sim", "secret", "secret-long"),
    RetypeSecret("retype-rekey-elsewhere", "sim", "secret", "secret-long-dir"),
    RetypeSecret("retype-decrypt-dir", "dir", "secret-dir", "dir"),
    Undone(
        "undo-retype-rekey",
        "copy_image_to_volume",
        RetypeSecret("", "weak", "secret-weak", "secret-long-weak"),
        "available",
    ),
    Undone(
        "undo-retype-rekey-elsewhere",
        "copy_image_to_volume",
        RetypeSecret("", "sim", "secret", "secret-long-weak"),
        "available",
    ),
    Undone("undo-retype", "copy_image_to_volume", Retype("", "sim", "weak"), "available"),
    Undone("undo-retype-leaving", "initialize_connection", Retype("", "weak", "sim"), "available"),
    Undone("undo-migrate", "copy_image_to_volume", Migrate("", "sim", "weak"), "available"),
    Undone("undo-migrate-leaving", "initialize_connection", Migrate("", "weak", "sim"), "available"),
]
