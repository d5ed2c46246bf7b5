"""A volume goes to another backend, or gets another type: by two workers, the driver, or no bytes at all."""

import threading
import time
from contextlib import contextmanager

import pytest

from breezeblock.db import operations, pools, volumes
from breezeblock.drivers.directory.driver import DirectoryDriver
from breezeblock.drivers.registry import open_driver
from breezeblock.errors import BackendOutOfSpace, InvalidInput, InvalidState
from breezeblock.exports.nbd import NbdExports
from breezeblock.flows.backend import make_backend
from breezeblock.flows.engine import Engine
from breezeblock.services import attachments, snapshots
from breezeblock.services.migration import complete_migration, migrate_volume, retype_volume
from breezeblock.services.volume_types import create_type
from tests.cloud import ADMIN, MEMBER, Cloud

CONF = """[DEFAULT]
enabled_backends = one, two
[one]
volume_driver = {one}
volume_backend_name = one
[two]
volume_driver = {two}
volume_backend_name = two
"""
KINDS = {
    "simulated": ("simulated\npool_name = a, b", "simulated"),
    "to directory": ("simulated", "directory"),
    "from directory": ("directory", "simulated"),
}
CONTENT = bytes(range(256)) * 20_000


class Pair(Cloud):
    """A cloud whose second backend has a worker too."""

    def __init__(self, data_dir, kind):
        one, two = KINDS[kind]
        super().__init__(data_dir, CONF.format(one=one, two=two))
        self.kind = kind
        own = self.settings.backends[1]
        self.other = make_backend(self.settings, own, open_driver(own), self.database, self.images)
        with self.database.begin() as connection:
            pools.report(connection, self.other.name, self.other.driver.get_volume_stats())
        self.type_of = {
            name: create_type(
                self.database, name=name, description=None, is_public=True, extra_specs={"volume_backend_name": name}
            )
            for name in ("one", "two")
        }

    @contextmanager
    def running(self):
        engine = Engine(self.other)
        thread = threading.Thread(target=engine.run)
        thread.start()
        try:
            with super().running():
                yield self
        finally:
            engine.stop()
            thread.join()

    def close(self):
        if self in self.open_ones:
            self.other.sources.close()
            if isinstance(self.other.driver, DirectoryDriver):
                self.other.driver.close()
            super().close()

    def at_rest(self):
        """Wait until nothing is left to be run."""
        self.until(lambda: not self.count("flow_requests"))

    def until(self, holds):
        """Wait until something is so."""
        deadline = time.monotonic() + 30
        while not holds():
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def operation(self, operation_id):
        with self.database.read() as connection:
            return operations.get(connection, operation_id)

    def objects(self):
        return [sorted(one.driver.list_objects()) for one in (self.backend, self.other)]

    def filled(self, **more):
        volume = self.made(size=1, volume_type="one", **more)
        self.driver.copy_image_to_volume(volume, "test", lambda to: to.pwrite(CONTENT, 5 << 20))
        return volume

    def content(self, driver, volume):
        with driver.open_volume(volume) as source:
            return source.pread(len(CONTENT), 5 << 20)

    def retype(self, volume, new_type, policy="on-demand"):
        retype_volume(self.database, self.settings, MEMBER, volume.id, new_type, policy)
        operation = self.settled(volume.id)
        self.at_rest()
        return operation

    def migrate(self, volume, host, **more):
        migrate_volume(self.database, ADMIN, volume.id, host, **more)
        self.at_rest()
        return next(one for one in self.operations(volume.id) if one.kind == "migrate_volume")


@pytest.fixture(params=list(KINDS))
def pair(request, tmp_path):
    yield from paired(tmp_path, request.param)


@pytest.fixture
def simulated(tmp_path):
    yield from paired(tmp_path, "simulated")


def paired(directory, kind):
    pair = Pair(directory / "data", kind)
    with pair.running():
        yield pair
    for name in ("one", "two"):
        exports = NbdExports(pair.settings.run_dir / "nbd" / name)
        exports.adopt()
        exports.shutdown()
    pair.close()


def test_a_retype_takes_the_volume_to_the_backend_of_the_type(pair):
    volume = pair.filled()
    retype_volume(pair.database, pair.settings, MEMBER, volume.id, "two", "on-demand")
    assert pair.volume(volume.id).status in ("retyping", "available")
    pair.at_rest()
    moved = pair.volume(volume.id)
    operation = next(one for one in pair.operations(volume.id) if one.kind == "retype_volume")
    assert operation.state == "succeeded", operation
    assert (moved.status, moved.migration_status, moved.backend) == ("available", "success", pair.other.name)
    assert moved.volume_type_id == pair.type_of["two"].id
    assert pair.content(pair.other.driver, moved) == CONTENT
    assert pair.objects() == [[], [volume.storage_name]]
    assert operation.bytes_done == operation.bytes_total >= len(CONTENT)
    assert operation.bytes_total < 64 << 20, "holes were copied"
    told = [event.type for event in pair.events() if event.operation_id == operation.id]
    assert told == ["volume.retype.start", "volume.retype.end"]


def test_a_migration_and_back_again(pair):
    volume = pair.filled()
    with pair.database.begin() as connection:
        volumes.update(connection, volume.id, volume_type_id=None)
    for backend, driver in ((pair.other, pair.other.driver), (pair.backend, pair.driver)):
        operation = pair.migrate(volume, backend.name, force_host_copy=True)
        assert operation.state == "succeeded", operation
        moved = pair.volume(volume.id)
        assert (moved.status, moved.migration_status, moved.backend) == ("available", "success", backend.name)
        assert pair.content(driver, moved) == CONTENT
    assert pair.objects() == [[volume.storage_name], []]


def test_the_way_back_waits_until_what_was_there_is_removed(pair, monkeypatch):
    """Nobody who asks needs to know that: with Cinder, too, another retype is taken as soon as the volume is available."""
    removed = threading.Event()
    remove = pair.driver.delete_volume

    def when_let(volume):
        assert removed.wait(30)
        remove(volume)

    monkeypatch.setattr(pair.driver, "delete_volume", when_let)
    volume = pair.filled()
    retype_volume(pair.database, pair.settings, MEMBER, volume.id, "two", "on-demand")
    pair.until(lambda: pair.volume(volume.id).status == "available")
    retype_volume(pair.database, pair.settings, MEMBER, volume.id, "one", "on-demand")
    back = pair.operations(volume.id)[0]
    pair.until(lambda: pair.operation(back.id).waits_for is not None)
    assert pair.operation(back.id).waiting == f"waits for purge_orphan of {volume.id}"
    assert pair.content(pair.other.driver, pair.volume(volume.id)) == CONTENT
    removed.set()
    pair.at_rest()
    assert pair.operation(back.id).state == "succeeded"
    assert pair.content(pair.driver, pair.volume(volume.id)) == CONTENT
    assert pair.objects() == [[volume.storage_name], []]


def test_the_driver_moves_it_between_its_own_pools(simulated):
    volume = simulated.filled()
    there = {"a": "b", "b": "a"}[volume.host.partition("#")[2]]
    operation = simulated.migrate(volume, f"{simulated.backend.name}#{there}")
    assert (operation.state, operation.answers[-1].step) == ("succeeded", "migrate_volume")
    assert simulated.volume(volume.id).host == f"{simulated.backend.name}#{there}"
    assert simulated.driver.volumes.get(volume.storage_name).pool == there
    operation = simulated.migrate(volume, volume.host, force_host_copy=True)
    assert operation.state == "failed"
    assert "does not move it there by itself" in operation.message
    assert simulated.volume(volume.id).migration_status == "error"


def test_a_target_that_fails(pair, monkeypatch):
    """The volume is what it was and where it was, and nothing is left at the target."""

    def full(*arguments):
        raise BackendOutOfSpace

    volume = pair.filled()
    monkeypatch.setattr(pair.other.driver, "copy_image_to_volume", full)
    retype_volume(pair.database, pair.settings, MEMBER, volume.id, "two", "on-demand")
    pair.at_rest()
    (operation,) = (one for one in pair.operations(volume.id) if one.kind == "retype_volume")
    assert operation.state == "failed"
    assert "full" in operation.message
    left = pair.volume(volume.id)
    assert (left.status, left.migration_status, left.host) == ("available", "error", volume.host)
    assert left.volume_type_id == volume.volume_type_id
    assert pair.content(pair.driver, volume) == CONTENT
    assert pair.objects() == [[volume.storage_name], []]
    assert list(pair.driver.list_exports()) == []


def test_a_retype_that_needs_no_bytes(simulated):
    volume = simulated.filled()
    create_type(simulated.database, name="plain", description=None, is_public=True, extra_specs={})
    specs = {"volume_backend_name": "one", "multiattach": "<is> True"}
    shared = create_type(simulated.database, name="shared", description=None, is_public=True, extra_specs=specs)
    taken = snapshots.create_snapshot(simulated.database, simulated.settings, MEMBER, volume_id=volume.id)
    simulated.settled(taken.id)
    assert simulated.retype(volume, "shared", "never").state == "succeeded"
    changed = simulated.volume(volume.id)
    assert (changed.volume_type_id, changed.multiattach, changed.host) == (shared.id, True, volume.host)
    assert changed.migration_status is None
    assert simulated.snapshot(taken.id).volume_type_id == shared.id
    assert simulated.retype(volume, "plain", "never").state == "succeeded"
    assert not simulated.volume(volume.id).multiattach


@pytest.mark.parametrize(("policy", "reason"), [("never", "not allowed"), ("on-demand", "not have snapshots")])
def test_a_retype_that_cannot_be(simulated, policy, reason):
    volume = simulated.filled()
    taken = snapshots.create_snapshot(simulated.database, simulated.settings, MEMBER, volume_id=volume.id)
    simulated.settled(taken.id)
    operation = simulated.retype(volume, "two", policy)
    assert operation.state == "failed"
    assert reason in operation.message
    left = simulated.volume(volume.id)
    assert (left.status, left.migration_status, left.volume_type_id) == ("available", None, volume.volume_type_id)


def test_an_attached_volume_keeps_its_place(simulated):
    volume = simulated.filled()
    create_type(simulated.database, name="plain", description=None, is_public=True, extra_specs={})
    connector = {"host": "client"}
    made = attachments.create_attachment(simulated.database, MEMBER, volume_id=volume.id, connector=connector)
    attachments.complete(simulated.database, MEMBER, made.id)
    assert simulated.retype(volume, "plain").state == "succeeded"
    assert simulated.volume(volume.id).status == "in-use"
    operation = simulated.retype(volume, "two")
    assert "Nova" in operation.message
    operation = simulated.migrate(volume, simulated.other.name)
    assert "Nova" in operation.message
    left = simulated.volume(volume.id)
    assert (left.status, left.migration_status) == ("in-use", "error")
    assert list(simulated.driver.list_exports()) == [volume.storage_name]
    specs = {"multiattach": "<is> True"}
    create_type(simulated.database, name="shared", description=None, is_public=True, extra_specs=specs)
    with pytest.raises(InvalidInput, match="multiattach"):
        retype_volume(simulated.database, simulated.settings, MEMBER, volume.id, "shared", None)


def test_what_is_refused_at_once(simulated):
    volume = simulated.filled()
    with pytest.raises(InvalidState, match="different"):
        retype_volume(simulated.database, simulated.settings, MEMBER, volume.id, "one", None)
    with pytest.raises(InvalidInput, match="No available service"):
        migrate_volume(simulated.database, ADMIN, volume.id, "nowhere@one#one")
    with pytest.raises(InvalidState, match="different"):
        migrate_volume(simulated.database, ADMIN, volume.id, volume.host)
    taken = snapshots.create_snapshot(simulated.database, simulated.settings, MEMBER, volume_id=volume.id)
    simulated.settled(taken.id)
    with pytest.raises(InvalidState, match="have snapshots"):
        migrate_volume(simulated.database, ADMIN, volume.id, simulated.other.name)
    assert simulated.volume(volume.id).migration_status is None


def test_a_target_without_the_qualities_of_the_type(simulated):
    volume = simulated.filled()
    operation = simulated.migrate(volume, simulated.other.name)
    assert operation.state == "failed"
    assert "volume_backend_name" in operation.message
    left = simulated.volume(volume.id)
    assert (left.status, left.migration_status) == ("available", "error")


def test_the_completion_that_a_server_asks_for(simulated):
    volume, other = simulated.filled(), simulated.filled()
    assert complete_migration(simulated.database, ADMIN, volume.id, other.id, False) == other.id
    for one, message in ((other, "Source volume not mid-migration"), (volume, "Destination volume not mid-migration")):
        with simulated.database.begin() as connection:
            volumes.update(connection, volume.id, migration_status=None)
            volumes.update(connection, other.id, migration_status=None)
            volumes.update(connection, one.id, migration_status="migrating")
        with pytest.raises(InvalidState, match=message):
            complete_migration(simulated.database, ADMIN, volume.id, other.id, False)
