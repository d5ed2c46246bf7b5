"""Rules for volumes that stand on an image's own file. They hold for drivers that claim it."""

from pathlib import Path

import pytest

from breezeblock import commands
from breezeblock.drivers.conformance.storage import CONNECTOR, Content, Rules, Storage, must_not_fill, write_through
from breezeblock.drivers.conformance.themes import CLAIMS
from breezeblock.drivers.contract import AdoptedFile, AdoptsImages, BlockTarget, Driver, Fill
from breezeblock.errors import DriverError
from breezeblock.model.volume import Volume

IMAGE_BYTES = 40 << 20
IMAGE: Content = {0: b"\x11" * 65536, (17 << 20) + 512: b"\x22" * 100_000, IMAGE_BYTES - 512: b"\x33" * 512}
WRITTEN: Content = {4096: b"\x44" * 512, 20 << 20: b"\x55" * 65536, 500 << 20: b"\x66" * 4096}
BOTH: Content = {
    0: b"\x11" * 4096 + b"\x44" * 512 + b"\x11" * (65536 - 4608),
    **{offset: data for offset, data in {**IMAGE, **WRITTEN}.items() if offset > 4096},
}
NAME = "image:conformance:adopted"


class AdoptingRules(Rules):
    """contract.AdoptsImages."""

    theme = CLAIMS

    def test_an_adopted_image_is_a_volume_like_any_other(self, storage: Storage) -> None:
        """Before it is settled an adopted volume can be read, snapshotted, cloned, extended; it is settled below them."""
        volume, driver = self._adopted(storage)
        assert list(driver.list_adopted()) == [volume.storage_name]
        storage.require_content(volume, IMAGE)
        snapshot, clone = storage.snapshot(volume), storage.clone(volume)
        storage.driver.extend_volume(volume, 2)
        for _ in range(2):
            driver.settle_image(volume.storage_name)
            assert list(driver.list_adopted()) == []
        storage.require_content(volume, IMAGE, size=2)
        storage.require_content(clone, IMAGE)
        storage.require_content(snapshot, IMAGE)
        storage.require_content(storage.from_snapshot(snapshot), IMAGE)

    def test_it_is_settled_under_clients(self, storage: Storage) -> None:
        """What a client writes before, and after, is kept; the image's file is no longer needed."""
        volume, driver = self._adopted(storage)
        connection = storage.driver.initialize_connection(volume, CONNECTOR)
        half = dict(list(WRITTEN.items())[:1])
        write_through(connection, half)
        driver.settle_image(volume.storage_name)
        write_through(connection, {offset: data for offset, data in WRITTEN.items() if offset not in half})
        storage.driver.terminate_connection(volume, None)
        storage.require_content(volume, BOTH)

    def test_adopted_and_restarted_twice(self, storage: Storage) -> None:
        """Adopted again, also after a restart, it stays as it is; a new driver settles it."""
        volume, driver = self._adopted(storage)
        file, _ = self._adoptable(storage)
        driver.adopt_image(volume, NAME, file, must_not_fill)
        again = storage.restart()
        assert isinstance(again, AdoptsImages)
        again.adopt_image(volume, NAME, file, must_not_fill)
        storage.require_content(volume, IMAGE)
        again.settle_image(volume.storage_name)
        again.adopt_image(volume, NAME, file, must_not_fill)
        storage.require_content(volume, IMAGE)

    def test_a_fetch_that_breaks(self, storage: Storage) -> None:
        """A fetch that raises leaves a volume that can be deleted without trace, or adopted by the next one."""
        file, fill = self._adoptable(storage)
        for adopt in (False, True):
            volume, driver = self._to_adopt(storage)

            def broken(target: BlockTarget) -> None:
                target.pwrite(b"QFI", 0)
                raise DriverError("broken")

            with pytest.raises(DriverError, match="broken"):
                driver.adopt_image(volume, NAME, file, broken)
            if adopt:
                driver.adopt_image(volume, NAME, file, fill)
                storage.require_content(volume, IMAGE)
            storage.driver.delete_volume(volume)
            storage.require_objects()
            assert list(driver.list_adopted()) == []

    def test_a_process_that_dies_in_a_fetch(self, storage: Storage) -> None:
        """A process that is killed while it fetches leaves a volume that the next one adopts, from its note on."""
        volume, _ = self._to_adopt(storage)
        file, fill = self._adoptable(storage)

        def die_in(driver: Driver, die: object) -> None:
            assert isinstance(driver, AdoptsImages)
            assert callable(die)

            def half(target: BlockTarget) -> None:
                fill(target)
                target.keep(b"note")
                die()

            driver.adopt_image(volume, NAME, file, half)

        storage.dies_in(die_in)
        kept = []

        def resumed(target: BlockTarget) -> None:
            kept.append(target.kept)
            if target.kept is None:
                fill(target)

        assert isinstance(storage.driver, AdoptsImages)
        storage.driver.adopt_image(volume, NAME, file, resumed)
        assert kept in ([None], [b"note"])
        storage.require_content(volume, IMAGE)

    def test_others_stand_on_it_after_the_volume_is_gone(self, storage: Storage) -> None:
        """A clone outlives the volume, settled before or after; when the last one goes nothing is left."""
        for settled_before in (True, False):
            volume, driver = self._adopted(storage)
            clone = storage.clone(volume)
            if settled_before:
                driver.settle_image(volume.storage_name)
            storage.driver.delete_volume(volume)
            driver.settle_image(volume.storage_name)
            storage.require_content(clone, IMAGE)
            storage.driver.delete_volume(clone)
            driver.settle_image(volume.storage_name)
            storage.require_objects()
            assert list(driver.list_adopted()) == []

    def _adopted(self, storage: Storage) -> tuple[Volume, AdoptsImages]:
        volume, driver = self._to_adopt(storage)
        file, fill = self._adoptable(storage)
        driver.adopt_image(volume, NAME, file, fill)
        return volume, driver

    def _to_adopt(self, storage: Storage) -> tuple[Volume, AdoptsImages]:
        driver = storage.driver
        if not isinstance(driver, AdoptsImages):
            pytest.skip("The driver adopts no images.")
        return storage.volume(), driver

    def _adoptable(self, storage: Storage) -> tuple[AdoptedFile, Fill]:
        """A compressed qcow2 of `IMAGE`, and what fetches it."""
        path = storage.directory.parent / f"{storage.directory.name}-image.qcow2"
        if not path.exists():
            _make(path)
        content = path.read_bytes()
        return AdoptedFile(IMAGE_BYTES, len(content)), lambda target: target.pwrite(content, 0)


def _make(path: Path) -> None:
    raw = path.with_suffix(".raw")
    with raw.open("wb") as file:
        file.truncate(IMAGE_BYTES)
        for offset, data in IMAGE.items():
            file.seek(offset)
            file.write(data)
    program = commands.find("qemu-img", "qemu-utils")
    commands.run([program, "convert", "-c", "-f", "raw", "-O", "qcow2", str(raw), str(path)], timeout=60)
    raw.unlink()
