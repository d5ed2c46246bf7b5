"""Rules for many calls at once: of different objects always, of one source too."""

from concurrent.futures import ThreadPoolExecutor

from breezeblock.drivers.conformance.storage import FIRST, SECOND, Content, Rules, Storage
from breezeblock.model.snapshot import Snapshot
from breezeblock.model.volume import Volume

THREADS = 8


class ConcurrencyRules(Rules):
    """Verbs are called from several threads at once, never twice at once for the same object."""

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
