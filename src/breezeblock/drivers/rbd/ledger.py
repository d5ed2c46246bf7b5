"""Who may have which volume open, as the pool itself has it written down: the omap of one object."""

import contextlib
from typing import Any

CONNECTIONS = "breezeblock.connections"
"""The object whose omap has a key for each connection: VOLUME/CONNECTOR, for one by NBD VOLUME/CONNECTOR.nbd with the
address of who serves it."""

LISTED = 1000
"""How many are asked for at once."""


class Ledger:
    """The connections that are noted in a pool."""

    def __init__(self, rados: Any, io: Any) -> None:
        self._rados = rados
        self._io = io

    def add_connection(self, key: str, value: str = "") -> None:
        """Write down a connection."""
        with self._rados.WriteOpCtx() as operation:
            self._io.set_omap(operation, (key,), (value.encode(),))
            self._io.operate_write_op(operation, CONNECTIONS)

    def remove_connections(self, keys: list[str]) -> None:
        """Forget connections."""
        with self._rados.WriteOpCtx() as operation, contextlib.suppress(self._rados.ObjectNotFound):
            self._io.remove_omap_keys(operation, tuple(keys))
            self._io.operate_write_op(operation, CONNECTIONS)

    def connections(self, prefix: str) -> dict[str, str]:
        """The keys of all connections that begin so, and what is noted with each."""
        found: dict[str, str] = {}
        after = ""
        while True:
            with self._rados.ReadOpCtx() as operation:
                pairs, _ = self._io.get_omap_vals(operation, after, prefix, LISTED)
                try:
                    self._io.operate_read_op(operation, CONNECTIONS)
                except self._rados.ObjectNotFound:
                    return found
                page = {key: bytes(value or b"").decode() for key, value in pairs}
            found |= page
            if len(page) < LISTED:
                return found
            after = max(page)
