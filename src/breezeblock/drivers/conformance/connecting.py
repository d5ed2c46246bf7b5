"""Rules for connections: a volume that a client can open is one that is not deleted."""

from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from breezeblock.drivers.conformance.clients import open_through
from breezeblock.drivers.conformance.storage import (
    CONNECTOR,
    EMPTY,
    FIRST,
    OTHER_CONNECTOR,
    PIECE,
    Content,
    Rules,
    Storage,
    with_size,
    write_through,
)
from breezeblock.drivers.conformance.themes import CLAIMS, IDEMPOTENCE, about
from breezeblock.errors import BackendInUse, BackendNotFound
from breezeblock.model.volume import Volume

WRITTEN: Content = {0: b"w" * 4096, 700 << 20: b"z" * 65536}
WRITTEN_LATER: Content = {0: b"l" * 4096, 700 << 20: b"z" * 65536}


class ConnectingRules(Rules):
    """initialize_connection, terminate_connection, ensure_export."""

    def test_a_connection_says_how(self, storage: Storage) -> None:
        """A connection has a type and data; asked again, also after a restart, it is the same connection."""
        volume = storage.volume()
        connection = storage.driver.initialize_connection(volume, CONNECTOR)
        assert isinstance(connection["driver_volume_type"], str)
        assert isinstance(connection["data"], dict)
        assert storage.driver.initialize_connection(volume, CONNECTOR) == connection
        driver = storage.restart()
        driver.ensure_export(volume)
        assert driver.initialize_connection(volume, CONNECTOR) == connection

    def test_a_connected_volume_is_not_deleted(self, storage: Storage) -> None:
        """Deleting an exported volume is BackendInUse and leaves it as it is; without the export it goes."""
        volume = storage.volume(FIRST)
        storage.driver.initialize_connection(volume, CONNECTOR)
        with pytest.raises(BackendInUse):
            storage.driver.delete_volume(volume)
        storage.require_objects(volume)
        storage.driver.terminate_connection(volume, CONNECTOR)
        storage.require_content(volume, FIRST)
        storage.driver.delete_volume(volume)
        storage.require_objects()

    def test_a_connection_outlives_the_driver(self, storage: Storage) -> None:
        """A restarted driver knows, once it has ensured the export, that a volume is in use."""
        volume = storage.volume()
        storage.driver.initialize_connection(volume, CONNECTOR)
        driver = storage.restart()
        driver.ensure_export(volume)
        with pytest.raises(BackendInUse):
            driver.delete_volume(volume)
        driver.terminate_connection(volume, None)
        driver.delete_volume(volume)

    @about(IDEMPOTENCE)
    def test_terminating_twice(self, storage: Storage) -> None:
        """Ending a connection that is not there succeeds, for one connector or all, even of a volume that is gone."""
        volume = storage.volume()
        for connector in (CONNECTOR, None):
            storage.driver.terminate_connection(volume, connector)
        storage.driver.initialize_connection(volume, CONNECTOR)
        for connector in (CONNECTOR, CONNECTOR, None):
            storage.driver.terminate_connection(volume, connector)
        storage.driver.delete_volume(volume)
        for connector in (CONNECTOR, None):
            storage.driver.terminate_connection(volume, connector)
        storage.require_objects()

    def test_no_connection_to_nothing(self, storage: Storage) -> None:
        """Connecting, or ensuring the export of, a volume that is not there is BackendNotFound."""
        with pytest.raises(BackendNotFound):
            storage.driver.initialize_connection(storage.volume_record(), CONNECTOR)
        with pytest.raises(BackendNotFound):
            storage.driver.ensure_export(storage.volume_record())
        storage.require_objects()

    def test_what_a_client_writes(self, storage: Storage) -> None:
        """What a client wrote through its connection is in the volume; a clone made earlier does not see it."""
        volume = storage.volume()
        clone = storage.clone(volume)
        self._write(storage, volume, WRITTEN)
        storage.require_content(volume, WRITTEN)
        storage.require_content(clone, EMPTY)

    def test_a_clone_is_written_alone(self, storage: Storage) -> None:
        """What a client writes to a volume, its clone or a copy of its snapshot is in that one and in no other."""
        volume = storage.volume(WRITTEN)
        snapshot = storage.snapshot(volume)
        family = [storage.clone(volume), volume, storage.from_snapshot(snapshot)]
        expected = [dict(WRITTEN) for _ in family]
        for number, written in enumerate(family):
            expected[number][0] = bytes([number + 1]) * 4096
            self._write(storage, written, {0: expected[number][0]})
            for thing, content in zip(family, expected, strict=True):
                storage.require_content(thing, content)
            storage.require_content(snapshot, WRITTEN)

    def test_a_snapshot_of_a_connected_volume(self, storage: Storage) -> None:
        """A snapshot taken under a client has what the client had flushed, and nothing that it wrote later."""
        volume = storage.volume()
        connection = storage.driver.initialize_connection(volume, CONNECTOR)
        write_through(connection, WRITTEN)
        snapshot = storage.snapshot(volume)
        clone = storage.clone(volume)
        write_through(storage.driver.initialize_connection(volume, CONNECTOR), WRITTEN_LATER)
        storage.require_content(snapshot, WRITTEN)
        storage.require_content(clone, WRITTEN)
        storage.driver.terminate_connection(volume, CONNECTOR)
        storage.require_content(volume, WRITTEN_LATER)

    @about(CLAIMS)
    def test_a_connected_volume_grows(self, storage: Storage) -> None:
        """Where online_extend is claimed, a connected volume grows, stays connected and keeps what was written."""
        if not storage.driver.capabilities.online_extend:
            pytest.skip("The driver does not claim online_extend.")
        volume = storage.volume()
        write_through(storage.driver.initialize_connection(volume, CONNECTOR), WRITTEN)
        storage.driver.extend_volume(volume, 2)
        beyond = {(1 << 30) + 4096: b"b" * 4096}
        write_through(storage.driver.initialize_connection(with_size(volume, 2), CONNECTOR), beyond)
        with pytest.raises(BackendInUse):
            storage.driver.delete_volume(volume)
        storage.driver.terminate_connection(volume, None)
        storage.require_content(volume, {**WRITTEN, **beyond}, size=2)

    @about(CLAIMS)
    def test_two_connectors(self, storage: Storage) -> None:
        """Where multiattach is claimed, a volume is in use until the last connector has left it."""
        volume = self._shared(storage)
        storage.driver.initialize_connection(volume, CONNECTOR)
        storage.driver.initialize_connection(volume, OTHER_CONNECTOR)
        storage.driver.terminate_connection(volume, CONNECTOR)
        with pytest.raises(BackendInUse):
            storage.driver.delete_volume(volume)
        storage.driver.terminate_connection(volume, OTHER_CONNECTOR)
        storage.driver.delete_volume(volume)

    @about(CLAIMS)
    def test_two_clients_write_at_once(self, storage: Storage) -> None:
        """Where multiattach is claimed, each of two clients reads what the other flushed; so does a snapshot under both."""
        volume = self._shared(storage)
        connections = [storage.driver.initialize_connection(volume, one) for one in (CONNECTOR, OTHER_CONNECTOR)]
        ours = [
            {place * PIECE + PIECE * 8 * number: bytes([number + 1]) * PIECE for place in range(8)} for number in (0, 1)
        ]
        with open_through(connections[0]) as first, open_through(connections[1]) as second:
            clients = (first, second)
            with ThreadPoolExecutor(2) as at_once:
                list(at_once.map(lambda client, content: client.write(content), clients, ours))
            for client, theirs in zip(clients, reversed(ours), strict=True):
                assert all(client.read(len(data), offset) == data for offset, data in theirs.items())
            snapshot = storage.snapshot(volume)
            first.write({0: b"1" * 4096})
            second.write({4096: b"2" * 4096})
            assert [client.read(8192, 0) for client in clients] == [b"1" * 4096 + b"2" * 4096] * 2
        storage.require_content(snapshot, ours[0] | ours[1])
        storage.driver.terminate_connection(volume, None)
        whole = {0: b"1" * 4096 + b"2" * 4096 + ours[0][0][8192:]}
        storage.require_content(volume, ours[0] | ours[1] | whole)

    @about(CLAIMS)
    def test_one_of_two_clients_leaves(self, storage: Storage) -> None:
        """Where multiattach is claimed, who stays is not cut when another leaves, also after a restart, and may grow."""
        volume = self._shared(storage)
        staying = storage.driver.initialize_connection(volume, CONNECTOR)
        storage.driver.initialize_connection(volume, OTHER_CONNECTOR)
        with open_through(staying) as client:
            client.write(WRITTEN)
            storage.restart().ensure_export(volume)
            storage.driver.terminate_connection(volume, OTHER_CONNECTOR)
            storage.driver.terminate_connection(volume, OTHER_CONNECTOR)
            client.write(WRITTEN_LATER)
            assert client.read(4096, 0) == WRITTEN_LATER[0]
        if storage.driver.capabilities.online_extend:
            storage.driver.extend_volume(volume, 2)
            volume = with_size(volume, 2)
            with open_through(storage.driver.initialize_connection(volume, CONNECTOR)) as client:
                client.write({1 << 30: b"b" * 4096})
        storage.driver.terminate_connection(volume, CONNECTOR)
        grown = {1 << 30: b"b" * 4096} if volume.size == 2 else {}
        storage.require_content(volume, {**WRITTEN_LATER, **grown}, size=volume.size)
        storage.driver.delete_volume(volume)

    def _shared(self, storage: Storage) -> Volume:
        if not storage.driver.capabilities.multiattach:
            pytest.skip("The driver does not claim multiattach.")
        return msgspec.structs.replace(storage.volume(), multiattach=True)

    def _write(self, storage: Storage, volume: Volume, content: Content) -> None:
        write_through(storage.driver.initialize_connection(volume, CONNECTOR), content)
        storage.driver.terminate_connection(volume, CONNECTOR)
