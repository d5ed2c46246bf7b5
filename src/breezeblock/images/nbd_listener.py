"""Serves exports by name at a Unix socket: where a storage reads what it does not hold yet.

Requests of one client are answered side by side, so that one that waits for a service that is away holds up no other.
"""

import contextlib
import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from breezeblock.images.nbd_server import Export, NbdSession

AT_ONCE = 16
"""Requests of one client that are worked on at once, which is what qemu sends."""
LARGEST = 2 << 20
"""Bytes of one request; with `AT_ONCE` it bounds the memory that a client can take."""
PUBLISH_SECONDS = 5.0
"""How long a client waits for an export that is not there yet: after a start they come one after the other."""


class Listed(Export, Protocol):
    """An export whose reads may wait."""

    def close(self) -> None:
        """Let reads that wait fail at once."""


class NbdListener:
    """Listens from `start` to `close`. Exports come and go at any time, by any thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._changed = threading.Condition()
        self._exports: dict[str, Listed] = {}
        self._clients: dict[int, _Client] = {}
        self._closed = False
        self._thread = threading.Thread(target=self._accept, name="nbd-listener", daemon=True)

    def start(self) -> None:
        """Take the place of whoever listened at this path before and is dead, by one act."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = self.path.with_name(f"{self.path.name}.new")
        fresh.unlink(missing_ok=True)
        self._socket.bind(os.fspath(fresh))
        self._socket.listen(64)
        fresh.rename(self.path)
        self._thread.start()

    def close(self) -> None:
        """Serve nobody any more; clients see the end of their connections."""
        with self._changed:
            self._closed = True
            clients, exports = list(self._clients.values()), list(self._exports.values())
            self._changed.notify_all()
        with contextlib.suppress(OSError):  # never started
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for client in clients:
            client.shut()
        for export in exports:
            export.close()
        if self._thread.is_alive():
            self._thread.join()

    def publish(self, name: str, export: Listed) -> None:
        """Serve `export` by this name from now on."""
        with self._changed:
            self._exports[name] = export
            self._changed.notify_all()

    def find(self, name: str) -> Listed | None:
        """What is served by this name now."""
        with self._changed:
            return self._exports.get(name)

    def withdraw(self, name: str) -> None:
        """Serve it no more to those who come; gone is done."""
        with self._changed:
            self._exports.pop(name, None)

    def _awaited(self, name: str) -> Listed | None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or name in self._exports, PUBLISH_SECONDS)
            return self._exports.get(name)

    def _accept(self) -> None:
        while True:
            try:
                server, _ = self._socket.accept()
            except OSError:
                return  # closed
            client = _Client(server, self._awaited, LARGEST)
            with self._changed:
                if self._closed:
                    server.close()
                    return
                self._clients[id(client)] = client
            threading.Thread(target=self._serve, args=(client,), name="nbd-client", daemon=True).start()

    def _serve(self, client: "_Client") -> None:
        try:
            client.serve()
        finally:
            with self._changed:
                del self._clients[id(client)]
            client.end()


class _Client(NbdSession):
    """A connection whose requests are answered as they are done, not as they came."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="nbd-request")
        self._room = threading.Semaphore(AT_ONCE)
        self._sending = threading.Lock()

    def end(self) -> None:
        """Let the last requests end, and close the socket."""
        self._threads.shutdown(wait=True)
        self._server.close()

    def _handle(self, handle: int, kind: int, data: memoryview, offset: int, length: int) -> None:
        self._room.acquire()
        self._threads.submit(self._work, handle, kind, data, offset, length)

    def _work(self, handle: int, kind: int, data: memoryview, offset: int, length: int) -> None:
        try:
            code, answer = self._do(kind, data, offset, length)
            with self._sending:
                self._reply(handle, code, answer)
        except OSError:
            self.shut()  # the client is gone
        finally:
            self._room.release()
