"""Rules for copies whose beginning is rewritten, as those of encrypted volumes are: contract.Rewrite."""

import pytest

from breezeblock.drivers.conformance.connecting import WRITTEN, WRITTEN_LATER
from breezeblock.drivers.conformance.storage import CONNECTOR, FIRST, Content, Rules, Storage, write_through
from breezeblock.drivers.conformance.themes import CLAIMS
from breezeblock.drivers.contract import REWRITTEN_BYTES, Driver, Replicates

ANOTHER = b"another key".ljust(REWRITTEN_BYTES, b"!")


def beginning_of(content: Content) -> bytes:
    """What `Rewrite` is to be given for a volume that holds `content`."""
    beginning = bytearray(REWRITTEN_BYTES)
    for offset, data in content.items():
        kept = data[: max(0, REWRITTEN_BYTES - offset)]
        beginning[offset : offset + len(kept)] = kept
    return bytes(beginning)


def rewritten(content: Content) -> Content:
    """What a copy holds that begins with `ANOTHER`."""
    return {0: ANOTHER, **{offset: data for offset, data in content.items() if offset >= REWRITTEN_BYTES}}


class RewritingRules(Rules):
    """`rewrite` of create_cloned_volume, create_volume_from_snapshot and create_replica_test_volume."""

    theme = CLAIMS

    def test_a_rewritten_copy(self, storage: Storage) -> None:
        """A copy begins with what `rewrite` answers to the beginning of its source, and else is as its source."""
        driver = self._rewriting(storage)
        volume = storage.volume(FIRST)
        snapshot = storage.snapshot(volume)
        clone, copy, large = storage.volume_record(), storage.volume_record(), storage.volume_record(size=3)
        given: list[bytes] = []

        def rewrite(beginning: bytes) -> bytes:
            given.append(beginning)
            return ANOTHER

        driver.create_cloned_volume(clone, volume, rewrite=rewrite)
        driver.create_volume_from_snapshot(copy, snapshot, rewrite=rewrite)
        driver.create_volume_from_snapshot(large, snapshot, rewrite=rewrite)
        assert given == [beginning_of(FIRST)] * 3
        for thing in (volume, snapshot):
            storage.require_content(thing, FIRST)
        for thing in (clone, copy):
            storage.require_content(thing, rewritten(FIRST))
        storage.require_content(large, rewritten(FIRST), size=3)
        storage.require_objects(volume, snapshot, clone, copy, large)

    def test_it_is_rewritten_once(self, storage: Storage) -> None:
        """Called again, also after a restart, the copy stays as it is; copies of it have what it has."""
        driver = self._rewriting(storage)
        volume, clone = storage.volume(FIRST), storage.volume_record()
        driver.create_cloned_volume(clone, volume, rewrite=lambda _: ANOTHER)
        for again in (driver, storage.restart()):
            again.create_cloned_volume(clone, volume, rewrite=lambda _: bytes(REWRITTEN_BYTES))
        storage.require_content(clone, rewritten(FIRST))
        storage.require_content(storage.clone(clone), rewritten(FIRST))
        storage.require_content(storage.from_snapshot(storage.snapshot(clone)), rewritten(FIRST))

    def test_a_copy_that_cannot_be_rewritten(self, storage: Storage) -> None:
        """What `rewrite` raises is raised, and leaves nothing of the copy."""
        driver = self._rewriting(storage)
        volume, clone = storage.volume(FIRST), storage.volume_record()

        def refuse(beginning: bytes) -> bytes:
            raise KeyError("no such key")

        with pytest.raises(KeyError):
            driver.create_cloned_volume(clone, volume, rewrite=refuse)
        storage.require_objects(volume)
        storage.require_content(volume, FIRST)

    def test_a_rewritten_copy_of_a_connected_volume(self, storage: Storage) -> None:
        """A copy may be rewritten also of a volume that a client writes to, whose own beginning stays."""
        driver = self._rewriting(storage)
        volume, clone, later = storage.volume(), storage.volume_record(), storage.volume_record()
        write_through(driver.initialize_connection(volume, CONNECTOR), WRITTEN)
        driver.create_cloned_volume(clone, volume, rewrite=lambda _: ANOTHER)
        write_through(driver.initialize_connection(volume, CONNECTOR), WRITTEN_LATER)
        driver.terminate_connection(volume, None)
        driver.create_cloned_volume(later, volume, rewrite=lambda beginning: beginning)
        storage.require_content(clone, rewritten(WRITTEN))
        storage.require_content(later, WRITTEN_LATER)
        storage.require_content(volume, WRITTEN_LATER)

    def test_a_rewritten_copy_of_a_replica(self, storage: Storage) -> None:
        """Where replicas are kept, a volume of one begins as `rewrite` answers."""
        driver = self._rewriting(storage)
        if not driver.capabilities.replication or not isinstance(driver, Replicates):
            pytest.skip("The driver does not claim replication.")
        volume, copy = storage.volume(FIRST), storage.volume_record()
        driver.update_replica(volume)
        driver.create_replica_test_volume(copy, volume, rewrite=lambda _: ANOTHER)
        storage.require_content(copy, rewritten(FIRST))
        driver.delete_replica(volume)

    def _rewriting(self, storage: Storage) -> Driver:
        if not storage.driver.capabilities.encryption:
            pytest.skip("The driver does not claim encryption.")
        return storage.driver
