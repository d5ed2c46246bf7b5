"""What the directory driver promises beyond the contract: order of deletion, room, images, depth, exports."""

import contextlib
import os
import random
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from breezeblock.drivers.contract import BlockTarget
from breezeblock.drivers.directory import durable, qcow2
from breezeblock.drivers.directory.content import LEAVE_BYTES, ChainSource, Link, RawTarget, copy_sparsely
from breezeblock.drivers.directory.driver import DirectoryDriver
from breezeblock.drivers.directory.qcow2 import CLUSTER
from breezeblock.errors import (
    BackendInUse,
    BackendNotFound,
    BackendOutOfSpace,
    BackendTransient,
    ConfigError,
    NotSupportedByBackend,
)
from breezeblock.exports.nbd import NbdExports
from breezeblock.model.image import Image
from breezeblock.model.snapshot import Snapshot
from breezeblock.model.volume import Volume
from tests.drivers.directory_storage import (
    GIB,
    MIB,
    a_snapshot,
    a_volume,
    bases,
    content,
    fill_of,
    mounted,
    opened,
    write,
)

OVERLAYS = {"directory_reflink": "never"}


@pytest.fixture(scope="module")
def xfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with mounted("xfs", tmp_path_factory.mktemp("xfs")) as directory:
        yield directory


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[DirectoryDriver]:
    """On overlays; closed, with its export daemons ended, when the test is over."""
    driver = opened(tmp_path / "data", **OVERLAYS)
    yield driver
    end(driver)


def end(driver: DirectoryDriver) -> None:
    for name in list(driver._store.published("volumes")):
        driver._exporting.withdraw(name)
    driver.close()


def filled(driver: DirectoryDriver, byte: int = 1, **fields: Any) -> Volume:
    """A volume with one cluster of data."""
    volume = a_volume(**fields)
    driver.create_volume(volume)
    write(driver, volume, byte, 3)
    return volume


def snapshot_of(driver: DirectoryDriver, volume: Volume) -> Snapshot:
    snapshot = a_snapshot(volume)
    driver.create_snapshot(snapshot, volume)
    return snapshot


def clone_of(driver: DirectoryDriver, source: Volume, size: int = 1) -> Volume:
    volume = a_volume(size)
    driver.create_cloned_volume(volume, source)
    return volume


def read(driver: DirectoryDriver, thing: Volume | Snapshot, cluster: int) -> int:
    with driver.open_volume(thing) as source:
        return source.pread(1, cluster * CLUSTER)[0]


def left(driver: DirectoryDriver) -> list[str]:
    return [str(path) for path in driver._store.root.glob("*/*")]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("depth", [2, 16])
def test_anything_may_be_deleted_in_any_order(tmp_path: Path, seed: int, depth: int) -> None:
    any_order(tmp_path, seed, OVERLAYS | {"directory_max_chain_depth": depth})


@pytest.mark.parametrize("seed", range(4))
def test_anything_may_be_deleted_in_any_order_with_reflink(xfs: Path, seed: int) -> None:
    any_order(xfs / str(seed), seed, {})


def any_order(directory: Path, seed: int, options: dict[str, Any]) -> None:
    """Random snapshots, clones, writes, extends, restarts and deletions: all contents stay what they should be."""
    some = random.Random(seed)
    driver = opened(directory, **options)
    expected: dict[str, tuple[Volume | Snapshot, dict[int, int], int]] = {}

    def keep(thing: Volume | Snapshot, clusters: dict[int, int], size: int) -> None:
        expected[thing.id] = (thing, clusters, size)

    for step in range(70):
        volumes = [entry for entry in expected.values() if isinstance(entry[0], Volume)]
        snapshots = [entry for entry in expected.values() if isinstance(entry[0], Snapshot)]
        act = some.choice(["create", "write", "write", "snapshot", "from", "clone", "extend", "fill", "delete", "open"])
        new = a_volume(2)
        if act == "create" or not volumes:
            driver.create_volume(new)
            keep(new, {}, 2)
            continue
        thing, clusters, size = some.choice(snapshots if act == "from" and snapshots else volumes)
        if act == "write" and isinstance(thing, Volume):
            where = some.randrange(size * 16384)
            write(driver, thing, step + 1, where)
            clusters[where] = step + 1
        elif act == "snapshot" and isinstance(thing, Volume):
            keep(snapshot_of(driver, thing), dict(clusters), size)
        elif act == "from" and isinstance(thing, Snapshot):
            new = msgspec.structs.replace(new, size=size)
            driver.create_volume_from_snapshot(new, thing)
            keep(new, dict(clusters), size)
        elif act == "clone" and isinstance(thing, Volume):
            keep(clone_of(driver, thing, size + 1), dict(clusters), size + 1)
        elif act == "extend" and isinstance(thing, Volume):
            driver.extend_volume(thing, size + 1)
            keep(thing, clusters, size + 1)
        elif act == "fill" and isinstance(thing, Volume):
            driver.copy_image_to_volume(thing, f"step:{step}", fill_of(b"\5" * CLUSTER, 7 * CLUSTER))
            keep(thing, {7: 5}, size)
        elif act == "delete":
            thing, _, _ = some.choice(list(expected.values()))
            del expected[thing.id]
            delete(driver, thing)
        elif act == "open":
            driver.close()
            driver = opened(directory, **options)
        for thing, clusters, size in expected.values():
            require(driver, thing, clusters, size)
    everything = list(expected.values())
    some.shuffle(everything)
    for thing, _, _ in everything:
        delete(driver, thing)
    assert left(driver) == []
    driver.close()


def delete(driver: DirectoryDriver, thing: Volume | Snapshot) -> None:
    if isinstance(thing, Volume):
        driver.delete_volume(thing)
    else:
        driver.delete_snapshot(thing)


def require(driver: DirectoryDriver, thing: Volume | Snapshot, clusters: dict[int, int], size: int) -> None:
    with driver.open_volume(thing) as source:
        assert source.size == size * GIB
        found: dict[int, int] = {}
        for extent in source.extents():
            first, last = extent.offset // CLUSTER, -(-(extent.offset + extent.length) // CLUSTER)
            for cluster in range(first, last) if extent.data else ():
                data = source.pread(CLUSTER, cluster * CLUSTER)
                assert len(set(data)) == 1
                if data[0]:
                    found[cluster] = data[0]
        assert found == clusters


def test_qemu_agrees_with_the_files(driver: DirectoryDriver) -> None:
    volume = filled(driver)
    snapshot = snapshot_of(driver, volume)
    larger = a_volume(3)
    driver.create_volume_from_snapshot(larger, snapshot)
    clone = clone_of(driver, larger, 3)
    for thing in (volume, larger, clone):
        disk = driver._store.disk(driver._store.get(thing.storage_name))
        subprocess.run(["qemu-img", "check", "-q", "-f", "qcow2", str(disk)], check=True)
        order = f"read -P 1 {3 * CLUSTER} {CLUSTER}"
        done = subprocess.run(["qemu-io", "-f", "qcow2", "-c", order, str(disk)], check=True, capture_output=True)
        assert b"verification failed" not in done.stdout


def test_clones_of_a_volume_that_rests_do_not_pile_up(driver: DirectoryDriver) -> None:
    """A cached image volume may be cloned as often as one likes."""
    volume = filled(driver)
    for _ in range(20):
        clone = clone_of(driver, volume)
        snapshot_of(driver, volume)
    assert len(bases(driver)) == 1
    assert driver._store.get(clone.storage_name).depth == 1


def test_chains_are_flattened(tmp_path: Path) -> None:
    driver = opened(tmp_path, **OVERLAYS, directory_max_chain_depth=3)
    volume = a_volume()
    driver.create_volume(volume)
    snapshots = []
    for step in range(8):
        write(driver, volume, step + 1, step)
        snapshots.append(snapshot_of(driver, volume))
        assert driver._store.get(volume.storage_name).depth <= 3
    deep = clone_of(driver, volume)
    assert driver._store.get(deep.storage_name).depth <= 3
    for step, snapshot in enumerate(snapshots):
        require(driver, snapshot, {at: at + 1 for at in range(step + 1)}, 1)
        of = a_volume()
        driver.create_volume_from_snapshot(of, snapshot)
        require(driver, of, {at: at + 1 for at in range(step + 1)}, 1)
        assert driver._store.get(of.storage_name).depth <= 3
    driver.close()


def test_files_are_for_this_user_alone_and_sparse(driver: DirectoryDriver) -> None:
    clone_of(driver, filled(driver))
    for path in driver._store.root.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
    assert sum(path.stat().st_blocks for path in driver._store.root.rglob("*")) * 512 < 2 * MIB


def test_thick_volumes_take_their_room(driver: DirectoryDriver) -> None:
    volume = a_volume(admin_metadata={"provisioning": "thick"})
    driver.create_volume(volume)
    disk = driver._store.home(volume.storage_name) / "disk"
    assert disk.stat().st_blocks * 512 >= GIB
    driver.extend_volume(volume, 2)
    assert disk.stat().st_blocks * 512 >= 2 * GIB
    driver.copy_image_to_volume(volume, "x", fill_of(b"x"))
    assert disk.stat().st_blocks * 512 >= 2 * GIB
    assert read(driver, volume, 5) == 0


def test_a_full_disk(tmp_path: Path) -> None:
    """Says so, and leaves nothing behind."""
    with mounted("ext4", tmp_path) as directory:
        driver = opened(directory, **OVERLAYS)
        volume = filled(driver)
        before = driver.get_volume_stats()[0].free_capacity_gb
        big = a_volume()
        driver.create_volume(big)
        with pytest.raises(BackendOutOfSpace, match="full"):
            driver.copy_image_to_volume(big, "big", fill_of(bytes(range(1, 256)) * (MIB // 5)))
        driver.delete_volume(big)
        with pytest.raises(BackendOutOfSpace):
            driver.create_volume(a_volume(admin_metadata={"provisioning": "thick"}))
        assert list(driver.list_objects()) == [volume.storage_name]
        assert driver.get_volume_stats()[0].free_capacity_gb == before
        fill_up(directory)
        snapshot, clone = a_snapshot(volume), a_volume()
        for verb in (
            lambda: driver.create_snapshot(snapshot, volume),
            lambda: driver.create_cloned_volume(clone, volume),
        ):
            with pytest.raises(BackendOutOfSpace):
                verb()
        with pytest.raises(BackendOutOfSpace):
            driver.create_volume(a_volume())
        assert list(driver.list_objects()) == [volume.storage_name]
        assert bases(driver) == []
        (directory / "ballast").unlink()
        require(driver, volume, {3: 1}, 1)
        driver.create_snapshot(snapshot, volume)
        driver.delete_volume(volume)
        driver.delete_snapshot(snapshot)
        assert left(driver) == []
        driver.close()


def fill_up(directory: Path) -> None:
    """Take all the room there is, to the last block."""
    with open(directory / "ballast", "wb", buffering=0) as file:
        for size in (MIB, 4096, 512):
            try:
                while file.write(b"x" * size) == size:
                    pass
            except OSError:
                continue
        os.fsync(file.fileno())


def test_bad_settings_say_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="not usable"):
        opened(tmp_path / "a", directory_path=tmp_path / "file")
    with pytest.raises(ConfigError, match="volumes themselves"):
        opened(tmp_path / "b", directory_path=tmp_path / "same", replication_device=tmp_path / "same")


def test_the_pool(tmp_path: Path) -> None:
    driver = opened(tmp_path, pool_name="DS02")
    (pool,) = driver.get_volume_stats()
    assert pool.name == "localhost@conformance#DS02"
    assert pool.backend == "localhost@conformance"
    found = os.statvfs(tmp_path)
    assert pool.total_capacity_gb == pytest.approx(found.f_blocks * found.f_frsize / GIB, abs=0.01)
    assert pool.capabilities["storage_protocol"] == "nbd"
    assert pool.capabilities["replication_enabled"] is False
    driver.close()


# images


def image_file(directory: Path, *options: str, size: int = 8 * MIB, format_: str = "qcow2") -> Path:
    raw = directory / "source.raw"
    raw.write_bytes(b"\3" * CLUSTER + bytes(size - 2 * CLUSTER) + b"\4" * CLUSTER)
    path = directory / f"image.{format_}"
    arguments = ["qemu-img", "convert", "-f", "raw", "-O", format_, *options, str(raw), str(path)]
    subprocess.run(arguments, check=True, capture_output=True)
    return path


def an_image(format_: str = "qcow2") -> Image:
    return Image(id="4b3f9c46-0000-4000-8000-00000000000a", disk_format=format_, checksum="abc", updated_at="now")


@pytest.mark.parametrize("options", [[], ["-c"], ["-c", "-o", "compression_type=zstd"]], ids=["plain", "zlib", "zstd"])
@pytest.mark.parametrize("filesystem", ["ext4", "xfs"])
def test_a_qcow2_image_is_stood_on(xfs: Path, tmp_path: Path, options: list[str], filesystem: str) -> None:
    directory = xfs / f"images{len(options)}" if filesystem == "xfs" else tmp_path
    driver = opened(directory)
    path = image_file(directory, *options)
    before = path.read_bytes()
    first, second = a_volume(2), a_volume(1)
    assert driver.clone_image(first, an_image(), str(path)) == ({}, True)
    assert driver.clone_image(second, an_image(), str(path)) == ({}, True)
    assert driver.clone_image(second, an_image(), str(path)) == ({}, True)
    assert len(bases(driver)) == 1
    write(driver, first, 9, 4)
    path.unlink()
    require(driver, first, {0: 3, 127: 4, 4: 9}, 2)
    require(driver, second, {0: 3, 127: 4}, 1)
    snapshot = snapshot_of(driver, first)
    driver.delete_volume(first)
    driver.delete_volume(second)
    require(driver, snapshot, {0: 3, 127: 4, 4: 9}, 2)
    base = driver._store.disk(driver._store.get(next(name for name in bases(driver) if name.startswith("image-"))))
    assert base.read_bytes() == before
    driver.delete_snapshot(snapshot)
    assert left(driver) == []
    driver.close()


@pytest.mark.parametrize("options", [[], ["-c"]], ids=["plain", "zlib"])
@pytest.mark.parametrize("filesystem", ["ext4", "xfs"])
def test_a_qcow2_image_that_is_stood_on_becomes_a_raw_file(
    xfs: Path, tmp_path: Path, options: list[str], filesystem: str
) -> None:
    directory = xfs / f"settled{len(options)}" if filesystem == "xfs" else tmp_path
    driver = opened(directory)
    path = image_file(directory, *options)
    first, second, third = a_volume(1), a_volume(2), a_volume(1)
    for volume in (first, second):
        driver.clone_image(volume, an_image(), str(path))
        assert driver.adopted_below(volume) == first.storage_name
    assert list(driver.list_adopted()) == [first.storage_name]
    write(driver, second, 9, 4)
    driver.delete_volume(first)
    driver.settle_image(first.storage_name)
    assert list(driver.list_adopted()) == []
    assert driver.adopted_below(second) is None
    (base,) = bases(driver)
    assert sorted(one.name for one in driver._store.home(base).iterdir()) == ["disk", "record.json", "users"]
    assert driver._store.get(base).format == "raw"
    driver.clone_image(third, an_image(), str(path))
    assert bases(driver) == [base]
    require(driver, second, {0: 3, 127: 4, 4: 9}, 2)
    require(driver, third, {0: 3, 127: 4}, 1)
    driver.delete_volume(second)
    driver.delete_volume(third)
    assert left(driver) == []
    driver.close()


def test_another_state_of_an_image_is_another_base(driver: DirectoryDriver, tmp_path: Path) -> None:
    path = image_file(tmp_path)
    driver.clone_image(a_volume(), an_image(), str(path))
    driver.clone_image(a_volume(), msgspec.structs.replace(an_image(), checksum="other"), str(path))
    assert len(bases(driver)) == 2


@pytest.mark.parametrize(
    ("options", "format_", "why"),
    [
        (["-o", "extended_l2=on"], "qcow2", "features"),
        ([], "raw", "reflink"),
        ([], "vmdk", "Only raw, iso and qcow2"),
        (["-o", "preallocation=off"], "qcow2", "more than the volume's"),
    ],
    ids=["unknown features", "raw without reflink", "vmdk", "too large"],
)
def test_images_are_declined_with_a_reason(
    driver: DirectoryDriver, tmp_path: Path, options: list[str], format_: str, why: str
) -> None:
    path = image_file(tmp_path, *options, format_=format_)
    if "volume" in why:
        subprocess.run(["qemu-img", "resize", "-q", "-f", "qcow2", str(path), "2G"], check=True)
    with pytest.raises(NotSupportedByBackend, match=why):
        driver.clone_image(a_volume(), an_image(format_), str(path))
    with pytest.raises(NotSupportedByBackend):
        driver.clone_image(a_volume(), an_image(format_), str(tmp_path / "missing"))
    with pytest.raises(NotSupportedByBackend, match="no file"):
        driver.clone_image(a_volume(), an_image(format_), None)
    assert left(driver) == []


def test_an_image_with_a_backing_file_or_snapshot_is_declined(driver: DirectoryDriver, tmp_path: Path) -> None:
    path = tmp_path / "a.qcow2"
    qcow2.write_overlay(path, GIB, "/etc/passwd", "raw")
    with pytest.raises(NotSupportedByBackend, match="backing"):
        driver.clone_image(a_volume(), an_image(), str(path))
    path = image_file(tmp_path)
    subprocess.run(["qemu-img", "snapshot", "-c", "s", str(path)], check=True)
    with pytest.raises(NotSupportedByBackend, match="snapshots"):
        driver.clone_image(a_volume(), an_image(), str(path))
    assert left(driver) == []


def test_an_image_elsewhere_is_declined(xfs: Path, tmp_path: Path) -> None:
    driver = opened(xfs / "elsewhere")
    for format_ in ("qcow2", "raw"):
        with pytest.raises(NotSupportedByBackend, match="cannot be used where it lies"):
            driver.clone_image(a_volume(), an_image(format_), str(image_file(tmp_path, format_=format_)))
    assert left(driver) == []
    driver.close()


# replicas


def test_replicas_are_copied_only_when_something_changed(tmp_path: Path) -> None:
    driver = opened(tmp_path / "a", **OVERLAYS, replication_device=tmp_path / "b")
    volume = filled(driver)
    driver.update_replica(volume)
    (file,) = (tmp_path / "b").glob("volumes/*/disk*")
    driver.update_replica(volume)
    assert [path.stat().st_ino for path in (tmp_path / "b").glob("volumes/*/disk*")] == [file.stat().st_ino]
    assert file.stat().st_blocks * 512 < MIB
    write(driver, volume, 8, 5)
    test = a_volume(2)
    driver.create_replica_test_volume(test, volume)
    require(driver, test, {3: 1}, 2)
    driver.update_replica(volume)
    driver.delete_volume(volume)
    newer = a_volume()
    driver.create_replica_test_volume(newer, volume)
    require(driver, newer, {3: 1, 5: 8}, 1)
    driver.delete_replica(volume)
    assert list((tmp_path / "b").glob("*/*")) == []
    driver.close()


def test_without_a_device_there_are_no_replicas(driver: DirectoryDriver) -> None:
    with pytest.raises(NotSupportedByBackend, match="replication_device"):
        driver.update_replica(filled(driver))


# exports


def client_writes(driver: DirectoryDriver, volume: Volume, byte: int, cluster: int) -> None:
    uri = driver.initialize_connection(volume, {})["data"]["uri"]
    order = f"write -P {byte} {cluster * CLUSTER} {CLUSTER}"
    subprocess.run(["qemu-io", "-f", "raw", "-c", order, "-c", "flush", uri], check=True, capture_output=True)


@pytest.mark.parametrize("filesystem", ["ext4", "xfs"])
def test_an_exported_volume_is_kept_and_cloned_under_its_clients(xfs: Path, tmp_path: Path, filesystem: str) -> None:
    """A client stays connected over snapshots and a clone, and each of them has what was written before."""
    driver = opened(xfs / "e" if filesystem == "xfs" else tmp_path)
    volume = filled(driver)
    data = driver.initialize_connection(volume, {"host": "h"})["data"]
    assert data["access_mode"] == "rw"
    assert data["export"] == volume.storage_name
    assert os.path.exists(data["socket"])
    client = subprocess.Popen(["qemu-io", "-f", "raw", data["uri"]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert client.stdin is not None
    assert client.stdout is not None
    kept = []
    for step in range(4):
        client.stdin.write(f"write -P {step + 10} {step * CLUSTER} {CLUSTER}\nflush\n".encode())
        client.stdin.flush()
        while not client.stdout.readline().startswith(b"64 KiB"):
            pass
        kept.append(snapshot_of(driver, volume))
    clone = clone_of(driver, volume, 2)
    with pytest.raises(BackendInUse):
        driver.delete_volume(volume)
    with pytest.raises(BackendInUse), driver.open_volume(volume):
        pass
    client.communicate(b"write -P 77 9M 64k\nflush\nquit\n", timeout=60)
    assert client.returncode == 0
    base = {3: 1} | {0: 10}
    for step, snapshot in enumerate(kept):
        require(driver, snapshot, base | {at: at + 10 for at in range(step + 1)}, 1)
    require(driver, clone, {at: at + 10 for at in range(4)}, 2)
    driver.extend_volume(volume, 2)
    client_writes(driver, volume, 5, 20000)
    driver.terminate_connection(volume, None)
    require(driver, volume, {at: at + 10 for at in range(4)} | {144: 77, 20000: 5}, 2)
    assert len(list((driver._store.home(volume.storage_name)).iterdir())) == 2
    everything: list[Volume | Snapshot] = [volume, *kept, clone]
    for thing in everything:
        delete(driver, thing)
    assert left(driver) == []
    end(driver)


@pytest.mark.parametrize("daemon", ["lives", "dies"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_switch_that_was_cut_short(tmp_path: Path, when: str, daemon: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed around the daemon's switch to an overlay, what the client writes after it is kept, and the snapshot too."""

    class Killed(BaseException):
        pass

    driver = opened(tmp_path, **OVERLAYS)
    volume, snapshot = filled(driver), None
    client_writes(driver, volume, 2, 4)
    real = driver._exporting.switch

    def switch(*arguments: Any) -> None:
        if when == "after":
            real(*arguments)
        raise Killed

    monkeypatch.setattr(driver._exporting, "switch", switch)
    snapshot = a_snapshot(volume)
    with pytest.raises(Killed):
        driver.create_snapshot(snapshot, volume)
    uri = str(driver._exporting._exports.uri(volume.storage_name))
    subprocess.run(["qemu-io", "-f", "raw", "-c", "write -P 3 5M 64k", "-c", "flush", uri], check=True)
    if daemon == "dies":
        exports = driver._exporting._exports
        assert isinstance(exports, NbdExports)
        exports.shutdown()
    driver.close()
    driver = opened(tmp_path, **OVERLAYS)
    driver.ensure_export(volume)
    client_writes(driver, volume, 4, 90)
    driver.create_snapshot(snapshot, volume)
    client_writes(driver, volume, 5, 91)
    require(driver, snapshot, {3: 1, 4: 2, 80: 3, 90: 4}, 1)
    driver.terminate_connection(volume, None)
    require(driver, volume, {3: 1, 4: 2, 80: 3, 90: 4, 91: 5}, 1)
    driver.delete_volume(volume)
    driver.delete_snapshot(snapshot)
    assert left(driver) == []
    end(driver)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_daemon_that_dies_over_a_switch(tmp_path: Path, when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody writes any more, so the snapshot is made of what was written; the volume goes on when it is exported again."""
    driver = opened(tmp_path, **OVERLAYS)
    volume, snapshot = filled(driver), None
    client_writes(driver, volume, 2, 4)
    real = driver._exporting.switch

    def switch(*arguments: Any) -> None:
        if when == "after":
            real(*arguments)
        exports = driver._exporting._exports
        assert isinstance(exports, NbdExports)
        for pid in exports.pids():
            os.kill(pid, signal.SIGKILL)
        if when == "after":
            raise BackendTransient("The export daemon did not answer.")
        real(*arguments)

    monkeypatch.setattr(driver._exporting, "switch", switch)
    snapshot = a_snapshot(volume)
    driver.create_snapshot(snapshot, volume)
    monkeypatch.undo()
    driver.ensure_export(volume)
    client_writes(driver, volume, 4, 90)
    driver.terminate_connection(volume, None)
    require(driver, snapshot, {3: 1, 4: 2}, 1)
    require(driver, volume, {3: 1, 4: 2, 90: 4}, 1)
    driver.delete_volume(volume)
    driver.delete_snapshot(snapshot)
    assert left(driver) == []
    end(driver)


def test_a_replica_of_an_exported_volume(tmp_path: Path) -> None:
    driver = opened(tmp_path / "a", **OVERLAYS, replication_device=tmp_path / "b")
    volume = filled(driver)
    for byte in (2, 3):
        client_writes(driver, volume, byte, 4)
        driver.update_replica(volume)
        test = a_volume()
        driver.create_replica_test_volume(test, volume)
        require(driver, test, {3: 1, 4: byte}, 1)
    end(driver)


def test_a_read_only_volume(driver: DirectoryDriver) -> None:
    volume = filled(driver, admin_metadata={"readonly": "True"})
    data = driver.initialize_connection(volume, {})["data"]
    assert data["access_mode"] == "ro"
    with pytest.raises(subprocess.CalledProcessError):
        subprocess.run(["qemu-io", "-f", "raw", "-c", "write 0 4k", data["uri"]], check=True, capture_output=True)


def test_what_is_not_filled_is_not_used(driver: DirectoryDriver) -> None:
    volume = a_volume()
    driver.create_volume(volume)
    with pytest.raises(ZeroDivisionError):
        driver.copy_image_to_volume(volume, "x", lambda target: target.pwrite(b"x" * (1 // 0), 0))
    for verb in (lambda: snapshot_of(driver, volume), lambda: clone_of(driver, volume)):
        with pytest.raises(BackendInUse, match="filled"):
            verb()
    with pytest.raises(BackendInUse, match="filled"):
        driver.initialize_connection(volume, {})
    driver.extend_volume(volume, 2)
    driver.copy_image_to_volume(volume, "x", fill_of(b"\1" * CLUSTER))
    require(driver, volume, {0: 1}, 2)
    with pytest.raises(BackendNotFound):
        driver.copy_image_to_volume(a_volume(), "x", fill_of(b"x"))
    assert content(driver, volume) != content(driver, filled(driver))


def in_page_cache(file: Path | str) -> int:
    """Bytes."""
    argv = ["fincore", "-nbo", "RES", str(file)]
    return int(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)


def until_less_in_page_cache(file: Path | str, size: int) -> None:
    deadline = time.monotonic() + 30
    while in_page_cache(file) >= size:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("way", ["by pieces", "by others"])
def test_what_filled_a_volume_leaves_the_page_cache(xfs: Path, way: str) -> None:
    """What is written over and over in the same memory costs a fraction; nobody reads a volume for being made."""
    driver = opened(xfs / uuid.uuid4().hex, **OVERLAYS)
    volume = a_volume()
    driver.create_volume(volume)
    data = random.Random(7).randbytes(4 * MIB)

    def fill(target: BlockTarget) -> None:
        for at in range(0, 64 * MIB, len(data)):
            if way == "by pieces":
                target.pwrite(data, at)
            else:
                with open(target.uri, "r+b") as file:
                    file.seek(at)
                    file.write(data)

    driver.copy_image_to_volume(volume, "image:1", fill)
    file = driver._store.disk(driver._lineage.current(volume.storage_name))
    assert file.stat().st_blocks * 512 >= 64 * MIB
    assert in_page_cache(file) == 0
    with driver.open_volume(volume) as source:
        assert source.pread(len(data), 60 * MIB) == data
    end(driver)


def test_what_fills_a_volume_leaves_the_page_cache_meanwhile(xfs: Path) -> None:
    path = xfs / uuid.uuid4().hex
    path.touch()
    with contextlib.closing(RawTarget(path, GIB, None, lambda note: None)) as target:
        for at in range(0, LEAVE_BYTES, MIB):
            target.pwrite(b"x" * MIB, at)
        until_less_in_page_cache(path, MIB)
        assert target.pread(MIB, LEAVE_BYTES - MIB) == b"x" * MIB


def test_a_copy_leaves_the_page_cache(tmp_path: Path) -> None:
    """Where the kernel copies: meanwhile, and at the end."""
    with mounted("ext4", tmp_path, 256 * MIB) as directory:
        source, copy = directory / "source", directory / "copy"
        source.write_bytes(random.Random(8).randbytes(40 * MIB))
        fd = durable.create_file(copy, 40 * MIB)
        looked: list[int] = []

        def tell(done: int, total: int | None) -> None:
            if done == 20 * MIB:
                until_less_in_page_cache(copy, done - 8 * MIB)
                looked.append(done)

        with ChainSource([Link(source, "raw")], 40 * MIB) as chain:
            copy_sparsely(chain, fd, tell=tell)
        os.close(fd)
        assert looked
        assert in_page_cache(copy) == 0
        assert copy.read_bytes() == source.read_bytes()
