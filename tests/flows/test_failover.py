"""A backend is failed over to where its replicas lie, and back."""

import pytest
import sqlalchemy as sa

from breezeblock.db import pools, services, tables, volumes
from breezeblock.db.services import VOLUME_BINARY
from breezeblock.drivers.registry import open_driver
from breezeblock.errors import BackendTransient, InvalidInput
from breezeblock.flows import replicas
from breezeblock.model import clock
from breezeblock.services import snapshots, storage_services
from breezeblock.services.doctor.stores import look_at_storage
from breezeblock.services.volume_types import create_type
from tests.cloud import ADMIN, MEMBER, Cloud

CONF = """[DEFAULT]
enabled_backends = one
[one]
volume_driver = simulated
simulated_replication = true
simulated_target = secondary
"""


class Site(Cloud):
    def __init__(self, data_dir):
        super().__init__(data_dir, CONF)
        name = self.backend.name
        with self.database.begin() as connection:
            pools.report_service(connection, name, VOLUME_BINARY, "nova", clock.now())
            services.report_replication(connection, name, self.driver.capabilities.failover)
        specs = {"replication_enabled": "<is> True"}
        create_type(self.database, name="replicated", description=None, is_public=True, extra_specs=specs)

    def service(self):
        with self.database.read() as connection:
            return services.get(connection, self.backend.name, VOLUME_BINARY)

    def order(self, backend_id=None):
        """Ask for a failover; how it ended."""
        storage_services.failover(self.database, ADMIN, self.backend.name, backend_id)
        return self.settled(self.backend.name)

    def filled(self, byte, **more):
        volume = self.made(size=1, **more)
        self.write(volume, byte)
        return volume

    def write(self, volume, byte):
        self.driver.copy_image_to_volume(volume, f"test:{byte}", lambda to: to.pwrite(byte * 4096, 1 << 20))

    def byte(self, volume):
        with self.driver.open_volume(volume) as source:
            return source.pread(1, (1 << 20) + 100)

    def refresh(self, volume):
        replicas.request_due(self.backend)
        self.settled(volume.id)


@pytest.fixture
def site(tmp_path):
    site = Site(tmp_path)
    with site.running():
        yield site
    site.close()


def test_a_failover_and_a_failback(site):
    volume, other = site.filled(b"a", volume_type="replicated"), site.filled(b"b")
    assert volume.replication_status == "enabled"
    snapshot = snapshots.create_snapshot(site.database, site.settings, MEMBER, volume_id=volume.id, name="s")
    site.settled(snapshot.id)
    assert site.service().replication_status == "enabled"

    assert site.order().state == "succeeded"  # nothing was in step before: the storage still answers
    service = site.service()
    assert (service.replication_status, service.active_backend_id) == ("failed-over", "secondary")
    assert (service.disabled, service.disabled_reason) == (True, "failed-over")
    shown, left = site.volume(volume.id), site.volume(other.id)
    assert (shown.status, shown.replication_status) == ("available", "failed-over")
    assert (left.status, left.replication_status) == ("error", "not-capable")
    assert site.snapshot(snapshot.id).status == "available"
    assert site.byte(volume) == b"a"
    replicas.request_due(site.backend)
    assert site.count("flow_requests") == 0, "its own storage is left alone"
    site.write(volume, b"c")

    assert site.order("default").state == "succeeded"
    service = site.service()
    assert (service.replication_status, service.active_backend_id) == ("enabled", None)
    assert (service.disabled, service.disabled_reason) == (False, None)
    shown, left = site.volume(volume.id), site.volume(other.id)
    assert (shown.status, shown.replication_status) == ("available", "enabled")
    assert (left.status, left.replication_status) == ("available", None)
    assert (site.byte(volume), site.byte(other)) == (b"c", b"b")
    assert site.snapshot(snapshot.id).status == "available"


def test_what_was_deleted_meanwhile_goes_with_the_failback(site):
    from breezeblock.services.volumes import delete_volume

    volume = site.filled(b"a", volume_type="replicated")
    site.order("secondary")
    delete_volume(site.database, MEMBER, volume.id)
    site.settled(volume.id)
    own = site.settings.backends[0]
    assert look_at_storage(own, "secondary").replicas is None
    assert site.order("default").state == "succeeded"
    found = look_at_storage(own, None)
    assert (found.objects, found.replicas) == (frozenset(), frozenset())


def test_a_storage_that_is_gone(site, monkeypatch):
    """What was not in step before is lost; what was goes on."""
    kept, new = site.filled(b"a", volume_type="replicated"), None
    site.refresh(kept)
    new = site.filled(b"b", volume_type="replicated")
    site.write(kept, b"c")

    def gone(*_):
        raise BackendTransient("The storage gives no sign.")

    monkeypatch.setattr(site.driver, "update_replica", gone)
    operation = site.order()
    assert operation.state == "succeeded"
    told = {one.step: one for one in operation.answers}
    assert (told["update_replica"].outcome, told["promote_replica"].result["lost"]) == ("declined", [new.id])
    assert site.byte(kept) == b"a"
    assert (site.volume(new.id).status, site.volume(new.id).replication_status) == ("error", "failover-error")

    assert site.order("default").state == "failed"
    assert site.service().replication_status == "failed-over"
    monkeypatch.undo()
    assert site.order("default").state == "succeeded"
    assert (site.volume(new.id).status, site.volume(new.id).replication_status) == ("available", "enabled")
    assert (site.byte(kept), site.byte(new)) == (b"a", b"b")


def test_refusals(site):
    volume = site.filled(b"a", volume_type="replicated")
    operation = site.order("elsewhere")
    assert operation.state == "failed"
    assert "elsewhere" in operation.message
    assert "secondary, default" in operation.message
    assert site.service().replication_status == "enabled"
    site.order()
    with site.database.begin() as connection:
        row = {
            "id": "a",
            "volume_id": volume.id,
            "attach_mode": "rw",
            "attach_status": "attached",
            "project_id": "project",
        }
        connection.execute(
            tables.attachments.insert(),
            row | {"created_at": clock.now(), "connection_info": {"driver_volume_type": "x"}},
        )
    operation = site.order("default")
    assert "Detach the volumes" in operation.message
    assert (site.service().replication_status, site.service().active_backend_id) == ("failed-over", "secondary")
    with site.database.begin() as connection:
        connection.execute(sa.delete(tables.attachments))
        services.update(connection, site.backend.name, VOLUME_BINARY, replication_status="failing-over")
    with pytest.raises(InvalidInput, match="failing-over"):
        storage_services.failover(site.database, ADMIN, site.backend.name, None)


def test_a_target_that_cannot_be_used(site, monkeypatch):
    """The backend stays where it is, and may be sent again."""
    volume = site.filled(b"a", volume_type="replicated")
    checked = site.driver.check_for_setup_error

    def check():
        if site.driver.volumes is site.driver.places[1]:
            raise BackendTransient("The target gives no sign.")
        checked()

    monkeypatch.setattr(site.driver, "check_for_setup_error", check)
    assert site.order().state == "failed"
    service = site.service()
    assert (service.replication_status, service.active_backend_id) == ("failover-error", None)
    assert service.disabled_reason == "The target gives no sign."
    assert site.byte(volume) == b"a"
    monkeypatch.undo()
    assert site.order().state == "succeeded"
    assert site.service().active_backend_id == "secondary"


def test_a_backend_whose_storage_keeps_no_replicas(site):
    with site.database.begin() as connection:
        services.report_replication(connection, site.backend.name, False)
    with pytest.raises(InvalidInput, match="replication_device"):
        storage_services.failover(site.database, ADMIN, site.backend.name, None)


def test_flows_wait_while_the_backend_changes_its_place(site):
    """Nobody else is at the storage; what waited is done at the new place."""
    site.backend.gate.close("somebody")
    volume = site.create(size=1, volume_type="replicated")
    with site.database.read() as connection:
        assert volumes.get(connection, volume.id).status == "creating"
    site.backend.gate.open()
    site.settled(volume.id)
    assert site.volume(volume.id).status == "available"


def test_a_driver_is_opened_where_the_backend_works(site):
    volume = site.filled(b"a", volume_type="replicated")
    site.order()
    site.write(volume, b"z")
    driver = open_driver(site.settings.backends[0], site.service().active_backend_id)
    with driver.open_volume(volume) as source:
        assert source.pread(1, 1 << 20) == b"z"
