"""Rules for a worker that is killed: at each kill point that a verb passes, and between any two lines of the driver.

What a verb runs through is watched once; then it is killed at each of its kill points, at some of the lines, evenly
spread (`Rules.kill_places`), and when it is over and nobody knows: each time in a process of its own, for objects of
their own. So the rules hold for drivers that pass no kill points too.
"""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import pytest

from breezeblock import killpoints
from breezeblock.drivers import contract
from breezeblock.drivers.conformance.storage import CONNECTOR, EMPTY, FIRST, GIB, Content, Rules, Storage, fill_with
from breezeblock.drivers.conformance.themes import KILL_POINTS
from breezeblock.drivers.contract import Driver
from breezeblock.errors import BackendInUse
from breezeblock.model.snapshot import Snapshot
from breezeblock.model.volume import Volume

T = TypeVar("T")
Thing = TypeVar("Thing", Volume, Snapshot)
OVER = "when it was over"


class Watched:
    """What this thread runs through of the driver's own files, and the kill points it passes; dies at a place, if told.

    A place is the name of a kill point, the number of a line, or `OVER`.
    """

    def __init__(self, driver: Driver, place: str | int = OVER, die: Callable[[], None] = lambda: None) -> None:
        self.files = tuple(_files_of(driver))
        self.place = place
        self.die = die
        self.lines: list[str] = []
        self.points: list[str] = []

    def __enter__(self) -> "Watched":
        self._before = (sys.gettrace(), killpoints.reached)
        killpoints.reached = self._passed
        sys.settrace(self._called)
        return self

    def __exit__(self, *_: object) -> None:
        trace, killpoints.reached = self._before
        sys.settrace(trace)

    def _passed(self, event: str) -> None:
        self.points.append(event)
        if event == self.place:
            self.die()

    def _called(self, frame: FrameType, event: str, argument: Any) -> Any:
        return self._ran if frame.f_code.co_filename.startswith(self.files) else None

    def _ran(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line":
            self.lines.append(f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}")
            if len(self.lines) == self.place:
                self.die()
        return self._ran

    def places(self, lines: int) -> dict[str, str | int]:
        """Where to kill what was watched, by what a person calls the place."""
        found: dict[str, str | int] = {point: point for point in dict.fromkeys(self.points)}
        for number in range(lines):
            line = 1 + number * len(self.lines) // lines
            if line <= len(self.lines):
                found[f"line {line} of {len(self.lines)} ({self.lines[line - 1]})"] = line
        return {**found, OVER: OVER}


class DyingRules(Rules):
    """Killed wherever it may be, a verb leaves what is whole; called again it is done, and deleting leaves nothing."""

    theme = KILL_POINTS

    def test_a_create_that_is_killed(self, storage: Storage) -> None:
        """A new volume reads as zeros or is not there; created again it is there, deleted it is gone."""
        self._making(storage, storage.volume_record, lambda driver, made: driver.create_volume(made), EMPTY)

    def test_a_copy_of_a_snapshot_that_is_killed(self, storage: Storage) -> None:
        """A volume of a snapshot is whole or not there; made again it is whole, deleted it is gone."""
        volume = storage.volume(FIRST)
        snapshot = storage.snapshot(volume)

        def copy(driver: Driver, made: Volume) -> None:
            driver.create_volume_from_snapshot(made, snapshot)

        self._making(storage, storage.volume_record, copy, FIRST, volume, snapshot)

    def test_a_clone_that_is_killed(self, storage: Storage) -> None:
        """A clone is whole or not there; made again it is whole, deleted it is gone."""
        volume = storage.volume(FIRST)

        def clone(driver: Driver, made: Volume) -> None:
            driver.create_cloned_volume(made, volume)

        self._making(storage, storage.volume_record, clone, FIRST, volume)

    def test_a_snapshot_that_is_killed(self, storage: Storage) -> None:
        """A snapshot is whole or not there; taken again it is whole, deleted it is gone."""
        volume = storage.volume(FIRST)

        def take(driver: Driver, made: Snapshot) -> None:
            driver.create_snapshot(made, volume)

        self._making(storage, lambda: storage.snapshot_record(volume), take, FIRST, volume)

    def test_a_fill_killed_anywhere(self, storage: Storage) -> None:
        """A volume has all of its content or none; created and filled again it has all."""

        def fill(driver: Driver, volume: Volume) -> None:
            driver.copy_image_to_volume(volume, "test:killed", fill_with(FIRST))

        def filled(volume: Volume) -> None:
            if volume.storage_name in set(storage.driver.list_objects()):
                storage.require_one_of(volume, EMPTY, FIRST)
            storage.driver.create_volume(volume)
            fill(storage.driver, volume)
            storage.require_content(volume, FIRST)
            storage.require_objects(volume)
            storage.driver.delete_volume(volume)
            storage.require_objects()

        self._kill(storage, storage.volume, fill, filled)

    def test_an_extend_that_is_killed(self, storage: Storage) -> None:
        """A volume has the old or the new size, with its content; grown again it has the new."""

        def grown(volume: Volume) -> None:
            with storage.driver.open_volume(volume) as source:
                size = source.size
            assert size in {GIB, 2 * GIB}
            storage.require_content(volume, FIRST, size=size // GIB)
            storage.driver.extend_volume(volume, 2)
            storage.require_content(volume, FIRST, size=2)
            storage.driver.delete_volume(volume)
            storage.require_objects()

        self._kill(
            storage, lambda: storage.volume(FIRST), lambda driver, volume: driver.extend_volume(volume, 2), grown
        )

    def test_a_delete_that_is_killed(self, storage: Storage) -> None:
        """Snapshot and clone of a volume stay whole; deleted again, the volume is gone with all that was its own."""

        def family() -> tuple[Volume, Snapshot, Volume]:
            volume = storage.volume(FIRST)
            return volume, storage.snapshot(volume), storage.clone(volume)

        def deleted(made: tuple[Volume, Snapshot, Volume]) -> None:
            volume, snapshot, clone = made
            storage.driver.delete_volume(volume)
            self._stay(storage, snapshot, clone)

        self._kill(storage, family, lambda driver, made: driver.delete_volume(made[0]), deleted)

    def test_a_delete_of_a_snapshot_that_is_killed(self, storage: Storage) -> None:
        """The volume and a copy of its snapshot stay whole; deleted again, the snapshot is gone."""

        def family() -> tuple[Volume, Snapshot, Volume]:
            volume = storage.volume(FIRST)
            snapshot = storage.snapshot(volume)
            return volume, snapshot, storage.from_snapshot(snapshot)

        def deleted(made: tuple[Volume, Snapshot, Volume]) -> None:
            volume, snapshot, copy = made
            storage.driver.delete_snapshot(snapshot)
            self._stay(storage, volume, copy)

        self._kill(storage, family, lambda driver, made: driver.delete_snapshot(made[1]), deleted)

    def test_a_connect_that_is_killed(self, storage: Storage) -> None:
        """Connected again, the volume is in use as any; disconnected it is deleted, and nothing is left."""

        def connected(volume: Volume) -> None:
            storage.driver.initialize_connection(volume, CONNECTOR)
            with pytest.raises(BackendInUse):
                storage.driver.delete_volume(volume)
            self._disconnected(storage, volume)

        self._kill(
            storage,
            lambda: storage.volume(FIRST),
            lambda driver, volume: driver.initialize_connection(volume, CONNECTOR),
            connected,
        )

    def test_a_disconnect_that_is_killed(self, storage: Storage) -> None:
        """Disconnected again, the volume has its content and is deleted, and nothing is left."""

        def connected() -> Volume:
            volume = storage.volume(FIRST)
            storage.driver.initialize_connection(volume, CONNECTOR)
            return volume

        def leave(driver: Driver, volume: Volume) -> None:
            driver.terminate_connection(volume, CONNECTOR)

        self._kill(storage, connected, leave, lambda volume: self._disconnected(storage, volume))

    def _making(
        self,
        storage: Storage,
        record: Callable[[], Thing],
        act: Callable[[Driver, Thing], object],
        content: Content,
        *standing: Volume | Snapshot,
    ) -> None:
        """Kill what makes something: finish it, and then again: undo it. What it is made of stays as it is."""

        def whole_or_not_there(thing: Thing) -> None:
            others = {one.storage_name for one in standing}
            there = set(storage.driver.list_objects()) - others
            assert there <= {thing.storage_name, f"{thing.storage_name}.tmp"}
            if thing.storage_name in there:
                storage.require_content(thing, content)

        def finished(thing: Thing) -> None:
            whole_or_not_there(thing)
            act(storage.driver, thing)
            storage.require_content(thing, content)
            storage.require_objects(*standing, thing)
            _delete(storage.driver, thing)

        def undone(thing: Thing) -> None:
            whole_or_not_there(thing)
            _delete(storage.driver, thing)
            storage.require_objects(*standing)

        self._kill(storage, record, act, finished)
        self._kill(storage, record, act, undone)
        for one in standing:
            storage.require_content(one, content)

    def _kill(
        self,
        storage: Storage,
        prepare: Callable[[], T],
        act: Callable[[Driver, T], object],
        check: Callable[[T], None],
    ) -> None:
        """Kill an act at each of its places, and check what it left of what was prepared for it."""
        subject = prepare()
        with Watched(storage.driver) as watched:
            act(storage.driver, subject)
        check(subject)
        for name, place in watched.places(self.kill_places).items():
            subject = prepare()
            self._dies(storage, act, subject, place)
            try:
                check(subject)
            except Exception as error:
                error.add_note(f"It was killed at {name}.")
                raise

    def _dies(self, storage: Storage, act: Callable[[Driver, T], object], subject: T, place: str | int) -> None:
        def dying(driver: Driver, die: Callable[[], None]) -> None:
            with Watched(driver, place, die):
                act(driver, subject)
            die()

        storage.dies_in(dying)

    def _stay(self, storage: Storage, *things: Volume | Snapshot) -> None:
        storage.require_objects(*things)
        for thing in things:
            storage.require_content(thing, FIRST)
        for thing in things:
            _delete(storage.driver, thing)
        storage.require_objects()

    def _disconnected(self, storage: Storage, volume: Volume) -> None:
        storage.driver.terminate_connection(volume, CONNECTOR)
        storage.require_content(volume, FIRST)
        storage.driver.delete_volume(volume)
        storage.require_objects()


def _delete(driver: Driver, thing: Volume | Snapshot) -> None:
    if isinstance(thing, Volume):
        driver.delete_volume(thing)
    else:
        driver.delete_snapshot(thing)


def _files_of(driver: Driver) -> Iterator[str]:
    """The packages of a driver's classes, or the files of those that are in no package."""
    for owner in type(getattr(driver, "__wrapped__", driver)).__mro__:
        module = sys.modules[owner.__module__]
        file = getattr(module, "__file__", None)
        if file is not None and module is not contract and owner.__module__ not in {"abc", "typing"}:
            yield os.path.dirname(file) + os.sep if module.__package__ else file
