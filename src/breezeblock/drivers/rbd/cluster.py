"""The cluster as the worker asks it: calls to a process of its own that may hang, is then killed, and started anew.

While the cluster is silent one caller at a time tries to reach it again; all others are told so at once, so that they
keep no thread waiting that another backend needs.
"""

import contextlib
import itertools
import logging
import queue
import socket
import struct
import subprocess
import sys
import threading
import time
from typing import Any, Self

import msgspec

from breezeblock import commands
from breezeblock.drivers import copying
from breezeblock.drivers.rbd.wire import Access, Answer, Call, Wire
from breezeblock.errors import (
    BackendInUse,
    BackendNotFound,
    BackendOutOfSpace,
    BackendTransient,
    BreezeblockError,
    ConfigError,
    DriverError,
    NotSupportedByBackend,
)

LOG = logging.getLogger(__name__)

ERRORS: dict[str, type[BreezeblockError]] = {
    "config": ConfigError,
    "not_found": BackendNotFound,
    "in_use": BackendInUse,
    "transient": BackendTransient,
    "lost": BackendTransient,
    "unable": NotSupportedByBackend,
}
LEAVE_SECONDS = 5
START_SECONDS = 60
"""What a process may need to start on a machine that is busy."""


class Cluster:
    """Connections to one pool, one after the other. Its threads may share this object."""

    def __init__(self, access: Access, owner: str, *, timeout: int, retries: int, interval: int) -> None:
        self._access = access
        self._owner = owner
        self._timeout = timeout
        self._retries = retries
        self._interval = interval
        self._address: str | None = None  # as the owner, since there was one
        self._line: _Line | None = None
        self._silence: str | None = None
        self._tries = 0
        self._connecting = threading.Lock()

    def call(self, verb: str, *arguments: Any, data: bytes | memoryview = b"") -> Any:
        """What a method of `library.Library` returns.

        Raises the contract's errors, `BackendTransient` where the cluster gives no sign within the timeout, and what
        `copying.tell` raises, after the call has ended.
        """
        return self._on_line(self._connected(), verb, arguments, data)

    def own(self) -> None:
        """Be the owner from now on: whoever was it before is shut out, also a process of ours that was killed."""
        self._address = self.call("own", self._owner, None)

    @property
    def is_owner(self) -> bool:
        """Whether `own` has been called, also if the connection has ended since."""
        return self._address is not None

    def close(self) -> None:
        """End the connection in good order, unless it hangs."""
        line, self._line, self._address = self._line, None, None
        if line is not None and line.is_alive:
            try:
                line.call("leave", (), b"", LEAVE_SECONDS)
            except BreezeblockError as error:
                LOG.warning("The connection to Ceph did not end well: %s", error)
            line.end()

    def _on_line(self, line: "_Line", verb: str, arguments: tuple[Any, ...], data: bytes | memoryview) -> Any:
        try:
            return line.call(verb, arguments, data, self._timeout)
        except _Silent:
            line.end()
            self._silence = (
                f"Ceph (pool {self._access.pool}) gives no sign: {verb} was given up after {self._timeout} s."
            )
            LOG.error(self._silence)
            raise BackendTransient(self._silence) from None

    def _connected(self) -> "_Line":
        line, tries = self._line, self._tries
        if line is not None and line.is_alive:
            return line
        if not self._connecting.acquire(blocking=self._silence is None):
            raise BackendTransient(self._silence)
        try:
            line = self._line
            if line is not None and line.is_alive:
                return line
            if self._tries != tries:
                raise BackendTransient(self._silence)
            self._line = self._connect()
            self._silence = None
            return self._line
        finally:
            self._connecting.release()

    def _connect(self) -> "_Line":
        tries = 1 if self._silence else max(1, self._retries)
        self._tries += 1
        while True:
            tries -= 1
            line = _Line(self._owner)
            try:
                self._greet(line)
                return line
            except BackendTransient as error:
                line.end()
                self._silence = error.message
                if not tries:
                    raise
                time.sleep(self._interval)
            except BaseException:
                line.end()
                raise

    def _greet(self, line: "_Line") -> None:
        limit = self._timeout if self._access.timeout < 0 else self._access.timeout
        try:
            line.call("connect", (msgspec.to_builtins(self._access),), b"", limit)
            if self._address is not None:
                self._address = line.call("own", (self._owner, self._address), b"", self._timeout)
        except _Silent:
            raise BackendTransient(
                f"Ceph cannot be reached (pool {self._access.pool}): no answer within {limit} s."
            ) from None
        except DriverError as error:
            raise BackendTransient(f"Ceph cannot be reached (pool {self._access.pool}): {error.message}") from error


class OpenImage:
    """An image that is open for several calls; it is lost with the process that has it open. A context manager."""

    def __init__(self, cluster: Cluster, image: str, snapshot: str | None = None, *, writable: bool = False) -> None:
        self._cluster = cluster
        self._line = cluster._connected()
        self._number, self.size = self.call("open", image, snapshot, writable)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # what is lost with the process needs no closing, and whoever wrote has been told so
        with contextlib.suppress(BackendTransient):
            self.of("close")

    def of(self, verb: str, *arguments: Any, data: bytes | memoryview = b"") -> Any:
        """What a method of `handles.Handles` returns for this image."""
        return self.call(verb, self._number, *arguments, data=data)

    def call(self, verb: str, *arguments: Any, data: bytes | memoryview = b"") -> Any:
        """As `Cluster.call`, by the process that has the image open."""
        return self._cluster._on_line(self._line, verb, arguments, data)


class _Silent(Exception):
    """No sign within the time."""


class _Line:
    """One process, and the calls that it has not answered yet. It dies with the thread that started it."""

    def __init__(self, name: str) -> None:
        ours, self._theirs = socket.socketpair()
        # a process that does not even read must not stop its callers
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", START_SECONDS, 0))
        self._wire = Wire(ours)
        self._numbers = itertools.count(1)
        self._calls: dict[int, queue.SimpleQueue[tuple[Answer, bytes] | None]] = {}
        self._guard = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._started = threading.Event()
        self.is_alive = True
        threading.Thread(target=self._serve, name=f"rbd {name}", daemon=True).start()
        self._started.wait()

    def call(self, verb: str, arguments: tuple[Any, ...], data: bytes | memoryview, seconds: float) -> Any:
        """The answer to a call. Raises `_Silent` when there is no sign of it for so long."""
        answers: queue.SimpleQueue[tuple[Answer, bytes] | None] = queue.SimpleQueue()
        with self._guard:
            if not self.is_alive:
                raise BackendTransient("The connection to Ceph has ended; trying again may help.")
            number = next(self._numbers)
            self._calls[number] = answers
        try:
            self._send(Call(number, verb, list(arguments)), data)
            return self._await(number, answers, seconds)
        finally:
            del self._calls[number]

    def end(self) -> None:
        """Kill the process; calls that wait raise `BackendTransient`."""
        self.is_alive = False
        if self._process is not None:
            self._process.kill()

    def _await(self, number: int, answers: "queue.SimpleQueue[tuple[Answer, bytes] | None]", seconds: float) -> Any:
        cancelled: BaseException | None = None
        while True:
            try:
                received = answers.get(timeout=seconds)
            except queue.Empty:
                raise _Silent from None
            if received is None:
                raise BackendTransient("The connection to Ceph has ended; trying again may help.")
            answer, data = received
            if answer.kind == "progress":
                if cancelled is None:
                    try:
                        copying.tell(*answer.value)
                    except BaseException as error:
                        # the library must have ended before anybody removes what it works on
                        cancelled = error
                        self._send(Call(number, "cancel"), b"")
                continue
            if cancelled is not None:
                raise cancelled
            if answer.kind == "lost":
                self.end()  # shut out by the cluster, for good
            if answer.kind == "done":
                return data or answer.value
            if answer.kind == "full":
                raise BackendOutOfSpace(
                    f"Ceph has no room left in the pool, or the pool's quota is used: {answer.value}"
                )
            raise ERRORS.get(answer.kind, DriverError)(f"Ceph: {answer.value}")

    def _send(self, call: Call, data: bytes | memoryview) -> None:
        try:
            self._wire.send(call, data)
        except OSError:
            self.end()
            raise BackendTransient("The connection to Ceph has ended; trying again may help.") from None

    def _serve(self) -> None:
        argv = [sys.executable, "-m", "breezeblock.drivers.rbd.child", str(self._theirs.fileno())]
        try:
            self._process = commands.start_beside(argv, [self._theirs.fileno()])
        finally:
            self._theirs.close()
            self._started.set()
        while (received := self._wire.receive(Answer)) is not None:
            waiting = self._calls.get(received[0].number)
            if waiting is not None:
                waiting.put(received)
        with self._guard:
            self.is_alive = False
            for waiting in list(self._calls.values()):
                waiting.put(None)
        self._process.kill()
        self._process.wait()
        self._wire.close()
