"""How a host opens a volume (Cinder's `initialize_connection` of RBD), and who was told so."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from breezeblock.drivers.contract import ConnectionInfo, Connector, who_connects
from breezeblock.drivers.rbd.cluster import Cluster
from breezeblock.errors import ConfigError
from breezeblock.model.volume import Volume

EXPORTED = ".nbd"
"""How the key of a host ends that was told of an export."""


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """What hosts are told beside the name of a volume."""

    cluster_name: str
    pool: str
    user: str | None
    secret_uuid: str | None
    keyring_path: str | None


class Connections:
    """Who may have which volume open. Kept in the pool, so that they outlive whoever made them."""

    def __init__(self, cluster: Cluster, credentials: Credentials) -> None:
        self._cluster = cluster
        self._told = credentials

    def add(self, volume: Volume, connector: Connector) -> ConnectionInfo:
        """Note the connection, and say how the volume is opened."""
        self._cluster.call("add_connection", _key(volume.storage_name, connector))
        return self._info(volume)

    def remove(self, name: str, connector: Connector | None) -> None:
        """Forget a connection, or all of a volume; none is done."""
        keys = self.keys_of(name, connector)
        if keys:
            self._cluster.call("remove_connections", sorted(keys))

    def keys_of(self, name: str, connector: Connector | None) -> set[str]:
        """What one host is noted by, or all that there are."""
        if connector is None:
            return set(self._of(name))
        key = _key(name, connector)
        return {key, key + EXPORTED}

    def add_exported(self, name: str, connector: Connector, address: str) -> None:
        """Note a host that opens the volume over NBD, and the address of who serves it."""
        self._cluster.call("add_connection", _key(name, connector) + EXPORTED, address)

    def exported(self, name: str) -> dict[str, str]:
        """The keys of all hosts that were told of an export, each with the address of who serves it, "" if not known."""
        return {key: address for key, address in self._of(name).items() if key.endswith(EXPORTED)}

    def note_exporter(self, name: str, address: str) -> None:
        """Write down who serves a volume now."""
        for key in self.exported(name):
            self._cluster.call("add_connection", key, address)

    def restore(self, name: str) -> None:
        """A volume that an attachment is for has a connection, whatever became of what was noted."""
        if not self._of(name):
            self._cluster.call("add_connection", f"{name}/")

    def any_of(self, name: str) -> bool:
        """Whether anybody may have the volume open."""
        return bool(self._of(name))

    def names(self) -> Iterator[str]:
        """The names of all volumes that anybody may have open."""
        yield from sorted({key.partition("/")[0] for key in self._cluster.call("connections", "")})

    def _of(self, name: str) -> dict[str, str]:
        keys: dict[str, str] = self._cluster.call("connections", f"{name}/")
        return keys

    def _info(self, volume: Volume) -> ConnectionInfo:
        hosts, ports = [], []
        for address in self._cluster.call("monitors"):
            host, _, port = address.partition("/")[0].rpartition(":")
            hosts.append(host.strip("[]"))
            ports.append(port)
        told = self._told
        data = {
            "name": f"{told.pool}/{volume.storage_name}",
            "hosts": hosts,
            "ports": ports,
            "cluster_name": told.cluster_name,
            "auth_enabled": told.user is not None,
            "auth_username": told.user,
            "secret_type": "ceph",
            "secret_uuid": told.secret_uuid,
            "volume_id": volume.id,
            "discard": True,
        }
        if told.keyring_path:
            data["keyring"] = _read(told.keyring_path)
        return {"driver_volume_type": "rbd", "data": data}


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError as error:
        raise ConfigError(f"The keyring {path} (rbd_keyring_conf) cannot be read: {error.strerror}.") from error


def _key(name: str, connector: Connector) -> str:
    """One host is one key, whatever it is called and whatever else it says of itself."""
    return f"{name}/{hashlib.sha256(who_connects(connector).encode()).hexdigest()[:32]}"
