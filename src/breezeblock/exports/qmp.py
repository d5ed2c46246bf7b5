"""QEMU's machine protocol, as far as export daemons need it: one JSON object a line over a Unix socket."""

import json
import secrets
import socket
import struct
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from breezeblock.errors import BackendInUse, BackendNotFound, BackendOutOfSpace, BackendTransient, DriverError

GREETING_SECONDS = 10.0
ANSWER_SECONDS = 90.0
"""A live snapshot or a withdrawal first flushes what the clients wrote, and waits for reads that wait for a remote disk
(`RECONNECT_SECONDS`), so an answer may take a while."""

KINDS: list[tuple[str, type[DriverError]]] = [
    ("No space left on device", BackendOutOfSpace),
    ("Disk quota exceeded", BackendOutOfSpace),
    ("No such file or directory", BackendNotFound),
    ("is not found", BackendNotFound),
    ("Failed to find node", BackendNotFound),
    ("Failed to get ", BackendInUse),  # … "write" lock
    (" in use", BackendInUse),
    (" is busy", BackendInUse),
]
"""What QEMU's messages contain, since nearly all its errors share the class GenericError."""


class DaemonGone(BackendTransient):
    """The export daemon has ended."""


class QmpClient:
    """One connection, used as a context. A daemon talks to one client at a time: hold it briefly.

    Raises:
        DaemonGone: nobody listens at the socket, or the daemon ended while it was asked.
        BackendTransient: the daemon does not answer in time.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._buffer = b""
        self._events: list[dict[str, Any]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._connect()
            if "QMP" not in self._receive():
                raise DriverError(f"What listens at {path} does not greet as QEMU does.")
            self.execute("qmp_capabilities")
            self._socket.settimeout(ANSWER_SECONDS)
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._socket.close()

    @property
    def peer(self) -> int:
        """The process id of the daemon, as the kernel knows it of this socket."""
        credentials = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return int(struct.unpack("3i", credentials)[0])

    def execute(self, command: str, **arguments: Any) -> Any:
        """Run a command; underscores in argument names stand for QMP's dashes. Returns what it returned.

        Raises the `DriverError` whose kind its error message tells, next to what the class promises.
        """
        message = {
            "execute": command,
            "id": secrets.token_hex(8),
            "arguments": {name.replace("_", "-"): value for name, value in arguments.items()},
        }
        try:
            self._socket.sendall(json.dumps(message).encode() + b"\n")
        except TimeoutError as error:
            raise self._silent() from error
        except ConnectionError as error:
            raise DaemonGone from error
        while True:
            answer = self._receive()
            if "event" in answer:
                self._events.append(answer)
            elif answer.get("id") != message["id"]:
                # a second greeting, or what a client before this one did not wait for
                continue
            elif "error" in answer:
                raise _failure(command, str(answer["error"]["desc"]))
            else:
                return answer["return"]

    def wait_for(self, event: str, **data: Any) -> None:
        """Wait until the daemon has told, on this connection, of an event with at least this `data`."""
        while True:
            while self._events:
                seen = self._events.pop(0)
                if seen["event"] == event and data.items() <= seen.get("data", {}).items():
                    return
            message = self._receive()
            if "event" in message:
                self._events.append(message)

    def _connect(self) -> None:
        try:
            # a socket that is in Python's own timeout mode would not wait for a place in the daemon's short queue
            limit = struct.pack("ll", int(GREETING_SECONDS), int(GREETING_SECONDS % 1 * 1e6))
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
            self._socket.connect(str(self._path))
            self._socket.settimeout(GREETING_SECONDS)
        except (ConnectionError, FileNotFoundError) as error:
            raise DaemonGone(f"No export daemon listens at {self._path}.") from error
        except (TimeoutError, BlockingIOError) as error:
            raise self._silent() from error

    def _receive(self) -> dict[str, Any]:
        while b"\n" not in self._buffer:
            try:
                piece = self._socket.recv(1 << 16)
            except TimeoutError as error:
                raise self._silent() from error
            except ConnectionError as error:
                raise DaemonGone from error
            if not piece:
                raise DaemonGone
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message

    def _silent(self) -> BackendTransient:
        return BackendTransient(
            f"The export daemon at {self._path} did not answer within {self._socket.gettimeout() or GREETING_SECONDS:g} s."
        )


def _failure(command: str, description: str) -> DriverError:
    kind = next((kind for words, kind in KINDS if words in description), DriverError)
    return kind(f"The export daemon refused {command}: {description}")
