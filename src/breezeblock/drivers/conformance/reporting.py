"""Rules for what a driver says of its storage."""

from breezeblock.drivers.conformance.storage import FIRST, Rules, Storage
from breezeblock.drivers.conformance.themes import CAPACITY, CLAIMS, IDEMPOTENCE, about
from breezeblock.drivers.contract import Capabilities, ClonesImages, FailsOver, Replicates, SnapshotsGroups


class ReportingRules(Rules):
    """check_for_setup_error, get_volume_stats, list_objects, capabilities."""

    @about(IDEMPOTENCE)
    def test_setup_is_checked_as_often_as_one_likes(self, storage: Storage) -> None:
        """Checking the setup of a storage in use changes nothing there."""
        volume = storage.volume(FIRST)
        storage.driver.check_for_setup_error()
        storage.require_content(volume, FIRST)
        storage.require_objects(volume)

    @about(CAPACITY)
    def test_pools_are_sane(self, storage: Storage) -> None:
        """There is a pool, each once, named host@backend#pool, with 0 <= free <= total and legal ratios."""
        pools = storage.driver.get_volume_stats()
        assert pools
        assert len({pool.name for pool in pools}) == len(pools)
        for pool in pools:
            backend, _, name = pool.name.partition("#")
            assert backend == pool.backend
            assert name
            assert "@" in backend
            assert 0 <= pool.free_capacity_gb <= pool.total_capacity_gb
            assert 0 <= pool.reserved_percentage <= 100
            assert pool.max_over_subscription_ratio >= 1
            assert pool.updated_at

    @about(CLAIMS)
    def test_pools_say_what_capabilities_say(self, storage: Storage) -> None:
        """The pools' thin and thick provisioning are those that the driver claims, and it can do one of them."""
        claims = storage.driver.capabilities
        assert isinstance(claims, Capabilities)
        assert claims.thin or claims.thick
        for pool in storage.driver.get_volume_stats():
            assert pool.thin_provisioning_support == claims.thin
            assert pool.thick_provisioning_support == claims.thick

    @about(CAPACITY)
    def test_thin_volumes_take_no_room(self, storage: Storage) -> None:
        """Where thin is claimed, an empty volume larger than the storage is free can be made."""
        free = max(pool.free_capacity_gb for pool in storage.driver.get_volume_stats())
        if storage.driver.capabilities.thin and free < 4096:
            volume = storage.volume(size=int(free) + 1)
            storage.require_objects(volume)

    @about(CAPACITY)
    def test_every_pool_takes_volumes(self, storage: Storage) -> None:
        """A volume placed in any pool that was reported can be made, filled and deleted there."""
        for pool in storage.driver.get_volume_stats():
            storage.pool = pool.name
            volume = storage.volume(FIRST)
            storage.require_content(volume, FIRST)
            storage.driver.delete_volume(volume)
        storage.require_objects()

    def test_objects_are_listed(self, storage: Storage) -> None:
        """The list has every volume and snapshot by its storage name, and nothing else; also after a restart."""
        storage.require_objects()
        volume = storage.volume(FIRST)
        snapshot = storage.snapshot(volume)
        clone = storage.clone(volume)
        storage.require_objects(volume, snapshot, clone)
        storage.restart()
        storage.require_objects(volume, snapshot, clone)

    @about(CLAIMS)
    def test_claims_are_implemented(self, storage: Storage) -> None:
        """A driver that claims clone_image, replication, failover or consistent_group_snapshots has the verbs for it."""
        claims = storage.driver.capabilities
        assert not claims.clone_image or isinstance(storage.driver, ClonesImages)
        assert not claims.replication or isinstance(storage.driver, Replicates)
        assert not claims.failover or (claims.replication and isinstance(storage.driver, FailsOver))
        assert not claims.consistent_group_snapshots or isinstance(storage.driver, SnapshotsGroups)

    @about(CLAIMS)
    def test_pools_promise_no_more_than_is_claimed(self, storage: Storage) -> None:
        """Where a pool reports what volume types ask for, such as multiattach, it is as the capabilities say."""
        claims = storage.driver.capabilities
        reported = {
            "multiattach": claims.multiattach,
            "online_extend_support": claims.online_extend,
            "replication_enabled": claims.replication,
            "encryption_support": claims.encryption,
            "consistent_group_snapshot_enabled": claims.consistent_group_snapshots,
        }
        targets = storage.driver.replication_targets() if isinstance(storage.driver, FailsOver) else []
        assert claims.failover == bool(targets)
        for pool in storage.driver.get_volume_stats():
            assert pool.capabilities.get("replication_targets", []) == targets, f"{pool.name} reports other targets"
            for name, claimed in reported.items():
                assert claimed or not pool.capabilities.get(name, False), f"{pool.name} reports {name}"
