"""A volume of another backend, read through the connection that its own worker made."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from breezeblock.drivers.contract import BlockSource, ConnectionInfo
from breezeblock.drivers.simulated.sparse import open_sparse
from breezeblock.errors import BackendTransient, NotSupportedByBackend
from breezeblock.images.nbd_reader import NbdReader

PATIENCE_SECONDS = 60


@contextmanager
def open_connected(info: ConnectionInfo, size: int) -> Iterator[BlockSource]:
    """The volume of `size` bytes behind a connection_info: an NBD export at a Unix socket, or a file or device.

    Raises `NotSupportedByBackend` for another kind of connection, `BackendTransient` where it cannot be reached.
    """
    data = info["data"]
    if info["driver_volume_type"] == "nbd" and data.get("socket"):
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(PATIENCE_SECONDS)
                connection.connect(data["socket"])
                yield NbdReader(connection, data["export"])
        except OSError as error:
            raise BackendTransient(f"The volume cannot be read from where it is exported: {error}.") from error
    elif info["driver_volume_type"] == "local":
        with open_sparse(Path(data["device_path"]), size) as source:
            yield source
    else:
        raise NotSupportedByBackend(f"A connection of type {info['driver_volume_type']} cannot be read here.")
