"""Rules for filling a volume with an image, a backup or anything else."""

from collections.abc import Callable

import pytest

from breezeblock.drivers.conformance.storage import (
    EMPTY,
    FIRST,
    GIB,
    SECOND,
    Rules,
    Storage,
    fill_with,
    must_not_fill,
)
from breezeblock.drivers.conformance.themes import IDEMPOTENCE, KILL_POINTS, about
from breezeblock.drivers.contract import BlockTarget, Driver
from breezeblock.errors import BackendNotFound, DriverError
from breezeblock.model.volume import Volume


class BrokenFill(Exception):
    """A fill that fails: the image service went away, say."""


def half_then_break(target: BlockTarget) -> None:
    """Write something, then fail."""
    fill_with(FIRST)(target)
    raise BrokenFill


class FillingRules(Rules):
    """copy_image_to_volume: what it publishes is whole, and is what its completion record says."""

    def test_a_filled_volume_has_its_content(self, storage: Storage) -> None:
        """What the fill wrote is there, and zeros are everywhere else; also after a restart."""
        volume = storage.volume(FIRST)
        storage.require_content(volume, FIRST)
        storage.restart()
        storage.require_content(volume, FIRST)
        storage.require_objects(volume)

    def test_the_target(self, storage: Storage) -> None:
        """The target has the volume's size, a uri, and takes bytes and memory in any order and again."""
        volume = storage.volume(size=2)

        def fill(target: BlockTarget) -> None:
            assert target.size == 2 * GIB
            assert target.uri
            target.pwrite(b"x" * 8192, 2 * GIB - 8192)
            target.pwrite(memoryview(b"once" * 1024), 0)
            target.pwrite(memoryview(bytearray(b"then" * 1024)), 0)
            target.pwrite(b"", 4096)

        storage.driver.copy_image_to_volume(volume, "test:target", fill)
        storage.require_content(volume, {0: b"then" * 1024, 2 * GIB - 8192: b"x" * 8192}, size=2)

    def test_no_byte_beyond_the_end(self, storage: Storage) -> None:
        """Writing beyond the volume's end is a DriverError, and leaves nothing of that fill."""
        volume = storage.volume()
        with pytest.raises(DriverError):
            storage.driver.copy_image_to_volume(volume, "test:long", fill_with({GIB - 512: b"x" * 1024}))
        self._require_unfilled(storage, volume)

    @about(IDEMPOTENCE)
    def test_the_same_content_is_not_filled_again(self, storage: Storage) -> None:
        """Called again with the same content after success, it does not fill; also after a restart."""
        volume = storage.volume()
        storage.driver.copy_image_to_volume(volume, "test:same", fill_with(FIRST))
        storage.driver.copy_image_to_volume(volume, "test:same", must_not_fill)
        storage.restart().copy_image_to_volume(volume, "test:same", must_not_fill)
        storage.require_content(volume, FIRST)

    @about(IDEMPOTENCE)
    def test_the_completion_record_outlives_an_extend(self, storage: Storage) -> None:
        """A volume that was filled and then grown counts as filled."""
        volume = storage.volume()
        storage.driver.copy_image_to_volume(volume, "test:grown", fill_with(FIRST))
        storage.driver.extend_volume(volume, 2)
        storage.driver.copy_image_to_volume(volume, "test:grown", must_not_fill)
        storage.require_content(volume, FIRST, size=2)

    def test_other_content_starts_from_zeros(self, storage: Storage) -> None:
        """Filled with other content, nothing of the former one shines through."""
        volume = storage.volume(FIRST)
        storage.write(volume, SECOND)
        storage.require_content(volume, SECOND)
        storage.write(volume, EMPTY)
        storage.require_content(volume, EMPTY)
        storage.require_objects(volume)

    def test_a_fill_that_raises(self, storage: Storage) -> None:
        """The error of a fill comes out as it is, and no content of it is ever seen under the volume's name."""
        volume = storage.volume()
        with pytest.raises(BrokenFill):
            storage.driver.copy_image_to_volume(volume, "test:broken", half_then_break)
        self._require_unfilled(storage, volume)

    @about(IDEMPOTENCE)
    def test_a_fill_after_one_that_raised(self, storage: Storage) -> None:
        """After a broken fill the same content is filled again, from zeros."""
        volume = storage.volume()
        with pytest.raises(BrokenFill):
            storage.driver.copy_image_to_volume(volume, "test:again", half_then_break)
        storage.restart()
        storage.driver.create_volume(volume)
        storage.driver.copy_image_to_volume(volume, "test:again", fill_with(SECOND))
        storage.require_content(volume, SECOND)
        storage.require_objects(volume)

    @about(KILL_POINTS)
    def test_a_fill_that_is_killed(self, storage: Storage) -> None:
        """After a kill -9 in the middle of a fill nothing of it is seen; create and fill again make it whole."""
        volume = storage.volume()
        self._kill_in_fill(storage, "test:killed", volume)
        self._require_unfilled(storage, volume, remains=True)
        storage.driver.create_volume(volume)
        storage.driver.copy_image_to_volume(volume, "test:killed", fill_with(SECOND))
        storage.require_content(volume, SECOND)
        storage.require_objects(volume)

    @about(KILL_POINTS)
    def test_a_killed_fill_goes_on_from_its_note(self, storage: Storage) -> None:
        """A note that was kept is given to the next fill with what was written before it, or that begins from zeros."""
        volume = storage.volume()

        def die_after_a_note(driver: Driver, die: Callable[[], None]) -> None:
            def fill(target: BlockTarget) -> None:
                assert target.kept is None
                target.pwrite(b"first" * 1024, 0)
                target.keep(b"an older note")
                target.pwrite(b"second" * 1024, 1 << 20)
                target.keep(b"the note")
                die()

            driver.copy_image_to_volume(volume, "test:noted", fill)

        storage.dies_in(die_after_a_note)
        self._require_unfilled(storage, volume, remains=True)
        storage.driver.create_volume(volume)

        def go_on(target: BlockTarget) -> None:
            assert target.kept in {None, b"the note"}
            if target.kept is None:
                target.pwrite(b"first" * 1024, 0)
                target.pwrite(b"second" * 1024, 1 << 20)
            target.pwrite(b"third" * 1024, 2 << 20)

        storage.driver.copy_image_to_volume(volume, "test:noted", go_on)
        storage.require_content(volume, {0: b"first" * 1024, 1 << 20: b"second" * 1024, 2 << 20: b"third" * 1024})
        storage.require_objects(volume)

    @about(KILL_POINTS)
    def test_a_note_is_not_given_to_other_content(self, storage: Storage) -> None:
        """What a killed fill kept is nothing to a fill with another content, nor to one after a fill that raised."""
        volume = storage.volume()

        def keep_and_die(driver: Driver, die: Callable[[], None]) -> None:
            def fill(target: BlockTarget) -> None:
                fill_with(FIRST)(target)
                target.keep(b"of the first")
                die()

            driver.copy_image_to_volume(volume, "test:one", fill)

        storage.dies_in(keep_and_die)

        def fresh(target: BlockTarget) -> None:
            assert target.kept is None
            fill_with(SECOND)(target)
            target.keep(b"of the second")
            raise BrokenFill

        storage.driver.create_volume(volume)
        with pytest.raises(BrokenFill):
            storage.driver.copy_image_to_volume(volume, "test:other", fresh)
        with pytest.raises(BrokenFill):
            storage.driver.copy_image_to_volume(volume, "test:other", fresh)
        self._require_unfilled(storage, volume)

    @about(KILL_POINTS)
    def test_delete_after_a_fill_that_was_killed(self, storage: Storage) -> None:
        """Deleting the volume removes the remains of a killed fill too."""
        volume = storage.volume()
        self._kill_in_fill(storage, "test:killed", volume)
        storage.driver.delete_volume(volume)
        storage.require_objects()

    def test_a_fill_of_nothing(self, storage: Storage) -> None:
        """Filling a volume that was not created is BackendNotFound, and nothing is filled or made."""
        with pytest.raises(BackendNotFound):
            storage.driver.copy_image_to_volume(storage.volume_record(), "test:missing", must_not_fill)
        storage.require_objects()

    def test_sources_are_read_in_pieces(self, storage: Storage) -> None:
        """Reading gives exactly the bytes asked for, less only at the end."""
        volume = storage.volume(FIRST)
        with storage.driver.open_volume(volume) as source:
            assert source.pread(10, 5) == b"firstfirst"
            assert source.pread(4096, GIB - 8) == b"the end."
            assert source.pread(3, 1 << 29) == bytes(3)

    def _kill_in_fill(self, storage: Storage, content: str, volume: Volume) -> None:
        def act(driver: Driver, die: Callable[[], None]) -> None:
            def fill(target: BlockTarget) -> None:
                fill_with(FIRST)(target)
                die()

            driver.copy_image_to_volume(volume, content, fill)

        storage.dies_in(act)

    def _require_unfilled(self, storage: Storage, volume: Volume, remains: bool = False) -> None:
        """The volume reads as zeros, or is not there; half-made remains only where `remains` allows them."""
        name = volume.storage_name
        objects = set(storage.driver.list_objects())
        assert objects <= ({name, f"{name}.tmp"} if remains else {name})
        if name in objects:
            storage.require_content(volume, EMPTY, size=volume.size)
        else:
            with pytest.raises(BackendNotFound), storage.driver.open_volume(volume):
                pass
