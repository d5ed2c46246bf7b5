"""An export daemon that stands still: its volumes wait for it, and nothing else does."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from breezeblock.drivers.directory.driver import DirectoryDriver
from breezeblock.errors import BackendTransient
from breezeblock.exports import patience, qmp
from tests.drivers.directory_storage import a_snapshot, a_volume, bases, opened
from tests.drivers.dying import answered
from tests.drivers.nbd_client import NbdClient


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence is found out soon."""
    monkeypatch.setattr(qmp, "GREETING_SECONDS", 0.5)
    monkeypatch.setattr(patience, "FIRST_SECONDS", 0.1)
    monkeypatch.setattr(patience, "MOST_SECONDS", 0.1)


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[DirectoryDriver]:
    driver = opened(tmp_path, directory_reflink="never")
    yield driver
    driver.close()
    last = opened(tmp_path, directory_reflink="never")
    last._exporting._exports.shutdown()  # type: ignore[attr-defined]
    last.close()


def test_a_switch_that_a_daemon_does_not_confirm_holds_up_nothing_else(
    tmp_path: Path, driver: DirectoryDriver, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stops as it is asked for a snapshot; the next process starts beside it, and ends the snapshot when it wakes."""
    volume, other = a_volume(), a_volume()
    driver.create_volume(volume)
    socket = driver.initialize_connection(volume, {})["data"]["uri"]
    with NbdClient(socket) as client:
        client.write(b"old" * 1024, 0)
        client.flush()
    (daemon,) = driver._exporting._exports.pids()  # type: ignore[attr-defined]
    switch, snapshot = driver._exporting.switch, a_snapshot(volume)

    def stopped(*arguments: object) -> None:
        os.kill(daemon, signal.SIGSTOP)
        switch(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(driver._exporting, "switch", stopped)
    try:
        with pytest.raises(BackendTransient):
            driver.create_snapshot(snapshot, volume)
        record = driver._store.get(volume.storage_name)
        assert record.switching is not None
        driver.close()

        successor = opened(tmp_path, directory_reflink="never")
        assert successor._store.get(volume.storage_name) == record
        assert bases(successor) == [record.switching.base], "what it is perhaps writing on is kept"
        successor.create_volume(other)
        successor.create_snapshot(a_snapshot(other), other)
        with pytest.raises(BackendTransient):
            successor.create_snapshot(snapshot, volume)
    finally:
        os.kill(daemon, signal.SIGCONT)
    answered(lambda: successor.create_snapshot(snapshot, volume))
    with NbdClient(socket) as client:
        client.write(b"new" * 1024, 0)
        assert client.read(3072, 0) == b"new" * 1024
        client.flush()
    with successor.open_volume(snapshot) as source:
        assert source.pread(3072, 0) == b"old" * 1024
    successor.close()
