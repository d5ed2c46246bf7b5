"""Rules for what is optional: cloning images, and replicas. They hold for drivers that claim it."""

from pathlib import Path

import pytest

from breezeblock.drivers.conformance.storage import FIRST, GIB, SECOND, Rules, Storage
from breezeblock.drivers.conformance.themes import CLAIMS
from breezeblock.drivers.contract import ClonesImages, Replicates
from breezeblock.errors import BackendNotFound, InvalidInput, NotSupportedByBackend
from breezeblock.model.image import Image
from breezeblock.model.volume import MODEL_UPDATE_FIELDS, Volume

IMAGE_BYTES = 64 << 20


class ImageRules(Rules):
    """contract.ClonesImages."""

    theme = CLAIMS

    def test_cloning_makes_or_declines(self, storage: Storage) -> None:
        """A raw image on this machine becomes a volume of its content, at the volume's size; or it is declined with
        a reason, and nothing is left."""
        driver, image, path = self._driver_and_image(storage)
        volume = storage.volume_record(size=2)
        if self._clone(driver, volume, image, path):
            storage.require_content(volume, {0: b"image" * 4096, IMAGE_BYTES - 4096: b"i" * 4096}, size=2)
            storage.require_objects(volume)
        else:
            storage.require_objects()

    def test_cloning_twice(self, storage: Storage) -> None:
        """Cloned again, also after a restart, the volume stays as it is; later it is on its own."""
        driver, image, path = self._driver_and_image(storage)
        volume = storage.volume_record()
        if not self._clone(driver, volume, image, path):
            pytest.skip("The driver declines this image.")
        storage.write(volume, SECOND)
        assert path.stat().st_size == IMAGE_BYTES
        other = storage.volume_record()
        assert self._clone(driver, other, image, path)
        again = storage.restart()
        assert isinstance(again, ClonesImages)
        assert self._clone(again, other, image, path)
        path.unlink()
        storage.require_content(volume, SECOND)
        storage.require_content(other, {0: b"image" * 4096, IMAGE_BYTES - 4096: b"i" * 4096})
        storage.driver.delete_volume(volume)
        storage.require_objects(other)

    def test_unreachable_images_are_declined(self, storage: Storage) -> None:
        """An image that lies nowhere the storage can reach is declined, and nothing is left."""
        driver, image, _ = self._driver_and_image(storage)
        assert not self._clone(driver, storage.volume_record(), image, None)
        storage.require_objects()

    def _driver_and_image(self, storage: Storage) -> tuple[ClonesImages, Image, Path]:
        driver = storage.driver
        if not driver.capabilities.clone_image or not isinstance(driver, ClonesImages):
            pytest.skip("The driver does not claim clone_image.")
        path = storage.directory / "conformance.raw"
        with open(path, "wb") as file:
            file.write(b"image" * 4096)
            file.seek(IMAGE_BYTES - 4096)
            file.write(b"i" * 4096)
        image = Image(id="0d5e7ad5-6b54-4f3c-9b39-2f4a4b1f6a10", disk_format="raw", container_format="bare")
        return driver, image, path

    def _clone(self, driver: ClonesImages, volume: Volume, image: Image, path: Path | None) -> bool:
        try:
            update, made = driver.clone_image(volume, image, str(path) if path else None)
        except NotSupportedByBackend as declined:
            if declined.message == NotSupportedByBackend().message:
                pytest.fail("It declines without a reason.")
            return False
        assert set(update) <= MODEL_UPDATE_FIELDS
        return made


class ReplicaRules(Rules):
    """contract.Replicates."""

    theme = CLAIMS

    def test_a_replica_is_in_step(self, storage: Storage) -> None:
        """A volume of the replica is as the volume was when last in step, not as it is now."""
        driver = self._driver(storage)
        volume = storage.volume(FIRST)
        update = driver.update_replica(volume)
        assert set(update) <= MODEL_UPDATE_FIELDS
        assert update["replicated_at"]
        storage.write(volume, SECOND)
        old, new = storage.volume_record(), storage.volume_record(size=2)
        driver.create_replica_test_volume(old, volume)
        assert driver.update_replica(volume)["replicated_at"] >= update["replicated_at"]
        driver.create_replica_test_volume(old, volume)
        driver.create_replica_test_volume(new, volume)
        storage.require_content(old, FIRST)
        storage.require_content(new, SECOND, size=2)
        storage.require_objects(volume, old, new)
        driver.delete_replica(volume)

    def test_a_replica_follows_growth(self, storage: Storage) -> None:
        """The replica of a grown volume has its new size."""
        driver = self._driver(storage)
        volume = storage.volume(FIRST)
        driver.update_replica(volume)
        storage.driver.extend_volume(volume, 2)
        beyond = {(1 << 30) + 512: b"beyond" * 512}
        storage.write(volume, beyond)
        driver.update_replica(volume)
        copy = storage.volume_record(size=2)
        driver.create_replica_test_volume(copy, volume)
        storage.require_content(copy, beyond, size=2)
        assert max(beyond) < 2 * GIB
        driver.delete_replica(volume)

    def test_deleting_a_replica(self, storage: Storage) -> None:
        """A replica is deleted as often as one likes; volumes made of it live on; without it none can be made."""
        driver = self._driver(storage)
        volume, copy = storage.volume(FIRST), storage.volume_record()
        driver.update_replica(volume)
        driver.create_replica_test_volume(copy, volume)
        driver.delete_replica(volume)
        driver.delete_replica(volume)
        with pytest.raises(BackendNotFound):
            driver.create_replica_test_volume(storage.volume_record(), volume)
        storage.require_content(copy, FIRST)
        storage.require_content(volume, FIRST)
        storage.require_objects(volume, copy)

    def test_replicas_of_nothing(self, storage: Storage) -> None:
        """A replica of a volume that is not there is BackendNotFound, and so is a volume of that replica."""
        driver = self._driver(storage)
        missing = storage.volume_record()
        with pytest.raises(BackendNotFound):
            driver.update_replica(missing)
        with pytest.raises(BackendNotFound):
            driver.create_replica_test_volume(storage.volume_record(), missing)
        evil = storage.volume_record(id="../x")
        storage.volumes.remove(evil)
        with pytest.raises((NotSupportedByBackend, BackendNotFound, InvalidInput)):
            driver.update_replica(evil)
        storage.require_objects()

    def _driver(self, storage: Storage) -> Replicates:
        driver = storage.driver
        if not driver.capabilities.replication or not isinstance(driver, Replicates):
            pytest.skip("The driver does not claim replication.")
        return driver
