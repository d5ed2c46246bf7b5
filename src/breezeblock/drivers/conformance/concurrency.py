"""Rules for many calls at once: of different objects always, of one source too."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from breezeblock.drivers.conformance.storage import CONNECTOR, FIRST, SECOND, Content, Rules, Storage, fill_with
from breezeblock.drivers.conformance.themes import CONCURRENCY
from breezeblock.drivers.contract import Driver
from breezeblock.errors import BackendInUse
from breezeblock.model.snapshot import Snapshot
from breezeblock.model.volume import Volume

THREADS = 8


class ConcurrencyRules(Rules):
    """Verbs are called from several threads at once, never twice at once for the same object."""

    theme = CONCURRENCY

    def test_many_volumes_at_once(self, storage: Storage) -> None:
        """Eight threads make, fill, copy and delete volumes of their own, and none sees the others."""

        def life(number: int) -> Volume:
            content: Content = {number * 4096: bytes([number + 1]) * 4096}
            volume = storage.volume(content)
            snapshot = storage.snapshot(volume)
            copy = storage.from_snapshot(snapshot)
            storage.driver.delete_volume(volume)
            storage.driver.delete_snapshot(snapshot)
            storage.require_content(copy, content)
            return copy

        with ThreadPoolExecutor(THREADS) as threads:
            copies = list(threads.map(life, range(THREADS)))
        storage.require_objects(*copies)

    def test_many_clones_of_one_source(self, storage: Storage) -> None:
        """Eight clones and snapshots of one volume, made at once, all have its content; deleted at once, all go."""
        volume = storage.volume(FIRST)
        with ThreadPoolExecutor(THREADS) as threads:
            snapshots = [threads.submit(storage.snapshot, volume) for _ in range(THREADS // 2)]
            clones = [threads.submit(storage.clone, volume) for _ in range(THREADS // 2)]
            made: list[Volume | Snapshot] = [
                *(future.result() for future in snapshots),
                *(future.result() for future in clones),
            ]
        storage.require_objects(volume, *made)
        storage.write(volume, SECOND)
        for thing in made:
            storage.require_content(thing, FIRST)
        with ThreadPoolExecutor(THREADS) as threads:
            gone = [threads.submit(storage.driver.delete_snapshot, future.result()) for future in snapshots]
            gone += [threads.submit(storage.driver.delete_volume, future.result()) for future in clones]
            for deleted in gone:
                deleted.result()
        storage.require_objects(volume)
        storage.require_content(volume, SECOND)

    def test_counting_while_others_work(self, storage: Storage) -> None:
        """Capacity and list can be asked while volumes are made and deleted; what stands there all the time is seen."""
        standing = storage.volume(FIRST)

        def come_and_go(_: int) -> None:
            for _ in range(5):
                storage.driver.delete_volume(storage.volume(SECOND))

        with ThreadPoolExecutor(THREADS) as threads:
            work = [threads.submit(come_and_go, number) for number in range(THREADS)]
            asked = 0
            while asked < 5 or not all(future.done() for future in work):
                assert standing.storage_name in set(storage.driver.list_objects())
                assert storage.driver.get_volume_stats()
                asked += 1
            for future in work:
                future.result()
        storage.require_objects(standing)

    def test_a_family_deleted_at_once(self, storage: Storage) -> None:
        """A volume, its snapshots and what was made of them, all deleted at the same time, are all gone."""
        volume = storage.volume(FIRST)
        snapshots = [storage.snapshot(volume) for _ in range(3)]
        volumes = [volume, storage.clone(volume), *(storage.from_snapshot(snapshot) for snapshot in snapshots)]
        with ThreadPoolExecutor(THREADS) as threads:
            gone = [threads.submit(storage.driver.delete_volume, one) for one in volumes]
            gone += [threads.submit(storage.driver.delete_snapshot, one) for one in snapshots]
            for deleted in gone:
                deleted.result()
        storage.require_objects()

    def test_many_connections_at_once(self, storage: Storage) -> None:
        """Eight volumes are connected, found in use, disconnected and deleted at the same time."""

        def life(number: int) -> None:
            volume = storage.volume({number * 4096: bytes([number + 1]) * 4096})
            storage.driver.initialize_connection(volume, CONNECTOR)
            with pytest.raises(BackendInUse):
                storage.driver.delete_volume(volume)
            storage.driver.terminate_connection(volume, CONNECTOR)
            storage.driver.delete_volume(volume)

        with ThreadPoolExecutor(THREADS) as threads:
            list(threads.map(life, range(THREADS)))
        storage.require_objects()

    def test_reading_while_others_work(self, storage: Storage) -> None:
        """What is read of a snapshot stays the same while its volume and other copies of it change, grow and go."""
        volume = storage.volume(FIRST)
        snapshot = storage.snapshot(volume)
        clone = storage.clone(volume)

        def change() -> None:
            storage.write(volume, SECOND)
            storage.driver.extend_volume(volume, 2)
            storage.driver.delete_volume(storage.from_snapshot(snapshot))
            storage.driver.delete_volume(clone)

        with ThreadPoolExecutor(2) as threads:
            work = threads.submit(change)
            storage.require_content(snapshot, FIRST)
            while not work.done():
                storage.require_content(snapshot, FIRST)
            work.result()
        storage.require_content(snapshot, FIRST)
        storage.require_content(volume, SECOND, size=2)
        storage.require_objects(volume, snapshot)

    def test_two_processes_share_a_storage(self, storage: Storage) -> None:
        """Where shared is claimed, another process works on other volumes at the same time, and each sees the other's."""
        if not storage.driver.capabilities.shared:
            pytest.skip("The driver does not claim shared.")
        here, there = ([storage.volume_record() for _ in range(4)] for _ in range(2))
        storage.beside(
            lambda driver: self._fill_all(driver, there, FIRST), lambda: self._fill_all(storage.driver, here, SECOND)
        )
        for volumes, content in ((there, FIRST), (here, SECOND)):
            for volume in volumes:
                storage.require_content(volume, content)
        storage.require_objects(*here, *there)

    def _fill_all(self, driver: Driver, volumes: list[Volume], content: Content) -> None:
        for volume in volumes:
            driver.create_volume(volume)
            driver.copy_image_to_volume(volume, "test:shared", fill_with(content))
