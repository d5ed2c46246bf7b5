"""A worker that is killed while it snapshots, clones and grows a volume under a client that writes to it."""

import functools
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from breezeblock.drivers.directory.driver import DirectoryDriver
from breezeblock.drivers.directory.qcow2 import CLUSTER
from breezeblock.model.snapshot import Snapshot
from breezeblock.model.volume import Volume
from tests.drivers.directory_storage import a_snapshot, a_volume, bases, mounted, opened
from tests.drivers.dying import killed

ROUNDS = 20


class Client:
    """An NBD client that stays connected. A write that returned was acknowledged with its flush."""

    def __init__(self, uri: str) -> None:
        command = ["qemu-io", "-f", "raw", uri]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self.written: dict[int, int] = {}

    def write(self, byte: int, cluster: int) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"write -P {byte} {cluster * CLUSTER} {CLUSTER}\nflush\n".encode())
        self.process.stdin.flush()
        while not (line := self.process.stdout.readline()).startswith(b"64 KiB"):
            assert line, "The client was cut off."
        self.written[cluster] = byte

    def close(self) -> None:
        self.process.communicate(b"flush\nquit\n", timeout=60)
        assert self.process.returncode == 0


def clusters(driver: DirectoryDriver, thing: Volume | Snapshot) -> dict[int, int]:
    found = {}
    with driver.open_volume(thing) as source:
        for extent in source.extents():
            for cluster in range(extent.offset // CLUSTER, -(-(extent.offset + extent.length) // CLUSTER)):
                data = source.pread(CLUSTER, cluster * CLUSTER) if extent.data else b"\0"
                assert len(set(data)) == 1
                if data[0]:
                    found[cluster] = data[0]
    return found


def make(made: Snapshot | Volume, volume: Volume, driver: DirectoryDriver) -> None:
    if isinstance(made, Volume):
        driver.create_cloned_volume(made, volume)
    else:
        driver.create_snapshot(made, volume)


@pytest.fixture(scope="module")
def xfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with mounted("xfs", tmp_path_factory.mktemp("xfs")) as directory:
        yield directory


@pytest.mark.parametrize("filesystem", ["as it is", "xfs"])
def test_no_acknowledged_write_is_lost(xfs: Path, tmp_path: Path, filesystem: str) -> None:
    directory = xfs if filesystem == "xfs" else tmp_path
    some = random.Random(11)
    volume, kept = a_volume(), list[tuple[Snapshot | Volume, dict[int, int], dict[int, int]]]()
    driver = opened(directory)
    driver.create_volume(volume)
    client = Client(driver.initialize_connection(volume, {})["data"]["uri"])
    driver.close()
    for turn in range(ROUNDS):
        client.write(turn + 1, some.randrange(200))
        least = dict(client.written)
        made: Snapshot | Volume = a_volume() if turn % 4 == 3 else a_snapshot(volume)
        killed(directory, some.randrange(45), functools.partial(make, made, volume))
        client.write(turn + 101, some.randrange(200))
        driver = opened(directory)
        make(made, volume, driver)
        kept.append((made, least, dict(client.written)))
        driver.close()
    client.close()
    driver = opened(directory)
    for thing, least, most in kept:
        assert clusters(driver, thing) in (least, most)
    driver.extend_volume(volume, 2)
    again = Client(driver.initialize_connection(volume, {})["data"]["uri"])
    again.write(250, 32767)
    again.close()
    driver.terminate_connection(volume, None)
    assert clusters(driver, volume) == client.written | again.written
    some.shuffle(kept)
    for thing, _, _ in kept:
        if isinstance(thing, Volume):
            driver.delete_volume(thing)
        else:
            driver.delete_snapshot(thing)
    driver.delete_volume(volume)
    assert bases(driver) == []
    driver.close()
