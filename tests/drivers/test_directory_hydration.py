"""Volumes of the directory driver that are used while their content is on its way, by a real storage daemon."""

import os
import random
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from breezeblock.drivers.contract import NbdSource, ReadableTarget
from breezeblock.drivers.directory.driver import DirectoryDriver
from breezeblock.errors import BackendInUse, DriverError
from breezeblock.images.nbd_listener import NbdListener
from breezeblock.model.volume import Volume
from tests.drivers.directory_storage import GIB, MIB, a_snapshot, a_volume, bases, opened
from tests.drivers.dying import CHANGES, killed
from tests.drivers.nbd_client import NbdClient

SIZE = 9 * MIB + 512
GRAIN = 64 << 10


class Source:
    """What the image service has. While `gate` is closed it does not answer."""

    writable = False

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.size = len(content)
        self.reads = 0
        self.gate = threading.Event()
        self.gate.set()

    def pread(self, length: int, offset: int) -> bytes:
        self.gate.wait()
        self.reads += 1
        return self.content[offset : offset + length]

    def pwrite(self, data: bytes | memoryview, offset: int) -> None:
        raise AssertionError

    def close(self) -> None:
        self.gate.set()

    def fill(self, target: ReadableTarget) -> None:
        for offset in range(0, self.size, MIB):
            target.pwrite(self.content[offset : offset + MIB], offset)


@pytest.fixture
def source() -> Source:
    return Source(random.Random(4).randbytes(SIZE))


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[NbdListener]:
    listener = NbdListener(tmp_path / "lazy.sock")
    listener.start()
    yield listener
    listener.close()


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[DirectoryDriver]:
    driver = opened(tmp_path / "storage", directory_reflink="never")
    yield driver
    driver._exporting._exports.shutdown()  # type: ignore[attr-defined]
    driver.close()


@pytest.fixture
def volume(driver: DirectoryDriver, listener: NbdListener, source: Source) -> Volume:
    volume = a_volume()
    listener.publish(volume.storage_name, source)
    driver.create_hydrating_volume(volume, "lazy:image", of(listener, volume))
    return volume


def of(listener: NbdListener, volume: Volume) -> NbdSource:
    return NbdSource(socket=str(listener.path), export=volume.storage_name, size=SIZE)


def attach(driver: DirectoryDriver, volume: Volume) -> NbdClient:
    return NbdClient(driver.initialize_connection(volume, {})["data"]["uri"])


def content(driver: DirectoryDriver, volume: Volume, length: int = SIZE) -> bytes:
    with driver.open_volume(volume) as opened:
        assert opened.size == GIB
        return opened.pread(length, 0)


def test_nothing_is_read_before_somebody_asks(driver: DirectoryDriver, source: Source, volume: Volume) -> None:
    assert source.reads == 0
    with attach(driver, volume) as client:
        assert client.size == GIB
        assert client.read(4096, MIB + 5) == source.content[MIB + 5 : MIB + 5 + 4096]
        assert client.read(1024, SIZE - 512) == source.content[-512:] + bytes(512)
    assert 0 < source.reads < 4
    assert list(driver.list_hydrating()) == [volume.storage_name]


def test_a_client_that_writes_keeps_its_connection_and_its_writes(
    driver: DirectoryDriver, source: Source, volume: Volume
) -> None:
    expected = bytearray(source.content.ljust(GIB >> 6, b"\0"))
    dice = random.Random(7)

    def scribble(client: NbdClient) -> None:
        for _ in range(20):
            offset, data = dice.randrange(len(expected) - 9000), dice.randbytes(dice.randrange(1, 9000))
            client.write(data, offset)
            expected[offset : offset + len(data)] = data

    with attach(driver, volume) as client:
        scribble(client)
        client.flush()

        def fill(target: ReadableTarget) -> None:
            for offset in range(0, source.size, MIB):
                target.pwrite(source.content[offset : offset + MIB], offset)
                scribble(client)

        driver.hydrate_volume(volume, fill)
        assert list(driver.list_hydrating()) == []
        source.gate.clear()  # nobody asks it any more
        assert client.read(len(expected), 0) == expected
        scribble(client)
        assert client.read(len(expected), 0) == expected
        snapshot = a_snapshot(volume)
        driver.create_snapshot(snapshot, volume)
        scribble(client)
        assert client.read(len(expected), 0) == expected
        client.flush()
    driver.terminate_connection(volume, None)
    assert content(driver, volume, len(expected)) == expected
    driver.delete_snapshot(snapshot)
    driver.delete_volume(volume)
    assert not list(driver.list_objects())
    assert not bases(driver)


def test_what_nobody_wrote_to_ends_as_one_raw_file(driver: DirectoryDriver, source: Source, volume: Volume) -> None:
    driver.hydrate_volume(volume, source.fill)
    driver.hydrate_volume(volume, source.fill)
    assert content(driver, volume) == source.content
    record = driver._store.get(volume.storage_name)
    assert (record.format, record.base, sorted(os.listdir(driver._store.home(record.name)))) == (
        "raw",
        None,
        ["landing", "record.json"],
    )
    clone = a_volume(2, source_volid=volume.id)
    driver.create_cloned_volume(clone, volume)
    driver.delete_volume(volume)
    driver.delete_volume(clone)
    assert not bases(driver)


def test_a_broken_fill_leaves_the_volume_as_it_was(driver: DirectoryDriver, source: Source, volume: Volume) -> None:
    def broken(target: ReadableTarget) -> None:
        target.pwrite(source.content[:MIB], 0)
        raise DriverError("the service went away")

    with attach(driver, volume) as client:
        client.write(b"mine", 100)
        with pytest.raises(DriverError, match="went away"):
            driver.hydrate_volume(volume, broken)
        assert client.read(4, 100) == b"mine"
        assert client.read(4096, 8 * MIB) == source.content[8 * MIB : 8 * MIB + 4096]
        driver.hydrate_volume(volume, source.fill)
        assert client.read(8, 100) == b"mine" + source.content[104:108]


def test_what_comes_can_be_read_until_it_is_below_the_volume(driver: DirectoryDriver, volume: Volume) -> None:
    kept = []

    def fill(target: ReadableTarget) -> None:
        target.pwrite(b"come", 4096)
        assert target.pread(4, 4096) == b"come"
        kept.append(target)

    driver.hydrate_volume(volume, fill)
    with pytest.raises(DriverError):
        kept[0].pread(4, 4096)


def test_it_grows_attached_or_not(driver: DirectoryDriver, source: Source, volume: Volume) -> None:
    driver.extend_volume(volume, 2)
    driver.initialize_connection(volume, {})
    driver.extend_volume(volume, 3)
    with attach(driver, volume) as client:
        assert client.size == 3 * GIB
        client.write(b"end", 3 * GIB - 3)
        driver.hydrate_volume(volume, source.fill)
        assert client.read(SIZE, 0) == source.content
        client.flush()
    driver.terminate_connection(volume, None)
    with driver.open_volume(volume) as opened:
        assert (opened.size, opened.pread(3, 3 * GIB - 3)) == (3 * GIB, b"end")


def test_what_needs_its_content_is_refused(driver: DirectoryDriver, source: Source, volume: Volume) -> None:
    with pytest.raises(BackendInUse, match="has not come yet"):
        driver.create_snapshot(a_snapshot(volume), volume)
    with pytest.raises(BackendInUse, match="has not come yet"):
        driver.create_cloned_volume(a_volume(), volume)
    with pytest.raises(BackendInUse, match="has not come yet"), driver.open_volume(volume):
        pass
    driver.hydrate_volume(volume, source.fill)
    driver.create_snapshot(a_snapshot(volume), volume)


def test_a_fenced_volume_is_cut_off_and_keeps_what_was_written(
    driver: DirectoryDriver, source: Source, volume: Volume
) -> None:
    with attach(driver, volume) as client:
        client.write(b"mine", 0)
        client.flush()
        driver.fence_volume(volume)
        with pytest.raises(ConnectionError):
            client.read(4, 0)
    for _ in range(2):
        with pytest.raises(DriverError, match="not exported any more"):
            driver.ensure_export(volume)
    record = driver._store.get(volume.storage_name)
    assert b"mine" in driver._store.disk(record).read_bytes()
    driver.delete_volume(volume)
    assert not list(driver.list_objects())


def test_deleted_before_its_content_came(driver: DirectoryDriver, source: Source, volume: Volume) -> None:
    with pytest.raises(DriverError):
        driver.hydrate_volume(volume, lambda target: (_ for _ in ()).throw(DriverError("stop")))
    driver.delete_volume(volume)
    assert not list(driver.list_objects())
    assert not bases(driver)
    assert not list((driver._store.root / "tmp").iterdir())


def test_a_storage_daemon_that_is_killed_costs_no_write(
    driver: DirectoryDriver, source: Source, volume: Volume
) -> None:
    dice = random.Random(3)
    expected = bytearray(source.content)
    for _ in range(4):
        driver.ensure_export(volume)
        with attach(driver, volume) as client:
            for _ in range(10):
                offset, data = dice.randrange(SIZE - 70000), dice.randbytes(dice.randrange(1, 70000))
                client.write(data, offset)
                expected[offset : offset + len(data)] = data
            client.flush()
            for pid in driver._exporting._exports.pids():  # type: ignore[attr-defined]
                os.kill(pid, signal.SIGKILL)
            with pytest.raises(ConnectionError):
                client.read(4096, 0)
    driver.ensure_export(volume)
    with attach(driver, volume) as client:
        driver.hydrate_volume(volume, source.fill)
        assert client.read(SIZE, 0) == expected


def test_a_source_that_comes_back_is_read_on(
    driver: DirectoryDriver, source: Source, volume: Volume, tmp_path: Path
) -> None:
    with attach(driver, volume) as client:
        other = NbdListener(tmp_path / "lazy.sock")
        other.publish(volume.storage_name, source)
        assert client.read(4, 0) == source.content[:4]
        other.start()  # takes the place of the first one, which does not serve those who were there any more
        client.write(b"mine", 8 * MIB)
        assert client.read(4096, 4 * MIB) == source.content[4 * MIB : 4 * MIB + 4096]
        other.close()


@pytest.mark.parametrize("exported", [False, True])
def test_a_process_that_is_killed_while_it_settles_is_followed_by_one_that_does(
    driver: DirectoryDriver, source: Source, volume: Volume, exported: bool, tmp_path: Path
) -> None:
    """At each change of the disk."""
    with attach(driver, volume) as client:
        client.write(b"mine", 0)
        client.flush()
    if not exported:
        driver.terminate_connection(volume, None)
    driver._store.close()
    expected = b"mine" + source.content[4:]
    for changes in range(1, 40):
        killed(
            tmp_path / "storage",
            changes,
            lambda driver: driver.hydrate_volume(volume, source.fill),
            (*CHANGES, "open"),
            directory_reflink="never",
        )
        after = opened(tmp_path / "storage", directory_reflink="never")
        hydrating = list(after.list_hydrating())
        with attach(after, volume) as client:
            assert client.read(SIZE, 0) == expected
        if not exported:
            after.terminate_connection(volume, None)
        after.close()
        if not hydrating:
            break
    else:
        raise AssertionError("It never settled.")
    assert changes > 4
    driver._store.own()
