"""What the rules are tested with: a driver on fresh storage, records to give it, and contents to compare."""

import contextlib
import os
import signal
import tempfile
import traceback
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from breezeblock import commands, config, killpoints
from breezeblock.config import BackendSettings
from breezeblock.drivers.conformance.themes import FUNCTION
from breezeblock.drivers.contract import (
    BlockTarget,
    Closes,
    ConnectionInfo,
    Connector,
    Driver,
    Fill,
    Manages,
    Replicates,
)
from breezeblock.model import clock
from breezeblock.model.snapshot import Snapshot
from breezeblock.model.volume import Volume

GIB = 1 << 30
PIECE = 1 << 20
"""How much of a volume is compared at once."""

Content = Mapping[int, bytes]
"""What a volume holds: bytes by their offset, zeros everywhere else."""

EMPTY: Content = {}
FIRST: Content = {0: b"first" * 4000, (1 << 20) + 512: b"\xa5" * 65536, GIB - 4096: b"the end." * 512}
SECOND: Content = {4096: b"second" * 3000, 1 << 29: b"\x5a" * 65536}

CONNECTOR: Connector = {"host": "conformance", "ip": "127.0.0.1", "initiator": "iqn.2026-01.org.example:conformance"}
OTHER_CONNECTOR: Connector = {"host": "other", "ip": "127.0.0.1", "initiator": "iqn.2026-01.org.example:other"}


def settings_for(driver: str, directory: Path, **options: str) -> BackendSettings:
    """The settings of a backend with everything below `directory` and these options in its section."""
    directory.mkdir(parents=True, exist_ok=True)
    lines = ["[DEFAULT]", "enabled_backends = conformance", "[conformance]", f"volume_driver = {driver}"]
    lines += [f"{name} = {value}" for name, value in options.items()]
    file = directory / "breezeblock.conf"
    file.write_text("\n".join(lines) + "\n")
    return config.load(directory, config_files=[file]).backend("conformance")


def fill_with(content: Content) -> Fill:
    """Writes `content` and nothing else."""

    def fill(target: BlockTarget) -> None:
        for offset, data in content.items():
            target.pwrite(data, offset)

    return fill


def must_not_fill(target: BlockTarget) -> None:
    """A fill for where none may be called."""
    raise AssertionError("It was filled although there was nothing to fill.")


class Storage:
    """A driver on storage of its own. `directory` is the driver's, what lies beside it is not."""

    def __init__(
        self,
        open_driver: Callable[[Path], Driver],
        directory: Path,
        close_driver: Callable[[Driver], None] = lambda driver: None,
    ) -> None:
        self.open_driver = open_driver
        self.close_driver = close_driver
        self.directory = directory
        self.driver = self.another_driver()
        self.volumes: list[Volume] = []
        self.snapshots: list[Snapshot] = []
        self.pool = self.driver.get_volume_stats()[0].name

    def another_driver(self) -> Driver:
        """A driver on the storage, opened and checked as a worker does it at start."""
        driver = self.open_driver(self.directory)
        driver.check_for_setup_error()
        return driver

    def restart(self) -> Driver:
        """Let the driver go as the death of its worker does, and open a new one."""
        self.close_driver(self.driver)
        self.driver = self.another_driver()
        return self.driver

    def volume_record(self, size: int = 1, *, id: str | None = None) -> Volume:
        """A volume that only its record exists of."""
        volume = Volume(
            id=str(uuid.uuid4()) if id is None else id,
            project_id="project",
            user_id="user",
            size=size,
            status="creating",
            host=self.pool,
            created_at=clock.now(),
        )
        self.volumes.append(volume)
        return volume

    def snapshot_record(self, volume: Volume, *, id: str | None = None) -> Snapshot:
        """A snapshot that only its record exists of."""
        snapshot = Snapshot(
            id=str(uuid.uuid4()) if id is None else id,
            project_id="project",
            user_id="user",
            volume_id=volume.id,
            status="creating",
            volume_size=volume.size,
            host=volume.host,
            created_at=clock.now(),
        )
        self.snapshots.append(snapshot)
        return snapshot

    def volume(self, content: Content = EMPTY, size: int = 1) -> Volume:
        """A volume that holds `content`; not filled at all where that is empty."""
        volume = self.volume_record(size)
        self.driver.create_volume(volume)
        if content:
            self.write(volume, content)
        return volume

    def write(self, volume: Volume, content: Content) -> None:
        """Give a volume other content, all else zeros."""
        self.driver.copy_image_to_volume(volume, f"test:{uuid.uuid4()}", fill_with(content))

    def snapshot(self, volume: Volume) -> Snapshot:
        """A snapshot of a volume."""
        snapshot = self.snapshot_record(volume)
        self.driver.create_snapshot(snapshot, volume)
        return snapshot

    def from_snapshot(self, snapshot: Snapshot, size: int = 1) -> Volume:
        """A volume of a snapshot."""
        volume = self.volume_record(size)
        self.driver.create_volume_from_snapshot(volume, snapshot)
        return volume

    def clone(self, source: Volume, size: int = 1) -> Volume:
        """A volume of a volume."""
        volume = self.volume_record(size)
        self.driver.create_cloned_volume(volume, source)
        return volume

    def require_content(self, thing: Volume | Snapshot, content: Content, size: int = 1) -> None:
        """Hold that a volume or snapshot has `size` GiB, and `content`, and zeros everywhere else."""
        with self.driver.open_volume(thing) as source:
            assert source.size == size * GIB, f"{thing.storage_name} has {source.size} bytes, not {size} GiB"
            at = 0
            for extent in source.extents():
                assert extent.offset == at, f"extents skip from {at} to {extent.offset}"
                assert extent.length > 0, f"an extent at {at} is empty"
                end = at + extent.length
                for offset in range(at, end, PIECE) if extent.data else _starts(content, at, end):
                    length = min(PIECE, end - offset)
                    read = source.pread(length, offset)
                    same = read == cut(content, offset, length)
                    assert same, f"{thing.storage_name} differs between {offset} and {offset + length}"
                    assert extent.data or read == bytes(length), f"{thing.storage_name} has data in a hole at {offset}"
                at = end
            assert at == source.size, f"extents end at {at} of {source.size} bytes"

    def require_objects(self, *things: Volume | Snapshot) -> None:
        """Hold that the storage has these objects and no others, and nothing half made."""
        assert sorted(self.driver.list_objects()) == sorted(thing.storage_name for thing in things)

    def dies_in(self, act: Callable[[Driver, Callable[[], None]], None]) -> None:
        """Run `act(driver, die)` in another process, where `die` is a SIGKILL to it; then open the driver anew here."""
        self.close_driver(self.driver)
        child = os.fork()
        if child == 0:
            try:
                act(self.another_driver(), lambda: os.kill(os.getpid(), signal.SIGKILL))
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(1)
        _, status = os.waitpid(child, 0)
        self.driver = self.another_driver()
        assert os.WIFSIGNALED(status), "The driver's process ended before it was killed."

    def beside(self, act: Callable[[Driver], None], meanwhile: Callable[[], None]) -> None:
        """Run `act(driver)` in another process, with a driver of its own, and `meanwhile` here; hold that both succeed."""
        child = os.fork()
        if child == 0:
            failed = 1
            try:
                act(self.another_driver())
                failed = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(failed)
        try:
            meanwhile()
        finally:
            _, status = os.waitpid(child, 0)
        assert status == 0, "The driver failed in the other process."

    def dies_at(self, point: str, verb: str, *arguments: Any) -> None:
        """Call a verb in another process, which dies at its first passing of a kill point (of `killpoints`), or when the
        verb is over where the driver passes none; then open the driver anew here."""

        def act(driver: Driver, die: Callable[[], None]) -> None:
            killpoints.reached = lambda event: die() if event == point else None  # in a process that ends with this
            getattr(driver, verb)(*arguments)
            die()

        self.dies_in(act)

    def require_one_of(self, volume: Volume, *contents: Content) -> None:
        """Hold that a volume has one of these contents."""
        for content in contents[:-1]:
            with contextlib.suppress(AssertionError):
                return self.require_content(volume, content)
        self.require_content(volume, contents[-1])

    def clean(self) -> None:
        """Withdraw exports and delete all that was made, so that nothing runs on after a test."""
        self._manage_again()
        known = set(self.driver.list_objects())
        for volume in self.volumes:
            if self.driver.capabilities.replication and isinstance(self.driver, Replicates):
                self.driver.delete_replica(volume)
            if known & {volume.storage_name, f"{volume.storage_name}.tmp"}:
                self.driver.terminate_connection(volume, None)
                self.driver.delete_volume(volume)
        for snapshot in self.snapshots:
            if known & {snapshot.storage_name, f"{snapshot.storage_name}.tmp"}:
                self.driver.delete_snapshot(snapshot)

    def _manage_again(self) -> None:
        """Take back what a rule that failed has left unmanaged."""
        driver = self.driver
        if isinstance(driver, Manages):
            left = {one.reference.get("source-name") for one in driver.get_manageable_volumes()}
            for volume in [one for one in self.volumes if one.storage_name in left]:
                driver.manage_existing(volume, {"source-name": volume.storage_name})
            left = {one.reference.get("source-name") for one in driver.get_manageable_snapshots()}
            for snapshot in [one for one in self.snapshots if one.storage_name in left]:
                driver.manage_existing_snapshot(snapshot, {"source-name": snapshot.storage_name})


def write_through(connection: ConnectionInfo, content: Content) -> None:
    """Write as a connected client does, to stable storage. Skips the test for connections it cannot open."""
    path = connection["data"].get("device_path")
    if is_for_qemu(connection):
        with for_qemu(connection) as image:
            for offset, written in content.items():
                _qemu_write(image, offset, written)
    elif isinstance(path, str):
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            for offset, written in content.items():
                assert os.pwrite(fd, written, offset) == len(written)
            os.fsync(fd)
        finally:
            os.close(fd)
    else:
        pytest.skip(f"A connection of type {connection['driver_volume_type']} cannot be opened here.")


def is_for_qemu(connection: ConnectionInfo) -> bool:
    """Whether `for_qemu` knows how a connection is opened."""
    return connection["driver_volume_type"] in {"rbd", "iscsi"} or _nbd_uri(connection).startswith("nbd")


@contextlib.contextmanager
def for_qemu(connection: ConnectionInfo, initiator: str = CONNECTOR["initiator"]) -> Iterator[list[str]]:
    """The arguments by which a program of QEMU opens a connection: in Ceph on a host whose ceph.conf and keyring lie where
    Ceph looks for them, or CEPH_CONF says; over iSCSI as an initiator, by CHAP where the connection has a login."""
    data = connection["data"]
    if connection["driver_volume_type"] == "rbd":
        conf = os.environ.get("CEPH_CONF", "/etc/ceph/ceph.conf")
        yield ["--format", "raw", f"rbd:{data['name']}:id={data['auth_username']}:conf={conf}"]
    elif connection["driver_volume_type"] == "iscsi":
        image = {
            "driver": "raw",
            "file.driver": "iscsi",
            "file.transport": "tcp",
            "file.portal": data["target_portal"],
            "file.target": data["target_iqn"],
            "file.lun": data["target_lun"],
            "file.initiator-name": initiator,
        }
        with tempfile.NamedTemporaryFile("w") as secret:
            if "auth_username" in data:
                secret.write(data["auth_password"])
                secret.flush()
                image |= {"file.user": data["auth_username"], "file.password-secret": "chap"}
            options = ",".join(f"{key}={value}" for key, value in image.items())
            yield ["--object", f"secret,id=chap,file={secret.name}", "--image-opts", options]
    else:
        yield ["--format", "raw", _nbd_uri(connection)]


def _nbd_uri(connection: ConnectionInfo) -> str:
    return next((value for key in ("uri", "url") if isinstance(value := connection["data"].get(key), str)), "")


def _qemu_write(image: list[str], offset: int, written: bytes) -> None:
    """qemu-io writes patterns of one byte, so `written` is one."""
    assert len(set(written)) == 1
    order = f"write -P {written[0]} {offset} {len(written)}"
    commands.run([commands.find("qemu-io", "qemu-utils"), "-c", order, "-c", "flush", *image], timeout=30)


def _starts(content: Content, first: int, last: int) -> list[int]:
    """Where to look into a hole between `first` and `last`: its begin, and wherever content is or may have been."""
    known = [*content.items(), *FIRST.items(), *SECOND.items()]
    return [first, *(max(start, first) for start, data in known if start < last and start + len(data) > first)]


def cut(content: Content, offset: int, length: int) -> bytes:
    """What a volume that holds `content` reads as there."""
    cut = bytearray(length)
    for start, data in content.items():
        first, last = max(start, offset), min(start + len(data), offset + length)
        if first < last:
            cut[first - offset : last - offset] = data[first - start : last - start]
    return bytes(cut)


class Rules:
    """Where the rules get their storage from: `open_driver` of the test class that adopts them."""

    theme = FUNCTION
    kill_places = 3
    """At how many places, evenly spread, each verb is killed between two of its lines; beside its kill points."""
    fill_up_bytes = 512 << 20
    """Most that is written to fill a storage up; a larger one is not filled up."""

    def open_driver(self, directory: Path) -> Driver:
        """A driver that keeps everything below (or under a name derived from) `directory`.

        Called again with the same directory it opens the same storage: that is a restart.
        """
        raise NotImplementedError(f"{type(self).__name__} has to say how its driver is opened.")

    def close_driver(self, driver: Driver) -> None:
        """Release what the death of the process would: locks and open files, by `close` where the driver has it."""
        if isinstance(driver, Closes):
            driver.close()

    @pytest.fixture
    def storage(self, tmp_path: Path) -> Iterator[Storage]:
        """Fresh storage, cleaned when the test is over."""
        directory = tmp_path / "storage"
        directory.mkdir()
        storage = Storage(self.open_driver, directory, self.close_driver)
        yield storage
        storage.clean()
        self.close_driver(storage.driver)


def with_size(volume: Volume, size: int) -> Volume:
    """The same volume after its row says another size."""
    return msgspec.structs.replace(volume, size=size)


def everything_below(directory: Path, but: Path) -> dict[str, Any]:
    """All paths below `directory` outside `but`, with their kinds and contents."""
    found: dict[str, Any] = {}
    for path in directory.rglob("*"):
        if path != but and but not in path.parents:
            found[str(path)] = path.read_bytes() if path.is_file() else None
    return found
