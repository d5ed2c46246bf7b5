"""Images that volumes of the directory driver stand on, settled below them by a real storage daemon."""

import os
import random
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from breezeblock.drivers import copying
from breezeblock.drivers.contract import AdoptedFile
from breezeblock.drivers.directory import adoption
from breezeblock.drivers.directory.driver import DirectoryDriver
from breezeblock.model.volume import Volume
from tests.drivers.directory_storage import MIB, a_snapshot, a_volume, bases, fill_of, opened
from tests.drivers.dying import killed
from tests.drivers.nbd_client import NbdClient

SIZE = 24 * MIB
KINDS = {"plain": [], "zlib": ["-c"], "zstd": ["-c", "-o", "compression_type=zstd"]}


class Stopped(BaseException):
    """The worker stops."""


@pytest.fixture(scope="module")
def source() -> bytes:
    """The disk: noise, zeros and text."""
    return random.Random(5).randbytes(5 * MIB) + bytes(8 * MIB) + (b"some text " * 2 * MIB)[: 11 * MIB]


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[DirectoryDriver]:
    driver = opened(tmp_path / "storage", directory_reflink="never")
    yield driver
    driver._exporting._exports.shutdown()  # type: ignore[attr-defined]
    driver.close()


def image(tmp_path: Path, source: bytes, kind: str = "zlib") -> bytes:
    raw, made = tmp_path / "source", tmp_path / f"image-{kind}"
    raw.write_bytes(source)
    options = ["-f", "raw", "-O", "qcow2", *KINDS[kind]]
    subprocess.run(["qemu-img", "convert", *options, str(raw), str(made)], check=True)
    return made.read_bytes()


@pytest.fixture
def volume(driver: DirectoryDriver, tmp_path: Path, source: bytes) -> Volume:
    return adopt(driver, image(tmp_path, source))


def adopt(driver: DirectoryDriver, content: bytes) -> Volume:
    volume = a_volume()
    driver.create_volume(volume)
    driver.adopt_image(volume, "image", AdoptedFile(SIZE, len(content)), fill_of(content))
    return volume


def attach(driver: DirectoryDriver, volume: Volume) -> NbdClient:
    return NbdClient(driver.initialize_connection(volume, {})["data"]["uri"])


def content(driver: DirectoryDriver, volume: Volume) -> bytes:
    with driver.open_volume(volume) as opened:
        return opened.pread(SIZE, 0)


def open_files(path: Path) -> list[str]:
    """What processes beside this one have open below a directory."""
    found = []
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        if link.parts[2] != str(os.getpid()):
            try:
                found += [target] if (target := os.readlink(link)).startswith(str(path)) else []
            except OSError:
                continue  # ended just now
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_read_the_same_before_and_after(
    driver: DirectoryDriver, tmp_path: Path, source: bytes, kind: str
) -> None:
    volume = adopt(driver, image(tmp_path, source, kind))
    with attach(driver, volume) as client:
        assert client.read(SIZE + 4096, 0) == source + bytes(4096)
        driver.settle_image(volume.storage_name)
        assert client.read(SIZE + 4096, 0) == source + bytes(4096)
    home = driver._store.home(bases(driver)[0])
    assert sorted(os.listdir(home)) == ["disk", "record.json", "users"]
    assert (home / "disk").read_bytes() == source
    assert (home / "disk").stat().st_blocks * 512 <= 16 * MIB + 65536


def test_clients_write_on_and_no_daemon_has_the_image_open_any_more(
    driver: DirectoryDriver, volume: Volume, source: bytes, tmp_path: Path
) -> None:
    expected, dice = bytearray(source), random.Random(7)

    def scribble(client: NbdClient) -> None:
        for _ in range(20):
            offset, data = dice.randrange(SIZE - 9000), dice.randbytes(dice.randrange(1, 9000))
            client.write(data, offset)
            expected[offset : offset + len(data)] = data

    clone = a_volume()
    driver.create_cloned_volume(clone, volume)
    with attach(driver, volume) as client, attach(driver, clone) as other:
        scribble(client)
        # the chain below the client has a frozen overlay between it and the image
        snapshot = a_snapshot(volume)
        driver.create_snapshot(snapshot, volume)
        scribble(client)
        assert any(name.endswith("/adopted") for name in open_files(tmp_path))
        with copying.told_to(lambda done, total: scribble(client) if done % MIB == 0 else None):
            driver.settle_image(volume.storage_name)
        names = open_files(tmp_path)
        assert names
        assert not [name for name in names if name.endswith("/adopted")]
        scribble(client)
        assert client.read(SIZE, 0) == expected
        assert other.read(SIZE, 0) == source
        client.flush()
    driver.terminate_connection(volume, None)
    driver.terminate_connection(clone, None)
    assert content(driver, volume) == expected
    for one in (volume, clone):
        driver.delete_volume(one)
    driver.delete_snapshot(snapshot)
    assert not list(driver.list_objects())
    assert not bases(driver)


def test_a_read_only_volume_stays_one(driver: DirectoryDriver, tmp_path: Path, source: bytes) -> None:
    volume = a_volume(admin_metadata={"readonly": "True"})
    driver.create_volume(volume)
    compressed = image(tmp_path, source)
    driver.adopt_image(volume, "image", AdoptedFile(SIZE, len(compressed)), fill_of(compressed))
    with attach(driver, volume) as client:
        driver.settle_image(volume.storage_name)
        assert client.read(SIZE, 0) == source
        with pytest.raises(OSError, match=r"."):
            client.write(b"x", 0)


def test_the_header_of_an_overlay_never_names_the_image(driver: DirectoryDriver, volume: Volume) -> None:
    clone = a_volume()
    driver.create_cloned_volume(clone, volume)
    for one in (volume, clone):
        file = driver._store.disk(driver._store.get(one.storage_name))
        described = subprocess.run(["qemu-img", "info", "-U", str(file)], check=True, capture_output=True, text=True)
        assert f"backing file: ../../bases/image-{volume.storage_name}/disk " in described.stdout
        assert "backing file format: raw" in described.stdout


def test_a_pass_that_was_stopped_goes_on_where_it_was(
    driver: DirectoryDriver, volume: Volume, source: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adoption, "KEEP_SECONDS", 0)
    told: list[int] = []

    def stop(done: int, total: int | None) -> None:
        told.append(done)
        assert total == SIZE
        if done > 15 * MIB:
            raise Stopped

    with copying.told_to(stop), pytest.raises(Stopped):
        driver.settle_image(volume.storage_name)
    assert list(driver.list_adopted()) == [volume.storage_name]
    assert content(driver, volume) == source
    again: list[int] = []
    with copying.told_to(lambda done, total: again.append(done)):
        driver.settle_image(volume.storage_name)
    assert again[0] > 14 * MIB
    assert content(driver, volume) == source


def test_a_volume_that_is_deleted_under_the_pass_ends_it(driver: DirectoryDriver, volume: Volume) -> None:
    def delete(done: int, total: int | None) -> None:
        if done > 10 * MIB:
            driver.delete_volume(volume)

    with copying.told_to(delete):
        driver.settle_image(volume.storage_name)
    assert not bases(driver)
    assert not list((driver._store.root / "tmp").iterdir())


def test_a_verb_under_way_is_waited_for(driver: DirectoryDriver, volume: Volume, source: bytes) -> None:
    """Who opened the old files goes on with them; they are dropped after he has let go of the volume."""
    begun, done = threading.Event(), threading.Event()

    def use() -> None:
        with driver._held.hold(volume.storage_name):
            links = driver._bases.links(driver._store.get(volume.storage_name))
            begun.set()
            done.wait(10)
            assert links[-1].path.exists()

    user = threading.Thread(target=use)
    user.start()
    assert begun.wait(10)
    settling = threading.Thread(target=driver.settle_image, args=(volume.storage_name,))
    settling.start()
    deadline = threading.Event()
    while driver._store.get(bases(driver)[0]).format != "raw":
        assert not deadline.wait(0.01)
    assert settling.is_alive()
    assert (driver._store.home(bases(driver)[0]) / "adopted").exists()
    done.set()
    user.join()
    settling.join()
    assert content(driver, volume) == source


@pytest.mark.parametrize("after", range(0, 24, 2))
def test_killed_while_clients_are_on(tmp_path: Path, source: bytes, after: int) -> None:
    """A worker that dies anywhere in the pass costs a client nothing; the next one goes on."""
    directory = tmp_path / "storage"
    driver = opened(directory, directory_reflink="never")
    volume = adopt(driver, image(tmp_path, source))
    with attach(driver, volume) as client:
        client.write(b"mine", 100)
        driver.close()
        killed(directory, after, lambda dying: dying.settle_image(volume.storage_name), directory_reflink="never")
        driver = opened(directory, directory_reflink="never")
        driver.ensure_export(volume)
        assert client.read(8, 100) == b"mine" + source[104:108]
        driver.settle_image(volume.storage_name)
        assert client.read(SIZE - 4096, 4096) == source[4096:]
        client.flush()
    driver.terminate_connection(volume, None)
    assert list(driver.list_adopted()) == []
    assert content(driver, volume)[104:] == source[104:]
    driver.delete_volume(volume)
    assert not bases(driver)
    driver._exporting._exports.shutdown()  # type: ignore[attr-defined]
    driver.close()
