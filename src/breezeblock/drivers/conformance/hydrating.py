"""Rules for volumes that are used while their content is on its way. They hold for drivers that claim it."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from breezeblock import commands
from breezeblock.drivers.conformance.storage import CONNECTOR, Content, Rules, Storage, fill_with, write_through
from breezeblock.drivers.conformance.themes import CLAIMS
from breezeblock.drivers.contract import Driver, Hydrates, NbdSource, ReadableTarget
from breezeblock.errors import BackendInUse, DriverError
from breezeblock.model.volume import Volume

SOURCE_BYTES = 48 << 20
IMAGE: Content = {0: b"\x11" * 65536, (17 << 20) + 512: b"\x22" * 100_000, SOURCE_BYTES - 512: b"\x33" * 512}
WRITTEN: Content = {4096: b"\x44" * 512, 20 << 20: b"\x55" * 65536, 500 << 20: b"\x66" * 4096}
BOTH: Content = {
    0: b"\x11" * 4096 + b"\x44" * 512 + b"\x11" * (65536 - 4608),
    **{offset: data for offset, data in {**IMAGE, **WRITTEN}.items() if offset > 4096},
}


class HydratingRules(Rules):
    """contract.Hydrates."""

    theme = CLAIMS

    def test_what_is_written_comes_before_the_source(self, storage: Storage) -> None:
        """What a client writes before the content has come is kept; the content comes below it."""
        volume, driver = self._volume(storage)
        with serving(storage.directory, volume):
            write_through(storage.driver.initialize_connection(volume, CONNECTOR), WRITTEN)
            assert list(driver.list_hydrating()) == [volume.storage_name]
            driver.hydrate_volume(volume, fill_with(IMAGE))
        assert list(driver.list_hydrating()) == []
        driver.hydrate_volume(volume, must_not_fill_behind)
        storage.driver.terminate_connection(volume, None)
        storage.require_content(volume, BOTH)
        storage.require_content(storage.clone(volume), BOTH)

    def test_hydrated_without_a_client(self, storage: Storage) -> None:
        """A volume that nobody used is what its source was; the source need not even be served."""
        volume, driver = self._volume(storage)
        driver.hydrate_volume(volume, fill_with(IMAGE))
        storage.require_content(volume, IMAGE)
        storage.driver.extend_volume(volume, 2)
        storage.require_content(volume, IMAGE, size=2)
        storage.require_content(storage.from_snapshot(storage.snapshot(volume), 2), IMAGE, size=2)

    def test_made_and_restarted_twice(self, storage: Storage) -> None:
        """Made again, also after a restart, it stays as it is, with what was written; a new driver hydrates it."""
        volume, _ = self._volume(storage)
        with serving(storage.directory, volume) as source:
            write_through(storage.driver.initialize_connection(volume, CONNECTOR), WRITTEN)
            storage.driver.terminate_connection(volume, None)
            again = storage.restart()
            assert isinstance(again, Hydrates)
            again.create_hydrating_volume(volume, "image:conformance", source)
            assert list(again.list_hydrating()) == [volume.storage_name]
            storage.driver.ensure_export(volume)
            again.hydrate_volume(volume, fill_with(IMAGE))
            storage.driver.terminate_connection(volume, None)
        again.create_hydrating_volume(volume, "image:conformance", source)
        storage.require_content(volume, BOTH)

    def test_a_fill_that_breaks(self, storage: Storage) -> None:
        """A fill that raises leaves the volume as it was; the next one, on what the first one wrote, hydrates it."""
        volume, driver = self._volume(storage)

        def broken(target: ReadableTarget) -> None:
            assert target.size == SOURCE_BYTES
            target.pwrite(IMAGE[0], 0)
            assert target.pread(65536, 0) == IMAGE[0]
            raise DriverError("broken")

        with pytest.raises(DriverError, match="broken"):
            driver.hydrate_volume(volume, broken)
        assert list(driver.list_hydrating()) == [volume.storage_name]
        driver.hydrate_volume(volume, fill_with(IMAGE))
        storage.require_content(volume, IMAGE)

    def test_a_process_that_dies_in_a_fill(self, storage: Storage) -> None:
        """A process that is killed while it fills leaves a volume that can be used, and hydrated by the next one."""
        volume, _ = self._volume(storage)

        def die_in(driver: Driver, die: object) -> None:
            assert isinstance(driver, Hydrates)
            assert callable(die)

            def fill(target: ReadableTarget) -> None:
                target.pwrite(IMAGE[0], 0)
                die()

            driver.hydrate_volume(volume, fill)

        storage.dies_in(die_in)
        storage.driver.check_for_setup_error()
        with serving(storage.directory, volume):
            write_through(storage.driver.initialize_connection(volume, CONNECTOR), WRITTEN)
            assert isinstance(storage.driver, Hydrates)
            storage.driver.hydrate_volume(volume, fill_with(IMAGE))
        storage.driver.terminate_connection(volume, None)
        storage.require_content(volume, BOTH)

    def test_it_grows_before_its_content_has_come(self, storage: Storage) -> None:
        """A volume that is not hydrated grows, and keeps its new size."""
        volume, driver = self._volume(storage)
        storage.driver.extend_volume(volume, 2)
        driver.hydrate_volume(volume, fill_with(IMAGE))
        storage.require_content(volume, IMAGE, size=2)

    def test_what_needs_the_content_is_refused(self, storage: Storage) -> None:
        """Reading, snapshotting and cloning a volume that is not hydrated is BackendInUse, and leaves nothing."""
        volume, _ = self._volume(storage)
        snapshot, clone = storage.snapshot_record(volume), storage.volume_record()
        with pytest.raises(BackendInUse):
            storage.driver.create_snapshot(snapshot, volume)
        with pytest.raises(BackendInUse):
            storage.driver.create_cloned_volume(clone, volume)
        with pytest.raises(BackendInUse), storage.driver.open_volume(volume):
            pass
        storage.require_objects(volume)

    def test_a_fenced_volume(self, storage: Storage) -> None:
        """A fenced volume is not exported, ever, also after a restart; it can be deleted."""
        volume, driver = self._volume(storage)
        with serving(storage.directory, volume):
            storage.driver.initialize_connection(volume, CONNECTOR)
            driver.fence_volume(volume)
            driver.fence_volume(volume)
            restarted = storage.restart()
            for _ in range(2):
                with pytest.raises(DriverError):
                    restarted.initialize_connection(volume, CONNECTOR)
                with pytest.raises(DriverError):
                    restarted.ensure_export(volume)
        restarted.delete_volume(volume)
        storage.require_objects()

    def test_deleting_before_the_content_has_come(self, storage: Storage) -> None:
        """Nothing is left of a volume that is deleted before it is hydrated."""
        volume, driver = self._volume(storage)
        with pytest.raises(DriverError):
            driver.hydrate_volume(volume, breaks)
        storage.driver.delete_volume(volume)
        storage.require_objects()
        assert list(driver.list_hydrating()) == []

    def _volume(self, storage: Storage) -> tuple[Volume, Hydrates]:
        driver = storage.driver
        if not isinstance(driver, Hydrates):
            pytest.skip("The driver does not hydrate volumes.")
        volume = storage.volume_record()
        driver.create_hydrating_volume(volume, "image:conformance", source_of(storage.directory, volume))
        return volume, driver


def must_not_fill_behind(target: ReadableTarget) -> None:
    """A fill for a volume that is hydrated already."""
    raise AssertionError("It was filled although it is hydrated.")


def breaks(target: ReadableTarget) -> None:
    """A fill that writes and fails."""
    target.pwrite(IMAGE[0], 0)
    raise DriverError("broken")


def source_of(directory: Path, volume: Volume) -> NbdSource:
    """Where `serving` serves what a volume is made of."""
    return NbdSource(socket=str(_beside(directory, "source.sock")), export=volume.storage_name, size=SOURCE_BYTES)


@contextmanager
def serving(directory: Path, volume: Volume) -> Iterator[NbdSource]:
    """Serve `IMAGE` by qemu-nbd."""
    source, file = source_of(directory, volume), _beside(directory, "source.raw")
    with open(file, "wb") as image:
        image.truncate(SOURCE_BYTES)
        for offset, data in IMAGE.items():
            image.seek(offset)
            image.write(data)
    options = ["--read-only", "--persistent", "--shared=8", "--format=raw", f"--socket={source.socket}"]
    program = commands.find("qemu-nbd", "qemu-utils")
    log = _beside(directory, "source.log")
    pid = commands.start_daemon([program, *options, f"--export-name={source.export}", str(file)], log)
    try:
        deadline = time.monotonic() + 30
        while not os.path.exists(source.socket):
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.01)
        yield source
    finally:
        os.kill(pid, signal.SIGKILL)
        Path(source.socket).unlink(missing_ok=True)


def _beside(directory: Path, name: str) -> Path:
    return directory.with_name(f"{directory.name}.{name}")
