"""Volumes for hosts that have no Ceph: served over NBD, by export daemons of this machine that open the images.

Which hosts were told so is noted beside the other connections in the pool, with the address that the daemon has there:
a daemon that was killed is still a watcher of its image, and may own its lock, until it is shut out.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from breezeblock.drivers.contract import ConnectionInfo, Connector, who_connects
from breezeblock.drivers.rbd.cluster import Cluster
from breezeblock.drivers.rbd.connecting import Connections
from breezeblock.drivers.rbd.wire import Access
from breezeblock.exports.connection import connection_of, is_writable
from breezeblock.exports.nbd import CephImage, NbdExports
from breezeblock.model.volume import Volume

ASKED = "nbd"
"""What a connector says as its `driver_volume_type`."""


class Exporting:
    """The exports of one backend, adopted at first use. Whoever calls holds the volume."""

    def __init__(
        self, run_dir: Path, cluster: Cluster, access: Access, connections: Connections, hosts: Sequence[str]
    ) -> None:
        self._run_dir = run_dir
        self._cluster = cluster
        self._access = access
        self._connections = connections
        self._hosts = frozenset(hosts)
        self._lock = threading.Lock()
        self._made: NbdExports | None = None

    def is_for(self, connector: Connector) -> bool:
        """Whether a host gets an export."""
        return connector.get("driver_volume_type") == ASKED or who_connects(connector) in self._hosts

    def connect(self, volume: Volume, connector: Connector) -> ConnectionInfo:
        """Note the host, serve the volume, and tell where."""
        name = volume.storage_name
        address = next(iter(self._connections.exported(name).values()), "")
        self._connections.add_exported(name, connector, address)
        return connection_of(self._serve(volume), volume)

    def ensure(self, volume: Volume) -> None:
        """Serve the volume if a host was told so and it is not served; clients that are connected stay so."""
        if self._connections.exported(volume.storage_name):
            self._serve(volume)

    def leave(self, name: str, connector: Connector | None) -> None:
        """Serve a volume no more when its last such host leaves; clients that are still on are cut."""
        exported = self._connections.exported(name)
        if exported and not exported.keys() - self._connections.keys_of(name, connector):
            self._withdraw(name)

    @contextmanager
    def cut(self, volume: Volume) -> Iterator[None]:
        """Have no client over NBD in the block, since QEMU does not grow under one; they connect again after it."""
        if not self._connections.exported(volume.storage_name):
            yield
            return
        self._withdraw(volume.storage_name)
        try:
            yield
        finally:
            self._serve(volume)

    def close(self) -> None:
        """Leave the daemons running and forget them."""
        with self._lock:
            if self._made is not None:
                self._made.close()
                self._made = None

    def end(self) -> None:
        """End the daemons of this backend, whoever is connected: it works elsewhere from now on."""
        if self._run_dir.exists():
            self._exports.shutdown()

    @property
    def _exports(self) -> NbdExports:
        with self._lock:
            if self._made is None:
                made = NbdExports(self._run_dir)
                made.adopt()
                self._made = made
            return self._made

    def _serve(self, volume: Volume) -> str:
        name = volume.storage_name
        served = self._exports.uri(name)
        if served is not None:
            return served
        self._shut_out(name)
        access = self._access
        image = CephImage(pool=access.pool, image=name, conf=access.conf, user=access.user, shared=volume.multiattach)
        before = self._watchers(name)
        uri = self._exports.export(name, image, is_writable(volume))
        new = self._watchers(name) - before
        # a writer watches its image: where one came it is the daemon, of several nobody knows which
        self._connections.note_exporter(name, new.pop() if len(new) == 1 else "")
        return uri

    def _withdraw(self, name: str) -> None:
        self._exports.withdraw(name, force=True)
        self._shut_out(name)

    def _shut_out(self, name: str) -> None:
        """Whoever served a volume and was killed has the image no more, nor its lock."""
        stale = self._watchers(name) & set(self._connections.exported(name).values())
        if stale:
            self._cluster.call("shut_out", sorted(stale))

    def _watchers(self, name: str) -> set[str]:
        found = self._cluster.call("info", name, None)
        return set() if found is None else set(found["watchers"])
