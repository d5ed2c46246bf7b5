"""Volumes on a real Ceph for hosts without it: the same rules over NBD, growth under a client, and daemons that are killed."""

import json
import os
import signal
import stat
import subprocess
from pathlib import Path

import msgspec
import pytest

from breezeblock.drivers.conformance import Storage
from breezeblock.drivers.conformance.clients import open_through
from breezeblock.drivers.conformance.connecting import ConnectingRules
from breezeblock.drivers.conformance.storage import CONNECTOR, FIRST, OTHER_CONNECTOR, PIECE, Content, with_size
from breezeblock.drivers.contract import ConnectionInfo
from breezeblock.errors import BackendInUse
from breezeblock.model.volume import Volume
from scripts.service import export_daemons
from tests.ceph import Ceph
from tests.real.test_rbd_conformance import RbdStorage

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

ASKING = {**CONNECTOR, "driver_volume_type": "nbd"}
WRITTEN: Content = {0: b"w" * PIECE, 600 << 20: b"z" * PIECE}
BEHIND: Content = {(1 << 30) + 4096: b"b" * 4096}


class TestRbdOverNbd(RbdStorage, ConnectingRules):
    """The rules for connections, of hosts that `rbd_nbd_hosts` names."""

    options = {"rbd_nbd_hosts": "conformance, other"}


class TestExports(RbdStorage):
    """What the rules do not say."""

    def test_who_asks_gets_one(self, storage: Storage, ceph: Ceph) -> None:
        """Others get Cinder's connection_info of RBD, also of the same volume; no key stands where others could read it."""
        volume = storage.volume(FIRST)
        connection = storage.driver.initialize_connection(volume, ASKING)
        assert (connection["driver_volume_type"], connection["data"]["access_mode"]) == ("nbd", "rw")
        assert storage.driver.initialize_connection(volume, OTHER_CONNECTOR)["driver_volume_type"] == "rbd"
        _qemu_io(connection["data"]["uri"], "read -P 165 1049088 64k")
        run_dir = storage.directory / "run" / "nbd" / "conformance"
        for path in run_dir.iterdir():
            assert path.is_symlink() or stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
        key = (ceph.home / "ceph.client.cinder.keyring").read_text().partition("key = ")[2].strip()
        for pid in export_daemons(storage.directory):
            for told in ("cmdline", "environ"):
                assert key not in Path(f"/proc/{pid}/{told}").read_text(), told
        storage.driver.terminate_connection(volume, ASKING)
        assert export_daemons(storage.directory) == []
        with pytest.raises(BackendInUse):
            storage.driver.delete_volume(volume)

    def test_a_read_only_volume(self, storage: Storage) -> None:
        """Is served so."""
        volume = storage.volume(FIRST)
        volume.admin_metadata["readonly"] = "True"
        data = storage.driver.initialize_connection(volume, ASKING)["data"]
        assert data["access_mode"] == "ro"
        _qemu_io(data["uri"], "read -P 165 1049088 64k", "-r")
        with pytest.raises(subprocess.CalledProcessError):
            _qemu_io(data["uri"], "write 0 64k")

    def test_growth_is_seen_by_the_client(self, storage: Storage, ceph: Ceph) -> None:
        """After it has connected again, at the same place; what it wrote before is there."""
        volume = storage.volume()
        connection = storage.driver.initialize_connection(volume, ASKING)
        with pytest.raises(ConnectionError):
            self._grow(storage, volume, connection)
        with open_through(connection) as client:
            assert _size(connection["data"]["uri"]) == 2 << 30
            client.write(BEHIND)
            assert client.read(PIECE, 0) == WRITTEN[0]
        assert storage.driver.initialize_connection(with_size(volume, 2), ASKING) == connection
        storage.driver.terminate_connection(volume, None)
        storage.require_content(volume, {**WRITTEN, **BEHIND}, size=2)

    def _grow(self, storage: Storage, volume: Volume, connection: ConnectionInfo) -> None:
        with open_through(connection) as client:
            client.write(WRITTEN)
            assert _size(connection["data"]["uri"]) == 1 << 30
            storage.driver.extend_volume(volume, 2)
            client.read(PIECE, 0)

    def test_a_worker_that_dies(self, storage: Storage) -> None:
        """Its daemon goes on serving, and the next worker's driver withdraws it."""
        volume = storage.volume()
        with open_through(storage.driver.initialize_connection(volume, ASKING)) as client:
            (daemon,) = export_daemons(storage.directory)
            storage.restart().ensure_export(volume)
            assert export_daemons(storage.directory) == [daemon]
            client.write(WRITTEN)
            storage.driver.extend_volume(volume, 1)
            assert client.read(PIECE, 0) == WRITTEN[0]
        storage.driver.terminate_connection(volume, ASKING)
        assert export_daemons(storage.directory) == []
        storage.require_content(volume, WRITTEN)

    @pytest.mark.parametrize("shared", [False, True])
    def test_a_daemon_that_dies(self, storage: Storage, shared: bool) -> None:
        """The volume is served again at the same place, and written at once: its lock does not wait for the dead."""
        volume = _shared(storage) if shared else storage.volume()
        connection = storage.driver.initialize_connection(volume, ASKING)
        for number in (1, 2):
            _qemu_io(connection["data"]["uri"], f"write -P {number} {number}M 64k")
            _kill_daemons(storage)
            storage.driver.ensure_export(volume)
        _qemu_io(connection["data"]["uri"], "read -P 1 1M 64k")
        _qemu_io(connection["data"]["uri"], "read -P 2 2M 64k")
        _qemu_io(connection["data"]["uri"], "write -P 3 3M 64k")
        _kill_daemons(storage)
        storage.restart()
        storage.driver.terminate_connection(volume, ASKING)
        storage.require_content(volume, {number << 20: bytes([number]) * 65536 for number in (1, 2, 3)})
        storage.driver.delete_volume(volume)
        storage.require_objects()

    def test_growth_that_was_cut_short(self, storage: Storage) -> None:
        """A worker that dies between the growth and the new export leaves the rest to the next one."""
        volume = storage.volume()
        connection = storage.driver.initialize_connection(volume, ASKING)
        for point in ("after_withdraw", "before_serve", "after_serve"):
            size = volume.size + 1
            storage.dies_at(point, "extend_volume", volume, size)
            storage.driver.extend_volume(volume, size)
            volume = with_size(volume, size)
            assert storage.driver.initialize_connection(volume, ASKING) == connection
            assert _size(connection["data"]["uri"]) == size << 30, point
        storage.driver.terminate_connection(volume, None)
        storage.driver.delete_volume(volume)
        assert export_daemons(storage.directory) == []

    def test_clients_of_both_kinds(self, storage: Storage) -> None:
        """Two hosts write to one volume, one with Ceph and one without; each reads what the other flushed."""
        volume = _shared(storage)
        ours, theirs = (storage.driver.initialize_connection(volume, one) for one in (ASKING, OTHER_CONNECTOR))
        with open_through(ours) as first, open_through(theirs) as second:
            for number in range(8):
                for writer, reader in ((first, second), (second, first)):
                    content = bytes([number + 1]) * (4096 if writer is first else 8192)
                    writer.write({number << 20: content})
                    assert reader.read(len(content), number << 20) == content
        storage.driver.terminate_connection(volume, ASKING)
        with open_through(theirs) as second:
            second.write({0: b"2" * 4096})
            assert second.read(4096, 0) == b"2" * 4096
        storage.driver.terminate_connection(volume, OTHER_CONNECTOR)


def _shared(storage: Storage) -> Volume:
    """A volume of a multi-attach type."""
    volume = msgspec.structs.replace(storage.volume_record(), multiattach=True)
    storage.driver.create_volume(volume)
    return volume


def _kill_daemons(storage: Storage) -> None:
    for pid in export_daemons(storage.directory):
        os.kill(pid, signal.SIGKILL)


def _qemu_io(uri: str, order: str, *options: str) -> None:
    subprocess.run(["qemu-io", *options, "-f", "raw", "-c", order, "-c", "flush", uri], check=True, capture_output=True)


def _size(uri: str) -> int:
    command = ["qemu-img", "info", "--output=json", "-f", "raw", uri]
    told = subprocess.run(command, check=True, capture_output=True).stdout
    return int(json.loads(told)["virtual-size"])
