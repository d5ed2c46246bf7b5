"""What the simulated driver simulates, and its answers that are its own. The contract itself is in test_conformance."""

import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from breezeblock.config import BackendSettings
from breezeblock.drivers import registry
from breezeblock.drivers.conformance import Storage, settings_for
from breezeblock.drivers.conformance.storage import EMPTY, FIRST, GIB, SECOND, fill_with
from breezeblock.drivers.contract import BlockTarget
from breezeblock.drivers.simulated.driver import SimulatedDriver, open_driver
from breezeblock.drivers.simulated.faults import KINDS, VERBS, Call
from breezeblock.drivers.simulated.store import Store
from breezeblock.errors import (
    BackendNotFound,
    BackendOutOfSpace,
    BackendTransient,
    ConfigError,
    DriverError,
    InvalidInput,
    NotSupportedByBackend,
)
from breezeblock.model.image import Image

PROVIDER_LOCATION = "addr=10.0.0.1,uri=/service/sites/1/volumes/7,urn=urn:sites:1:volumes:7,isThin=True,type=normal"
IMAGE = Image(id="b5a1c1c0-5a53-4b7e-8f0c-3b0f8a1a9a01", name="VSA", disk_format="vhd", container_format="bare")


def simulated(directory: Path, **options: str) -> Storage:
    """A simulated storage with these options."""
    return Storage(lambda below: registry.open_driver(settings_for("simulated", below, **options)), directory)


def driver_of(storage: Storage) -> SimulatedDriver:
    """Its driver, with what only the simulated one has."""
    assert isinstance(storage.driver, SimulatedDriver)
    return storage.driver


class TestOptions:
    def test_the_default_place_is_below_the_data_directory(self, tmp_path: Path) -> None:
        driver = driver_of(simulated(tmp_path))
        assert driver.root == tmp_path / "simulated-conformance"
        assert driver.root.is_dir()

    def test_opening_touches_nothing(self, tmp_path: Path) -> None:
        settings: BackendSettings = settings_for("simulated", tmp_path)
        open_driver(settings)
        assert not (tmp_path / "simulated-conformance").exists()

    def test_an_unusable_place_is_said_at_start(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(ConfigError, match="cannot use"):
            simulated(tmp_path, simulated_path=str(tmp_path / "file" / "below"))

    @pytest.mark.parametrize(
        ("option", "value"),
        [
            ("simulated_failures", "create_volume"),
            ("simulated_failures", "create_volume:nonsense"),
            ("simulated_failures", "no_verb:transient"),
            ("simulated_failures", "create_volume:transient:often"),
            ("simulated_kill_points", "create_volume"),
            ("simulated_kill_points", "create_volume:during"),
            ("simulated_kill_points", "no_verb:before"),
        ],
    )
    def test_wrong_options(self, tmp_path: Path, option: str, value: str) -> None:
        with pytest.raises(ConfigError, match=option):
            simulated(tmp_path, **{option: value})

    def test_pools(self, tmp_path: Path) -> None:
        storage = simulated(tmp_path, pool_name="DS01,DS02", simulated_capacity_gb="20")
        pools = storage.driver.get_volume_stats()
        assert [pool.name for pool in pools] == ["localhost@conformance#DS01", "localhost@conformance#DS02"]
        assert {pool.total_capacity_gb for pool in pools} == {20.0}
        storage.volume(size=3)
        first, second = storage.driver.get_volume_stats()
        assert first.capabilities["provisioned_capacity_gb"] == 3
        assert second.capabilities["provisioned_capacity_gb"] == 0

    def test_an_unknown_pool(self, tmp_path: Path) -> None:
        storage = simulated(tmp_path)
        storage.pool = "localhost@conformance#elsewhere"
        with pytest.raises(BackendNotFound, match="no pool elsewhere"):
            storage.volume()
        storage.require_objects()

    def test_provider_location(self, tmp_path: Path) -> None:
        storage = simulated(tmp_path, simulated_provider_location=PROVIDER_LOCATION)
        assert storage.driver.create_volume(storage.volume_record()) == {"provider_location": PROVIDER_LOCATION}


class TestCalls:
    def test_calls_are_recorded_with_sizes_of_their_time(self, tmp_path: Path) -> None:
        storage = simulated(tmp_path)
        driver = driver_of(storage)
        driver.calls.clear()
        volume = storage.volume(size=2)
        driver.extend_volume(volume, 10)
        clone = storage.clone(volume, size=10)
        driver.copy_image_to_volume(volume, "image:1", fill_with(FIRST))
        assert driver.calls == [
            Call("create_volume", (volume.id,), 2, ()),
            Call("extend_volume", (volume.id,), 2, (10,)),
            Call("create_cloned_volume", (clone.id, volume.id), 10, ()),
            Call("copy_image_to_volume", (volume.id,), 2, ("image:1",)),
        ]

    def test_every_verb_of_the_contract_is_struck(self) -> None:
        public = {name for name in vars(SimulatedDriver) if not name.startswith("_")}
        assert public - VERBS == {"calls", "check_for_setup_error"}


class TestFailures:
    def test_the_next_calls_fail_and_then_no_more(self, tmp_path: Path) -> None:
        storage = simulated(tmp_path, simulated_failures="create_volume:transient:2,delete_volume:in_use")
        volume = storage.volume_record()
        with pytest.raises(BackendTransient):
            storage.driver.create_volume(volume)
        with pytest.raises(BackendTransient):
            storage.restart().create_volume(volume)
        storage.require_objects()
        storage.restart().create_volume(volume)
        with pytest.raises(KINDS["in_use"]):
            storage.driver.delete_volume(volume)
        storage.driver.delete_volume(volume)
        storage.require_objects()

    @pytest.mark.parametrize("kind", list(KINDS))
    def test_kinds(self, tmp_path: Path, kind: str) -> None:
        storage = simulated(tmp_path, simulated_failures=f"create_volume:{kind}")
        with pytest.raises(KINDS[kind], match=kind):
            storage.volume()


def _create(directory: Path, volume_id: str) -> None:
    storage = simulated(directory, simulated_kill_points="create_volume:before,create_volume:after")
    storage.driver.create_volume(storage.volume_record(id=volume_id))


class TestKillPoints:
    def test_each_fires_once(self, tmp_path: Path) -> None:
        context = multiprocessing.get_context("spawn")
        codes, there = [], []
        for _ in range(3):
            process = context.Process(target=_create, args=(tmp_path, "killed"))
            process.start()
            process.join()
            codes.append(process.exitcode)
            there.append(list(simulated(tmp_path).driver.list_objects()))
        assert codes == [-signal.SIGKILL, -signal.SIGKILL, 0]
        assert there == [[], ["volume-killed"], ["volume-killed"]]


class TestCapacity:
    def test_a_full_storage_refuses_and_keeps_nothing(self, tmp_path: Path) -> None:
        storage = simulated(tmp_path, simulated_capacity_gb="0.01")
        volume = storage.volume()
        with pytest.raises(BackendOutOfSpace):
            storage.write(volume, {0: os.urandom(1 << 20) * 11})
        storage.require_content(volume, EMPTY)
        storage.require_objects(volume)

    def test_a_program_that_overfills_is_found_out(self, tmp_path: Path) -> None:
        storage = simulated(tmp_path, simulated_capacity_gb="0.01")
        volume = storage.volume()

        def by_uri(target: BlockTarget) -> None:
            with open(target.uri, "r+b") as file:
                file.write(os.urandom(1 << 20) * 11)

        with pytest.raises(BackendOutOfSpace):
            storage.driver.copy_image_to_volume(volume, "test:uri", by_uri)
        storage.require_objects(volume)
        storage.require_content(volume, EMPTY)

    def test_copies_need_room(self, tmp_path: Path) -> None:
        storage = simulated(tmp_path, simulated_capacity_gb="0.01")
        volume = storage.volume({0: os.urandom(1 << 20) * 6})
        with pytest.raises(BackendOutOfSpace):
            storage.clone(volume)
        with pytest.raises(BackendOutOfSpace):
            storage.snapshot(volume)
        storage.require_objects(volume)

    def test_a_copy_smaller_than_its_source(self, tmp_path: Path) -> None:
        storage = simulated(tmp_path)
        with pytest.raises(InvalidInput, match="less than"):
            storage.clone(storage.volume(FIRST, size=2), size=1)


class TestImages:
    def test_off_by_default(self, tmp_path: Path) -> None:
        storage = simulated(tmp_path)
        with pytest.raises(NotSupportedByBackend, match="simulated_clone_image is off"):
            driver_of(storage).clone_image(storage.volume_record(), IMAGE, None)

    def test_an_image_that_the_storage_holds(self, tmp_path: Path) -> None:
        storage = simulated(tmp_path, simulated_clone_image="true", simulated_provider_location=PROVIDER_LOCATION)
        driver = driver_of(storage)
        (driver.images / IMAGE.id).write_bytes(b"VSA" * 1000)
        volume = storage.volume_record(size=10)
        assert driver.clone_image(volume, IMAGE, None) == ({"provider_location": PROVIDER_LOCATION}, True)
        storage.require_content(volume, {0: b"VSA" * 1000}, size=10)

    def test_reasons_to_decline(self, tmp_path: Path) -> None:
        storage = simulated(tmp_path, simulated_clone_image="true")
        driver, volume = driver_of(storage), storage.volume_record()
        with pytest.raises(NotSupportedByBackend, match="this one is vhd"):
            driver.clone_image(volume, IMAGE, "/image.vhd")
        with pytest.raises(NotSupportedByBackend, match="neither on the storage"):
            driver.clone_image(volume, IMAGE, None)

    def test_replication_off_by_default(self, tmp_path: Path) -> None:
        storage = simulated(tmp_path)
        with pytest.raises(NotSupportedByBackend, match="simulated_replication is off"):
            driver_of(storage).update_replica(storage.volume())


class TestStore:
    def test_a_raw_volume_costs_two_syncs(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        storage = simulated(tmp_path)
        synced: list[int] = []
        real = os.fsync

        def counted(fd: int) -> None:
            synced.append(fd)
            real(fd)

        monkeypatch.setattr(os, "fsync", counted)
        storage.volume(size=100)
        assert len(synced) == 2

    @pytest.mark.parametrize("call", ["fsync", "rename", "ftruncate"])
    def test_a_failing_storage_is_a_driver_error_and_leaves_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
    ) -> None:
        storage = simulated(tmp_path)

        def broken(*_: object) -> None:
            raise OSError(5, "Input/output error")

        with monkeypatch.context() as patched:
            patched.setattr(os, call, broken)
            with pytest.raises(DriverError, match="Input/output error"):
                storage.volume()
        storage.require_objects()

    def test_remains_are_listed_and_taken_over(self, tmp_path: Path) -> None:
        storage = simulated(tmp_path)
        volume = storage.volume(FIRST)
        store: Store = driver_of(storage).volumes
        record = store.get(volume.storage_name)
        (store.root / f"{volume.storage_name}.{1 - record.slot}").write_bytes(b"half made")
        (store.root / "volume-lost.0").write_bytes(b"half made")
        names = [volume.storage_name, f"{volume.storage_name}.tmp", "volume-lost.tmp"]
        assert sorted(storage.driver.list_objects()) == sorted(names)
        storage.require_content(volume, FIRST)
        storage.write(volume, SECOND)
        storage.require_content(volume, SECOND)
        storage.driver.delete_volume(storage.volume_record(id="lost"))
        storage.require_objects(volume)

    def test_holes_stay_holes(self, tmp_path: Path) -> None:
        storage = simulated(tmp_path)
        clone = storage.clone(storage.volume({GIB: b"x" * 4096}, size=500), size=500)
        with driver_of(storage).volumes.open(clone.storage_name) as content:
            assert content.allocated < 1 << 20
