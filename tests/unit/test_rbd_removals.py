"""Images of Ceph that nobody sees are removed behind the verbs: all of them, in order, and what is in the way later."""

import threading
import time
from collections.abc import Callable

import pytest

from breezeblock.drivers import copying
from breezeblock.drivers.rbd import removals
from breezeblock.drivers.rbd.removals import Removals
from breezeblock.errors import BackendInUse, BackendTransient, DriverError


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_was_begun_is_done_at_the_end() -> None:
    """Also what comes of the last removal: the parent of a clone goes with it."""
    removed: list[str] = []

    def remove(name: str) -> None:
        removed.append(name)
        if name == "clone":
            behind.begin("parent")

    behind = Removals(remove)
    for name in ("one", "two", "clone"):
        behind.begin(name)
    behind.close()
    assert removed == ["one", "two", "clone", "parent"]


def test_it_begins_anew_after_its_end() -> None:
    """A backend that is failed over and back removes again."""
    removed: list[str] = []
    behind = Removals(removed.append)
    for name in ("one", "two"):
        behind.begin(name)
        behind.close()
    behind.close()
    assert removed == ["one", "two"]


@pytest.mark.parametrize("error", [BackendInUse("open"), BackendTransient("silent")])
def test_what_is_in_the_way_goes_by(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """A removal is tried again, and others do not wait for it."""
    monkeypatch.setattr(removals, "AGAIN_SECONDS", 0.05)
    errors, removed = [error, error], []

    def remove(name: str) -> None:
        if name == "open" and errors:
            raise errors.pop()
        removed.append(name)

    behind = Removals(remove)
    behind.begin("open")
    behind.begin("other")
    _until(lambda: removed == ["other", "open"])
    behind.close()


@pytest.mark.parametrize("error", [DriverError("broken"), ValueError("a defect of ours")])
def test_what_cannot_be_removed_stops_nothing(error: Exception) -> None:
    """It is for the next start."""
    removed: list[str] = []

    def remove(name: str) -> None:
        if name == "broken":
            raise error
        removed.append(name)

    behind = Removals(remove)
    for name in ("broken", "other"):
        behind.begin(name)
    behind.close()
    assert removed == ["other"]


def test_a_long_removal_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is cancelled where it tells how far it is, and nothing else is begun."""
    monkeypatch.setattr(removals, "END_SECONDS", 0.05)
    begun, started = [], threading.Event()

    def remove(name: str) -> None:
        begun.append(name)
        started.set()
        while True:
            copying.tell(0, None)
            time.sleep(0.001)

    behind = Removals(remove)
    behind.begin("large")
    behind.begin("next")
    assert started.wait(30)
    behind.close()
    assert begun == ["large"]
